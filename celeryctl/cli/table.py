"""The table of commands. It imports none of them, so that help and a typing mistake cost nothing."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A command: where it is, what it is for in one line, and for a raw one whose options it passes through.

    ``target`` is ``module:name``. The name is a function with Typer's annotations, or a `typer.Typer` with subcommands;
    with ``passes_to``, a function of one argument: the list of words after the command, untouched.
    """

    name: str
    group: str
    target: str
    help: str
    passes_to: str = ""


START, WORK, SEE, SETUP = "Start", "Work", "See", "Setup"

COMMANDS: tuple[Entry, ...] = (
    Entry("up", START, "celeryctl.cli.up:command", "Start everything here and fetch once; then follow. Ctrl-C ends it"),
    Entry("down", START, "celeryctl.cli.down:command", "Stop what `up` started, from any terminal"),
    Entry("worker", START, "celeryctl.cli.worker:command", "Become a Celery worker", "celery worker"),
    Entry("beat", START, "celeryctl.cli.beat:command", "Become Celery's beat, which starts what is due", "celery beat"),
    Entry("flower", START, "celeryctl.cli.flower:command", "Become Flower, Celery's web page", "celery flower"),
    Entry("api", START, "celeryctl.cli.api:command", "Serve the three source APIs on this machine"),
    Entry("init-db", WORK, "celeryctl.cli.init_db:command", "Create the database, create or migrate its tables"),
    Entry("seed", WORK, "celeryctl.cli.seed:command", "Fill the database with made-up users, without a network"),
    Entry("fetch", WORK, "celeryctl.cli.fetch:command", "Fetch a data set, or all of them"),
    Entry("run-tasks", WORK, "celeryctl.cli.run_tasks:command", "Fetch all data sets, then show the stats"),
    Entry("stats", SEE, "celeryctl.cli.stats:command", "Show coverage, queues, workers, schedule, sources"),
    Entry("logs", SEE, "celeryctl.cli.logs:command", "Show the log files of what `up` started"),
    Entry("users", SEE, "celeryctl.cli.users:app", "List users, show one with all that hangs on it"),
    Entry("config", SETUP, "celeryctl.cli.config:app", "Show the settings and their origin, write a .env"),
    Entry("dataset", SETUP, "celeryctl.cli.dataset:app", "Add and check data sets of your own"),
    Entry("psql", SETUP, "celeryctl.cli.psql:command", "Open a psql shell on the database in use", "psql"),
)


def find(name: str) -> Entry | None:
    return next((entry for entry in COMMANDS if entry.name == name), None)
