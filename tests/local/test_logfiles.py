import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from celeryctl.errors import CeleryctlError, HomeError, UsageError
from celeryctl.home import create
from celeryctl.local import logfiles
from celeryctl.local.generate import CARD_NUMBERS
from celeryctl.local.logfiles import open_log

pytestmark = pytest.mark.unit


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The log of `beat` in a new home."""
    home = create(tmp_path / ".celeryctl")
    with open_log(home, "beat") as file:
        file.write(b"one\ntwo\nthree\n")
    return home / "logs" / "beat.log"


def follow(*files: Path, steps: Sequence[Callable[[], object]]) -> list[str]:
    """What is shown in all, when these things happen one by one between two looks."""
    todo = iter(steps)

    class DoneError(Exception):
        pass

    def pause() -> None:
        step = next(todo, None)
        if step is None:
            raise DoneError
        step()

    lines: list[str] = []
    with suppress(DoneError):
        for _, line in logfiles.read(files, 10, follow=True, pause=pause):
            lines.append(line)
    return lines


def add(log: Path, text: str) -> None:
    with log.open("a") as file:
        file.write(text)


def test_the_last_lines_of_each_file_come_with_its_name(log: Path) -> None:
    add(log.with_name("api.log"), "served\n")
    files = logfiles.choose(log.parents[1], None)
    assert list(logfiles.read(files, 2, follow=False)) == [("api", "served"), ("beat", "two"), ("beat", "three")]
    assert list(logfiles.read(files, 0, follow=False)) == []


def test_one_process_can_be_chosen_and_an_unknown_one_is_named(log: Path) -> None:
    add(log.with_name("api.log"), "served\n")
    assert logfiles.choose(log.parents[1], "beat") == [log]
    with pytest.raises(UsageError, match="no log of 'beet'") as refused:
        logfiles.choose(log.parents[1], "beet")
    assert refused.value.why == "there are: api, beat"


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "*", ""])
def test_no_file_outside_the_logs_is_read(log: Path, name: str) -> None:
    (log.parents[2] / "secret.log").write_text("no")
    with pytest.raises(UsageError):
        logfiles.choose(log.parents[1], name)


def test_where_nothing_was_started_there_is_nothing_to_read_and_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(CeleryctlError, match="no log files") as refused:
        logfiles.choose(tmp_path / ".celeryctl", None)
    assert refused.value.fix == "celeryctl up"
    assert not list(tmp_path.iterdir())


def test_what_is_added_is_followed(log: Path) -> None:
    steps = [lambda: add(log, "four\nfive\n"), lambda: None, lambda: add(log, "six\n")]
    assert follow(log, steps=steps) == ["one", "two", "three", "four", "five", "six"]


def test_a_line_that_comes_in_pieces_is_shown_once_and_whole(log: Path) -> None:
    add(log, "postgresql://me:")
    steps = [lambda: add(log, "s3"), lambda: add(log, "cret@host/db\nne"), lambda: add(log, "xt\n")]
    assert follow(log, steps=steps) == ["one", "two", "three", "postgresql://me:****@host/db", "next"]


def test_an_unfinished_line_is_shown_where_nobody_follows(log: Path) -> None:
    add(log, "unfinished")
    assert [line for _, line in logfiles.read([log], 1, follow=False)] == ["unfinished"]


def test_a_file_that_was_emptied_begins_anew(log: Path) -> None:
    # Shorter than it was, and written before anybody looks again.
    steps = [lambda: log.write_text("new\n"), lambda: add(log, "more\n")]
    assert follow(log, steps=steps) == ["one", "two", "three", "new", "more"]


def test_following_goes_on_while_a_file_is_not_there(log: Path) -> None:
    other = log.with_name("api.log")
    add(other, "served\n")
    steps = [log.unlink, lambda: add(other, "again\n"), lambda: add(log, "back\n")]
    assert follow(log, other, steps=steps) == ["one", "two", "three", "served", "again", "back"]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("redis://:s3cret@localhost:6379/0", "redis://:****@localhost:6379/0"),
        (f"card {CARD_NUMBERS[0]} there", "card **** there"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("a\rb\x7f\x9b1m", r"a\rb\x7f\x9b1m"),
        ("\u202eabc\u2028", r"\u202eabc\u2028"),
        ("Zoë\t漢字 ✓", "Zoë\t漢字 ✓"),
    ],
)
def test_secrets_are_masked_and_nothing_steers_the_terminal(written: str, shown: str) -> None:
    assert logfiles.shown(written + "\n") == shown


def test_bytes_that_are_no_text_do_not_stop_it(log: Path) -> None:
    log.write_bytes(b"\xff\xfe\n")
    assert [line for _, line in logfiles.read([log], 5, follow=False)] == ["\ufffd\ufffd"]


def test_a_log_is_private_and_goes_on_where_it_ended(tmp_path: Path) -> None:
    for line in (b"one\n", b"two\n"):
        with open_log(tmp_path, "beat") as log:
            log.write(line)
    path = tmp_path / "logs" / "beat.log"
    assert path.read_bytes() == b"one\ntwo\n"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_log_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    with tempfile.NamedTemporaryFile() as target:
        (tmp_path / "logs" / "beat.log").symlink_to(target.name)
        with pytest.raises(HomeError):
            open_log(tmp_path, "beat")


def test_a_log_that_is_too_large_begins_anew_and_the_last_three_stay(log: Path) -> None:
    home = log.parents[1]
    add(log.with_name("api.log"), "short\n")
    with open_log(home, "beat") as writer:
        for number in range(5):
            writer.write(b"%d\n" % number * 1000)
            writer.flush()
            logfiles.rotate(home, 1000)
            assert log.stat().st_size == 0
        writer.write(b"and on\n")
    assert log.read_text() == "and on\n"
    names = [f"beat.log.{number}" for number in (1, 2, 3)]
    assert sorted(path.name for path in log.parent.iterdir()) == ["api.log", "beat.log", *names]
    assert [log.with_name(name).read_text()[:2] for name in names] == ["4\n", "3\n", "2\n"]
    assert {log.with_name(name).stat().st_mode & 0o777 for name in names} == {0o600}
    assert [name for name, _ in logfiles.read(logfiles.choose(home, None), 9, follow=False)] == ["api", *["beat"] * 9]


def test_who_follows_a_log_that_begins_anew_sees_every_line_once(log: Path) -> None:
    def begin_anew(*pieces: str) -> None:
        for piece in pieces:
            add(log, piece)
            logfiles.rotate(log.parents[1], 1)

    steps = [
        lambda: begin_anew("four\n"),
        lambda: add(log, "five\n"),
        # A line that is written on where the file begins anew.
        lambda: begin_anew("six\nse"),
        lambda: None,
        lambda: add(log, "ven\n"),
        lambda: begin_anew("eight\n"),
    ]
    assert follow(log, steps=steps) == ["one", "two", "three", "four", "five", "six", "seven", "eight"]


def test_the_last_lines_are_shown_also_after_a_log_began_anew(log: Path) -> None:
    add(log, "fo")
    logfiles.rotate(log.parents[1], 1)
    add(log, "ur\nfive\n")
    for count, lines in ((9, ["one", "two", "three", "four", "five"]), (2, ["four", "five"]), (1, ["five"])):
        assert [line for _, line in logfiles.read([log], count, follow=False)] == lines
    log.with_name("beat.log.1").write_text("six\nse")
    log.write_text("")
    assert follow(log, steps=[lambda: add(log, "ven\n")]) == ["six", "seven"]


def test_a_log_is_not_copied_where_the_disk_is_nearly_full(log: Path) -> None:
    size = log.stat().st_size
    assert not logfiles.rotate(log.parents[1], 1, free=lambda _: 2 * size - 1)
    assert (log.stat().st_size, [path.name for path in log.parent.iterdir()]) == (size, ["beat.log"])
    assert logfiles.rotate(log.parents[1], 1, free=lambda _: 2 * size)
    assert log.with_name("beat.log.1").stat().st_size == size


def test_what_failed_is_tried_again_a_minute_later() -> None:
    moments = iter([0, 0, 0, 59.9, 60, 60.1])
    done = iter([False, True, True])
    rotation = logfiles.Rotation(lambda: next(done), lambda: next(moments))
    for _ in range(4):  # at 0, when it fails, at 59.9, at 60 and at 60.1
        rotation.look()
    assert list(done) == []


def test_a_log_that_cannot_be_copied_stays_as_it_is(log: Path) -> None:
    log.with_name("beat.log.0").symlink_to("elsewhere")
    assert not logfiles.rotate(log.parents[1], 1)
    assert (log.read_text(), [path.name for path in log.parent.iterdir()]) == ("one\ntwo\nthree\n", ["beat.log"])
