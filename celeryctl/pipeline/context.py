"""What every command, worker and beat begins with: the settings and the data sets, read once at the edge."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from celeryctl import datasets, home
from celeryctl.dataset import Datasets
from celeryctl.errors import DatabaseUnreachableError, SettingsError
from celeryctl.pipeline.engine import Fetch, Pipeline
from celeryctl.settings import Environment, Secret, Settings, SourceDefaults, home_keys, load, masked
from celeryctl.storage import database
from celeryctl.storage.cipher import Keyring
from celeryctl.storage.coverage import holds_sealed
from celeryctl.storage.database import session

WITHOUT_A_KEY = "where it is lost: celeryctl psql -c 'DELETE FROM credit_cards', then fetch them again"


@dataclass(frozen=True, slots=True)
class Context:
    """Settings and data sets of this process."""

    settings: Settings
    datasets: Datasets

    @classmethod
    def read(cls, flags: Mapping[str, str] | None = None) -> "Context":
        """Read environment, ``.env`` and a running `up`. Raises SettingsError, DatasetError."""
        environment = Environment.read(flags=flags or {})
        paths = [path for path in (environment.get("CELERYCTL_DATASETS") or "").split(",") if path.strip()]
        found = datasets.load(map(str.strip, paths), base=home.project(environment.home))
        defaults = [SourceDefaults(name, one.source.url, one.every) for name, one in found.items()]
        return cls(load(environment, defaults), found)

    @property
    def database(self) -> str:
        """The URL of the database as it may be shown."""
        return masked(str(self.settings.database_url))

    def at(self, database_url: str) -> "Context":
        """The same with another database."""
        return replace(self, settings=replace(self.settings, database_url=Secret(database_url)))

    def without_broker(self) -> "Context":
        """The same where no broker is to be asked."""
        return replace(self, settings=replace(self.settings, redis_url=None))

    def connect(self) -> None:
        """Point the models at the database; nothing is opened yet."""
        if not self.settings.database_url:
            raise DatabaseUnreachableError(
                "there is no database", why="DATABASE_URL is unset and no `celeryctl up` runs here", fix="celeryctl up"
            )
        database.configure(self.settings.database_url, pool_size=self.settings.database_pool_size)

    def keyring(self, *, create: bool = False) -> Keyring:
        """The keys for card numbers: CARD_ENCRYPTION_KEYS, else the home's own (one made where ``create``).

        With ``create`` the database is looked at: SettingsError where a new key would be a second one.
        """
        if self.settings.card_encryption_keys:
            return Keyring(self.settings.card_encryption_keys)
        if create:
            self.require_key()
        keys = home_keys(self.settings.home, create=False)
        if create and not keys:
            self._refuse_a_second_key()
            keys = home_keys(self.settings.home, create=True)
        return Keyring(keys)

    def require_key(self) -> None:
        """Raise SettingsError where a key of the home alone would not do."""
        if self.settings.environment.own("DATABASE_URL") and not self.settings.card_encryption_keys:
            raise SettingsError(
                "CARD_ENCRYPTION_KEYS is not set",
                why="DATABASE_URL names a database of your own, whose card numbers every worker must be able to read",
                fix="celeryctl config init (writes a key into .env), and give the same key to every worker",
            )

    def _refuse_a_second_key(self) -> None:
        with session():
            sealed = holds_sealed([dataset.model for dataset in self.datasets.values()])
        if sealed:
            raise SettingsError(
                "the card key of this home is gone",
                why="the database holds numbers that it encrypted, which a new key could not read",
                fix=f"restore {self.settings.home / 'card.key'} from a backup; {WITHOUT_A_KEY}",
            )

    def pipeline(self, *, fetch: Fetch | None = None) -> Pipeline:
        """A pipeline on the database that `connect` has named."""
        return Pipeline(self.settings, self.datasets, keyring=self.keyring(create=True), fetch=fetch)
