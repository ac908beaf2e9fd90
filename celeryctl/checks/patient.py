"""Whom `doctor` looks at: the settings as far as they can be read, and the database as soon as it answers."""

import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from celeryctl import home as homes
from celeryctl.datasets import further
from celeryctl.errors import CeleryctlError, DatabaseUnreachableError, DatasetError, SettingsError
from celeryctl.local import postgres
from celeryctl.local.access import LOCAL
from celeryctl.pipeline.context import Context
from celeryctl.settings import Environment
from celeryctl.storage import schema
from celeryctl.storage.database import close, session


class Patient:
    """Read once. A settings error is kept as ``fault``: then there is no context, and less can be looked at.

    What --fix makes trustworthy is not read by the command that did so: others could have written it.
    """

    def __init__(self) -> None:
        self.environment: Environment | None = None
        self.fault: CeleryctlError | None = None
        self._context: Context | None = None
        self._stack, self._connecting = ExitStack(), False
        try:
            self.environment = Environment.read()
            self._context = Context.read()
        except (SettingsError, DatasetError) as exc:
            self.fault = exc
        self.home = self.environment.home if self.environment else homes.find(os.environ, Path.cwd())

    def __enter__(self) -> "Patient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    @property
    def context(self) -> Context:
        """Settings and data sets; with the database that was found once `connect` has returned."""
        if self._context is None:
            raise self.fault or SettingsError()
        return self._context

    def connect(self) -> None:
        """Connect the models to the database in use. The embedded one is started where it does not run, never made."""
        self._connecting = True
        try:
            if not self.context.settings.database_url:
                self._context = self._embedded(self.context)
            self.context.connect()
            with session():
                pass
        finally:
            self._connecting = False

    def _embedded(self, context: Context) -> Context:
        home = context.settings.home
        url = self._stack.enter_context(postgres.lease(home, create=False))
        if url is None:
            why = f"DATABASE_URL is unset and {home} has none"
            raise DatabaseUnreachableError("there is no database here yet", why=why, fix="celeryctl up")
        here, local = context.at(url), context.at(postgres.Postgres(home).url(LOCAL))
        here.connect()
        # Where only `up` with local sources has run, its database is the one in use.
        return local if schema.pending(further(context.datasets)) and _is_ready(local) else here

    def leave(self) -> None:
        """Close what was opened. An embedded database that nobody else uses is stopped."""
        # Where connecting still hangs, closing would hang with it; both end with this process.
        if not self._connecting:
            close()
            self._stack.close()


def _is_ready(context: Context) -> bool:
    context.connect()
    try:
        return not schema.pending(further(context.datasets))
    except DatabaseUnreachableError:
        return False
