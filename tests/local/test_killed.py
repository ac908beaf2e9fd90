"""An `up` that is killed, at any moment: the next one, or `down`, cleans up behind it, and nothing is missing."""

import json
import subprocess
from contextlib import suppress

import psutil
import pytest
from waiting import eventually

from .cockpit import Cockpit
from .embedded import ask
from .test_up import LOCAL, family, living

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]

MANY = 5000
UNDER_WAY = "SELECT count(*) FROM batches WHERE token IS NOT NULL AND due > now()"
# What an `up` has started last, as its command line says.
MOMENTS = ("", "initdb", "postgres -D", "valkey-server", "celeryctl api", "celeryctl worker", "celeryctl beat")


def below(up: "subprocess.Popen[str]", words: str) -> set[psutil.Process]:
    """All processes of an `up`, once one of them has these words in its command line."""
    with suppress(psutil.NoSuchProcess):
        found = {psutil.Process(up.pid), *psutil.Process(up.pid).children(recursive=True)}
        if any(words in " ".join(one.cmdline()) for one in found):
            return found
    return set()


def assert_once_fills(cockpit: Cockpit, users: int) -> None:
    done = cockpit.run("up", "--once", "--json", "--users", str(users), *LOCAL)
    assert done.returncode == 0, done
    document = json.loads(done.stdout)
    assert (document["total_users"], document["users_with_both"]) == (users, users)


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_while_it_starts_it_leaves_nothing_that_the_next_does_not_end(moment: str, cockpit: Cockpit) -> None:
    up = cockpit.start("up", *LOCAL)
    processes = eventually(lambda: below(up, moment), within=60)
    up.kill()
    up.wait()
    assert_once_fills(cockpit, 10)
    assert not living(processes)
    assert not cockpit.left()


@pytest.mark.parametrize("then", ["up", "down"])
def test_killed_in_the_midst_of_a_fetch_it_is_cleaned_up_and_what_it_began_is_finished(
    then: str, cockpit: Cockpit
) -> None:
    up = cockpit.up("--users", str(MANY))
    url = cockpit.document()["settings"]["DATABASE_URL"]
    eventually(lambda: int(ask(url, UNDER_WAY)), within=60)
    orphans = family(up, cockpit)
    up.kill()
    up.wait()
    assert living(orphans)
    if then == "down":
        assert cockpit.run("down").returncode == 0
        assert not cockpit.left()
    assert_once_fills(cockpit, MANY)
    assert not living(orphans)
    assert not cockpit.left()
