"""Writes what is made from the code: README's lists of commands, settings and speed and its picture, the metrics and
the lines of a log in operations.md, and `.env.example`.

With ``--check`` it changes nothing and exits 1 when one of them is out of date; with ``--pictures`` it also draws.
"""

import argparse
import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import UUID

ROOT = Path(__file__).resolve().parents[1]
README, OPERATIONS = ROOT / "README.md", ROOT / "docs" / "operations.md"
EXAMPLE, PICTURE = ROOT / ".env.example", ROOT / "docs" / "stats.svg"
# What `celeryctl stats --json` printed once; a picture of today's database would change with every run.
SNAPSHOT = ROOT / "docs" / "stats.json"
COLUMNS, LINES = 120, 24
COMMON = {"quiet", "verbose", "no_color", "debug"}


def commands() -> str:
    """Every command with its options, group by group, as a Markdown table."""
    from celeryctl.cli.table import COMMANDS

    lines = ["| | Command | What it does | For example |", "|---|---|---|---|"]
    for group, entries in groupby(COMMANDS, key=lambda entry: entry.group):
        rows = [row for entry in entries for row in usages(entry)]
        for number, (usage, text, shown) in enumerate(rows):
            lines.append(f"| {group if number == 0 else ''} | `{usage}` | {text} | {shown} |".replace("|  |", "| |"))
    return "\n".join(lines)


def usages(entry: Any) -> Iterator[tuple[str, str, str]]:
    """How the command, or every command of a group of them, is called, what for, and its examples."""
    if entry.passes_to:
        yield f"{entry.name} [OPTIONS OF {entry.passes_to}]", cell(entry.help), examples(entry, entry.name)
        return
    from celeryctl.cli.group import made

    command = made(entry)
    if not hasattr(command, "commands"):
        yield " ".join([entry.name, *options(command)]), cell(entry.help), examples(entry, entry.name)
        return
    if command.invoke_without_command:
        yield entry.name, cell(entry.help), "<br>".join(f"`{one}`" for one in entry.examples if one == entry.name)
    for name, inner in command.commands.items():
        usage = " ".join([entry.name, name, *options(inner)])
        yield usage, cell(first_sentence(inner.help)), examples(entry, f"{entry.name} {name}")


def examples(entry: Any, words: str) -> str:
    """The examples that begin with these words, in one cell."""
    return "<br>".join(f"`{cell(one)}`" for one in entry.examples if f"{one} ".startswith(f"{words} "))


def options(command: Any) -> Iterator[str]:
    """The arguments, then the options that are this command's own, as usage lines write them."""
    import typer

    context = typer.Context(command)
    own = [param for param in command.params if param.name not in COMMON and not getattr(param, "hidden", False)]
    for param in sorted(own, key=lambda param: param.param_type_name):
        # In Typer's words: "limit <int>" for an argument, "-w, --workers <int>" or "--sources <auto|live>" otherwise.
        names, _, kind = param.get_help_record(context)[0].partition(" <")
        if param.param_type_name == "argument":
            shown = names.removesuffix("...").upper() + "…" * (param.nargs < 0)
        else:
            shown = names.split(", ")[-1] + (f" {placeholder(param.name, kind.rstrip('>'))}" if kind else "")
        yield shown if param.required else f"[{shown}]"


def placeholder(name: str, kind: str) -> str:
    """What stands for an option's value: its choices, N for a number, or the option's name."""
    if "|" in kind:
        return cell(kind)
    return "N" if re.match(r"(int|float)\b", kind) else name.upper()


def settings() -> str:
    """Every setting with its default, group by group, as a Markdown table."""
    from celeryctl.settings import declared

    lines = ["| Variable | Default | |", "|---|---|---|"]
    for group, found in groupby(declared(sources()), key=lambda setting: setting.group):
        lines.append(f"| **{group}** | | |")
        for setting in found:
            default = f"`{setting.default}`" if setting.default else "unset"
            lines.append(f"| `{setting.variable}` | {default} | {cell(setting.help)} |")
    return "\n".join(lines)


def metrics() -> str:
    """Every metric of the cluster's page with its labels, as a Markdown table."""
    from prometheus_client import CollectorRegistry

    from celeryctl.cluster.families import FAMILIES
    from celeryctl.cluster.taskmetrics import LABELS, TaskMetrics

    found = [(one.name, one.labels, one.help) for one in FAMILIES]
    TaskMetrics(registry := CollectorRegistry(), ())
    for one in registry.collect():
        found += [(one.name + "_total" * (one.type == "counter"), LABELS, one.documentation)]
    rows = [f"| `{name}` | {', '.join(labels)} | {cell(text)} |" for name, labels, text in found]
    return "\n".join(["| Metric | Labels | |", "|---|---|---|", *rows]).replace("|  |", "| |")


def speed() -> str:
    """What was measured and how it came about, of the rows of results.md that tell of fetching."""
    results = (ROOT / "benchmarks" / "results.md").read_text().splitlines()
    rows = [line.strip("| ").split(" | ") for line in results]
    told = [f"| {row[1]} | {row[2]} | {row[-1]} |" for row in rows if row[0] in ("1", "2", "3", "4b", "5")]
    return "\n".join(["| What | Value | How it came about |", "|---|---|---|", *told])


def log() -> str:
    """The line of a batch, as text and as JSON."""
    from celeryctl import logs
    from celeryctl.pipeline import journal
    from celeryctl.storage.batches import Claim
    from celeryctl.storage.ledger import Run
    from celeryctl.storage.outcomes import Outcome
    from celeryctl.storage.upsert import Written

    as_json = logs.JsonFormatter()
    as_json.host = "host1"
    lines = []

    def note(record: logging.LogRecord) -> bool:
        record.created, record.process, record.processName = 1798718400.25, 4321, "ForkPoolWorker-1"
        lines.extend(form.format(record) for form in (logs.TextFormatter(), as_json))
        return False

    claim = Claim(17, Run(id=UUID("1a2b3c4d-5e6f-4a1b-8c2d-3e4f5a6b7c8d"), dataset="addresses"), 1, 10_000, 1, 1)
    journal.logger.setLevel(logging.INFO)
    journal.logger.addFilter(note)
    with logs.about(task="9f8e7d6c-5b4a-4392-8170-6f5e4d3c2b1a"), journal.about(claim):
        journal.finished(Outcome(requests=100, written=Written(created=9_990, unchanged=10)), 2.418)
    journal.logger.removeFilter(note)
    return "\n".join(["```", *lines, "```"])


def sources() -> list[Any]:
    """What the built-in data sets declare for the settings; those of this machine do not belong into the README."""
    from importlib import import_module

    from celeryctl.datasets import BUILT_IN
    from celeryctl.settings import SourceDefaults

    datasets = [import_module(f"celeryctl.datasets.{name}").DATASET for name in BUILT_IN]
    return [SourceDefaults(dataset.name, dataset.source.url, dataset.every) for dataset in datasets]


def first_sentence(text: str) -> str:
    return re.split(r"(?<=\.)\s", text.strip(), maxsplit=1)[0].removesuffix(".")


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def example() -> str:
    from celeryctl import settings

    return settings.example(sources())


def picture() -> str:
    """The stats as a terminal shows them, as SVG that loads nothing from elsewhere."""
    from rich._export_format import CONSOLE_SVG_FORMAT
    from rich.console import Console

    from celeryctl.views.stats import Status, render

    document = json.loads(SNAPSHOT.read_text(), object_hook=dated)
    status = Status(foot="q quit  ? keys", note=f"{document['at'].astimezone(UTC):%H:%M:%S}, every 1 s")
    with Path("/dev/null").open("w") as nowhere:
        console = Console(file=nowhere, record=True, width=COLUMNS, force_terminal=True, color_system="truecolor")
        console.print(render(document, COLUMNS, LINES, status=status))
    # Not every viewer of SVG keeps spaces: with gaps as parts of their own each word stands where it belongs.
    console._record_buffer = [piece for segment in console._record_buffer for piece in pieces(segment)]
    plain = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(title="celeryctl stats --watch", code_format=plain, unique_id="celeryctl")


def pieces(segment: Any) -> Iterator[Any]:
    """The words of a recorded segment, and the gaps between them."""
    for text in re.split(r"( {2,})", segment.text):
        if text:
            yield segment._replace(text=text)


def dated(values: dict[str, Any]) -> dict[str, Any]:
    """The object with its moments as such again."""
    moments = {
        name: value
        for name, value in values.items()
        if name in {"at", "next_due", "last_ok", "started_at", "finished_at"} and value
    }
    return values | {name: datetime.fromisoformat(value) for name, value in moments.items()}


def readme() -> str:
    return with_parts(README, {"commands": commands, "settings": settings, "speed": speed})


def operations() -> str:
    return with_parts(OPERATIONS, {"log": log, "metrics": metrics})


def with_parts(path: Path, parts: dict[str, Callable[[], str]]) -> str:
    text = path.read_text()
    for name, content in parts.items():
        text = filled(text, name, content(), path.name)
    return text


def filled(text: str, name: str, content: str, where: str = README.name) -> str:
    """The text with what stands between ``<!-- name -->`` and ``<!-- /name -->`` replaced."""
    opening, closing = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = text.partition(opening)
    _, ended, after = rest.partition(closing)
    if not found or not ended:
        sys.exit(f"{where} lacks the lines {opening} and {closing}")
    return f"{before}{opening}\n{content}\n{closing}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--pictures", action="store_true")
    arguments = parser.parse_args()
    made: dict[Path, tuple[Callable[[], str], str]] = {
        README: (readme, "make readme"),
        OPERATIONS: (operations, "make readme"),
        EXAMPLE: (example, "make readme"),
    }
    if arguments.check or arguments.pictures:
        made[PICTURE] = (picture, "make pictures")
    found = {path: path.read_text() if path.exists() else "" for path in made}
    stale = {path: text for path, (make, _) in made.items() if (text := make()) != found[path]}
    for path, text in stale.items():
        if arguments.check:
            sys.stderr.write(f"{path.relative_to(ROOT)} is out of date; run: {made[path][1]}\n")
        else:
            path.write_text(text)
    sys.exit(1 if arguments.check and stale else 0)


if __name__ == "__main__":
    main()
