"""Every error that celeryctl raises on purpose, and the exit code that each one ends a command with.

CeleryctlError                1   the command failed
├── UsageError                2   a wrong argument
│   ├── SettingsError             a setting that is wrong, missing or contradicts another
│   └── DatasetError              a data set's declaration that is wrong or does not load
├── WaitTimeoutError          4   what was waited for did not happen in time
├── HomeError                 1   CELERYCTL_HOME cannot be used
├── SchemaError               1   the database's tables are not what this version needs
├── CipherError               1   a card number cannot be decrypted
├── RefusedError              1   the database does not take a value
├── BrokerRefusedError        1   the broker does not permit its user to do that
├── SourceError               1   a source answered, but not with what it should
│   └── AnswerError               the answer looked well, but nothing can be made of it
└── UnreachableError         69   a needed service or worker does not answer
    ├── DatabaseUnreachableError
    ├── BrokerUnreachableError
    ├── SourceUnreachableError
    ├── LocalServerError          an embedded server does not start
    └── NoWorkerError

Besides these a command exits 3 when it was done in part, and 130 when interrupted; 0 means done.
"""

import inspect
from typing import ClassVar


class CeleryctlError(Exception):
    """The command failed."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str | None = None, *, why: str = "", fix: str = "") -> None:
        """Describe the error in the three lines that the terminal shows.

        ``what`` happened (the class's docstring where absent), ``why``, and ``fix``: the exact command that mends it.
        None of them may hold a secret.
        """
        self.what = what or inspect.getdoc(type(self)) or type(self).__name__
        self.why = why
        self.fix = fix
        super().__init__(self.what, why, fix)

    def __reduce__(self) -> tuple[object, ...]:
        """As it travels from process to process: an exception is made anew from its words, of which two have names."""
        return _again, (type(self), self.what, self.why, self.fix), self.__dict__

    def __str__(self) -> str:
        return f"{self.what.rstrip('.')}: {self.why}" if self.why else self.what


def _again(kind: type[CeleryctlError], what: str, why: str, fix: str) -> CeleryctlError:
    return kind(what, why=why, fix=fix)


class UsageError(CeleryctlError):
    """That is not how this command is used."""

    exit_code = 2


class SettingsError(UsageError):
    """A setting is wrong."""


class DatasetError(UsageError):
    """A data set is declared wrongly."""


class WaitTimeoutError(CeleryctlError):
    """The time to wait is over."""

    exit_code = 4


class HomeError(CeleryctlError):
    """The folder for celeryctl's own files cannot be used."""


class SchemaError(CeleryctlError):
    """The database's tables are not what this version needs."""


class CipherError(CeleryctlError):
    """A card number cannot be decrypted."""


class RefusedError(CeleryctlError):
    """The database refused a statement."""


class BrokerRefusedError(CeleryctlError):
    """The broker does not permit its user to do that."""


class SourceError(CeleryctlError):
    """A source did not answer with what it should."""


class AnswerError(SourceError):
    """Nothing can be made of what a source has answered."""


class UnreachableError(CeleryctlError):
    """A needed service does not answer."""

    exit_code = 69


class DatabaseUnreachableError(UnreachableError):
    """The database does not answer."""


class BrokerUnreachableError(UnreachableError):
    """The broker does not answer."""


class SourceUnreachableError(UnreachableError):
    """A source does not answer."""

    retry_after: float | None = None  # seconds, where the source said so


class LocalServerError(UnreachableError):
    """An embedded server does not start."""


class NoWorkerError(UnreachableError):
    """No worker is running."""
