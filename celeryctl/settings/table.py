"""Every setting there is, declared once: variable, parser, default, help. All lists of settings are made from this."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import groupby
from textwrap import wrap

from celeryctl.settings import parse, urls
from celeryctl.settings.parse import Parser
from celeryctl.settings.secret import hidden, masked

SECOND = timedelta(seconds=1)
WIDTH = 118


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable. ``default`` is as a person would write it, "" is unset; ``show`` makes a value fit to be shown.

    ``example`` is a value worth showing where the default is none.
    """

    variable: str
    parse: Parser
    default: str
    help: str
    group: str
    show: Callable[[str], str] = str
    example: str = ""

    @property
    def field(self) -> str:
        """The name in `Settings`."""
        return {"CELERYCTL_DATASETS": "datasets", "CELERYCTL_HOME": "home"}.get(self.variable, self.variable.lower())


@dataclass(frozen=True, slots=True)
class SourceDefaults:
    """What a data set declares about its source, before any setting."""

    name: str
    url: str
    every: timedelta


SERVERS, SOURCES, CARDS, VIEWS = "Servers", "Data sets", "Card numbers", "Views"
GENERAL, ADVANCED = "General", "Advanced"
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

SETTINGS: tuple[Setting, ...] = (
    Setting("DATABASE_URL", urls.database_url, "",
            "PostgreSQL 15 or newer, any libpq URI; unset: the embedded one",
            SERVERS, show=masked, example="postgresql://postgres:password@localhost:5432/celeryapp"),
    Setting("REDIS_URL", urls.redis_url, "",
            "Redis 7 or newer, or Valkey; unset: the embedded one that `celeryctl up` starts",
            SERVERS, show=masked, example="redis://localhost:6379/0"),
    Setting("CELERYCTL_DATASETS", parse.names, "",
            "Folders, files or modules with further data sets, with commas between", SOURCES),
    Setting("ALLOW_PRIVATE_SOURCES", parse.switch, "0",
            "1 permits sources on loopback and private addresses", SOURCES),
    Setting("CARD_ENCRYPTION_KEYS", parse.card_keys, "",
            "Base64 AES-256 keys with commas between; the first encrypts, all decrypt; "
            "unset: a key made once in CELERYCTL_HOME; must be set with a DATABASE_URL of your own",
            CARDS, show=hidden),
    Setting("FLOWER_HOST", parse.host, "127.0.0.1",
            "Where Flower listens; beyond loopback only with FLOWER_BASIC_AUTH", VIEWS),
    Setting("FLOWER_PORT", parse.whole(1, 65_535), "5555", "The port of Flower", VIEWS),
    Setting("FLOWER_BASIC_AUTH", parse.basic_auth, "", "Who may use Flower, as user:password", VIEWS, show=hidden),
    Setting("METRICS_HOST", parse.host, "127.0.0.1",
            "Where metrics are served for Prometheus, by workers and by `celeryctl metrics`", VIEWS),
    Setting("METRICS_PORT", parse.whole(1, 65_535), "",
            "The port where a worker serves metrics of its own, another one for every worker of a machine: those of "
            "`celeryctl up --workers N` take it and the ones after it; unset: none", VIEWS),
    Setting("LOG_LEVEL", parse.choice(*LEVELS), "INFO", "From which level on to log", GENERAL),
    Setting("LOG_FORMAT", parse.choice("text", "json"), "text", "Text, or json with one object per line", GENERAL),
    Setting("HEARTBEAT_FILE", parse.file, "",
            "File that a worker or a beat touches every few seconds while it turns, one file for each: `celeryctl up` "
            "adds `.worker1`, `.beat` to the name; unset: none", GENERAL),
    Setting("CELERYCTL_HOME", str, "",
            "Where celeryctl keeps its files; unset: .celeryctl in this folder or the nearest one above that has it",
            GENERAL),
    Setting("BATCH_SIZE", parse.whole(1, 100_000), "10000",
            "Records per batch at most: one message, one transaction", ADVANCED),
    Setting("WORKER_CONCURRENCY", parse.concurrency, "auto", "Processes per worker; auto: one per CPU", ADVANCED),
    Setting("DATABASE_POOL_SIZE", parse.whole(1, 1000), "8",
            "Connections to PostgreSQL per process at most", ADVANCED),
    Setting("FETCH_THREADS", parse.whole(1, 100), "4", "Requests that a batch sends at the same time", ADVANCED),
    Setting("HTTP_CONNECT_TIMEOUT", parse.seconds, "5s", "Longest wait for a connection to a source", ADVANCED),
    Setting("HTTP_READ_TIMEOUT", parse.seconds, "30s", "Longest silence of a source while it answers", ADVANCED),
    Setting("HTTP_TOTAL_TIMEOUT", parse.seconds, "120s", "Longest time for an answer, all tries together", ADVANCED),
    Setting("HTTP_MAX_TRIES", parse.whole(1, 100), "5",
            "How often a source is asked before it counts as unreachable", ADVANCED),
    Setting("HTTP_MAX_BYTES", parse.size(2**10, 2**30), "16MiB", "Largest answer, decompressed", ADVANCED),
    Setting("MAX_ATTEMPTS", parse.whole(1, 100), "5",
            "How often a batch or a record is tried before it is set aside", ADVANCED),
)  # fmt: skip

PER_DATASET: tuple[Setting, ...] = (
    Setting("FETCH_{}_INTERVAL", parse.duration(SECOND), "", "How often {} are fetched", SOURCES),
    Setting("{}_URL", urls.source_url, "", "Where {} come from", SOURCES, show=masked),
    Setting("{}_MAX_AGE", parse.parse_duration, "",
            "Fetch {} again when older than this; unset: only what is missing", SOURCES),
    Setting("{}_AUTHORIZATION", parse.header, "",
            "Authorization header for the host of {} only, such as Bearer <token>", SOURCES, show=hidden),
    Setting("{}_RATE_LIMIT", parse.parse_rate, "",
            "Most requests for {}, of all workers together, such as 10/s", SOURCES),
)  # fmt: skip


def of_dataset(source: SourceDefaults) -> Iterator[Setting]:
    """The settings that every data set has, with this one's name and defaults; in the order of `PER_DATASET`."""
    every = source.every.total_seconds()
    defaults = {"FETCH_{}_INTERVAL": str(int(every) if every.is_integer() else every), "{}_URL": source.url}
    for setting in PER_DATASET:
        yield replace(
            setting,
            variable=setting.variable.format(source.name.upper()),
            help=setting.help.format(source.name.replace("_", " ")),
            default=defaults.get(setting.variable, setting.default),
        )


def declared(sources: Iterable[SourceDefaults]) -> Iterator[Setting]:
    """Every setting, those of the data sets in their place, group by group."""
    for group, settings in groupby(SETTINGS, key=lambda setting: setting.group):
        if group == SOURCES:
            for source in sources:
                yield from of_dataset(source)
        yield from settings


def example(sources: Iterable[SourceDefaults]) -> str:
    """The text of `.env.example`: every setting commented out, so that a copy of it changes nothing."""
    lines = [
        "# Copy to .env and uncomment what you change. An empty value means unset.",
        "# What counts: celeryctl config show",
    ]
    for group, settings in groupby(declared(sources), key=lambda setting: setting.group):
        lines += ["", f"## {group}"]
        for setting in settings:
            lines += ["", *wrap(setting.help, WIDTH, initial_indent="# ", subsequent_indent="# ")]
            lines.append(f"# {setting.variable}={setting.example or setting.default}")
    return "\n".join(lines) + "\n"
