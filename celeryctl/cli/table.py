"""The table of commands. It imports none of them, so that help and a typing mistake cost nothing."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A command: what it is for in one line, how it is typed, and for a raw one whose options it passes through.

    It is what its module calls ``attribute``: a function with Typer's annotations, or a `typer.Typer` with subcommands;
    with ``passes_to``, a function of one argument: the list of words after the command, untouched. ``examples`` lack
    the first word; help and README show them, and a test runs them.
    """

    name: str
    group: str
    help: str
    examples: tuple[str, ...]
    attribute: str = "command"
    passes_to: str = ""

    @property
    def module(self) -> str:
        """The module that it is in."""
        return f"celeryctl.cli.{self.name.replace('-', '_')}"


START, WORK, SEE, SETUP = "Start", "Work", "See", "Setup"

COMMANDS: tuple[Entry, ...] = (
    Entry(
        "up", START, "Start everything here and fetch once; then follow. Ctrl-C ends it",
        ("up --sources local", "up --once --json")
    ),
    Entry("down", START, "Stop what `up` started, from any terminal", ("down",)),
    Entry("worker", START, "Become a Celery worker", ("worker -c 4",), passes_to="celery worker"),
    Entry("beat", START, "Become Celery's beat, which starts what is due", ("beat",), passes_to="celery beat"),
    Entry("flower", START, "Become Flower, Celery's web page", ("flower",), passes_to="celery flower"),
    Entry("api", START, "Serve the three source APIs on this machine", ("api --users 1000 --latency 50",)),
    Entry("init-db", WORK, "Create the database, create or migrate its tables", ("init-db", "init-db --check")),
    Entry("seed", WORK, "Fill the database with made-up users, without a network", ("seed 1000",)),
    Entry(
        "fetch", WORK, "Fetch a data set, or all of them",
        ("fetch users --sync", "fetch all --wait --timeout 5m", "fetch credit-cards --refresh --detach")
    ),
    Entry("cancel", WORK, "Stop a run; what is stored stays", ("cancel 1f0c2a9e",)),
    Entry(
        "failed", WORK, "See what failed and why, and try it again",
        ("failed", "failed addresses --limit 5", "failed --retry --all")
    ),
    Entry("run-tasks", WORK, "Fetch all data sets, then show the stats", ("run-tasks",)),
    Entry("stats", SEE, "Show coverage, queues, workers, schedule, sources", ("stats", "stats --watch --interval 2s")),
    Entry("tail", SEE, "Follow runs and tasks as they happen", ("tail --since 10m",)),
    Entry("logs", SEE, "Show the log files of what `up` started", ("logs worker1 -n 50", "logs -f")),
    Entry("runs", SEE, "List runs, show one in detail", ("runs --limit 5",)),
    Entry(
        "schedule", SEE, "Show what is due when; pause, resume, run a data set",
        ("schedule", "schedule pause credit-cards", "schedule resume all", "schedule run users"), attribute="app"
    ),
    Entry("why", SEE, "Say why a run, a task or a user is as it is", ("why 3",)),
    Entry(
        "wait", SEE, "Wait until a condition holds, for scripts",
        ("wait --for 'queue=0 and running=0' --timeout 5m",)
    ),
    Entry(
        "users", SEE, "List users, show one with all that hangs on it",
        ("users list --limit 5", "users show 3"), attribute="app"
    ),
    Entry("doctor", SETUP, "Check everything, print the fix, apply the safe ones", ("doctor", "doctor --fix")),
    Entry(
        "config", SETUP, "Show the settings and their origin, write a .env",
        ("config show", "config init"), attribute="app"
    ),
    Entry(
        "keys", SETUP, "Make, change and look at the keys for card numbers",
        ("keys status", "keys rotate"), attribute="app"
    ),
    Entry(
        "dataset", SETUP, "Add and check data sets of your own",
        ("dataset list", "dataset new loyalty"), attribute="app"
    ),
    Entry("psql", SETUP, "Open a psql shell on the database in use", ("psql -c 'TABLE runs'",), passes_to="psql"),
    Entry(
        "pg_dump", SETUP, "Copy the database in use into a file",
        ("pg_dump --format=custom --verbose --file=celeryctl.dump",), passes_to="pg_dump"
    ),
    Entry(
        "pg_restore", SETUP, "Bring it back from such a file, into an empty database",
        (), passes_to="pg_restore"
    ),
    Entry("prune", SETUP, "Delete old rows of the ledger", ("prune --older-than 30d",)),
    Entry("metrics", SETUP, "Serve metrics of the cluster for Prometheus", ("metrics --port 9900",)),
)  # fmt: skip


def find(name: str) -> Entry | None:
    return next((entry for entry in COMMANDS if entry.name == name), None)
