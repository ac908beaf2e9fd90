"""deploy/systemd: systemd takes the units, they are well locked in, and a stop leaves a worker its time."""

import re
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

import pytest

from celeryctl.cluster.app import GRACE

UNITS = Path(__file__).parents[2] / "deploy/systemd"
STARTED = [
    "celeryctl-worker@1.service",
    "celeryctl-beat.service",
    "celeryctl-flower.service",
    "celeryctl-metrics.service",
]
NEEDED = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
MOST = 16  # tenths of what systemd calls exposure, out of 100
NEWER = {"RestartSteps": 254, "RestartMaxDelaySec": 254}


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as installed, but with a program that is there and without keys that this systemd would ignore."""
    found = re.search(r"systemd (\d+)", analyze("--version").stdout)
    assert found
    unknown = [key for key, since in NEWER.items() if int(found[1]) < since]
    for file in (path for path in UNITS.rglob("*") if path.is_file()):
        lines = file.read_text().replace("/opt/celeryctl/bin/celeryctl", "/bin/true").splitlines()
        target = tmp_path / file.relative_to(UNITS)
        target.parent.mkdir(exist_ok=True)
        target.write_text("\n".join(line for line in lines if line.split("=")[0] not in unknown))
    return tmp_path


def unit(path: Path) -> RawConfigParser:
    parsed = RawConfigParser(strict=False)
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read_string(path.read_text())
    return parsed


@pytest.mark.unit
def test_who_only_counts_has_no_card_keys() -> None:
    assert unit(UNITS / "celeryctl-metrics.service")["Service"]["UnsetEnvironment"] == "CARD_ENCRYPTION_KEYS"


@pytest.mark.integration
@NEEDED
@pytest.mark.parametrize("name", STARTED)
def test_systemd_has_nothing_to_say_about_the_units(installed: Path, name: str) -> None:
    done = analyze("verify", "--man=no", installed / name)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.integration
@NEEDED
@pytest.mark.parametrize("name", STARTED)
def test_the_units_are_locked_in(installed: Path, name: str) -> None:
    done = analyze("security", "--offline=true", f"--threshold={MOST}", "--no-pager", installed / name)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.unit
def test_a_stop_reaches_the_workers_main_process_alone_and_waits_for_an_answer_and_more() -> None:
    from celeryctl.settings import SETTINGS, parse_duration

    (answer,) = (parse_duration(one.default) for one in SETTINGS if one.variable == "HTTP_TOTAL_TIMEOUT")
    service = unit(UNITS / "celeryctl-worker@.service")["Service"]
    assert service["KillMode"] == "mixed"
    assert float(service["TimeoutStopSec"]) > answer.total_seconds() + GRACE


@pytest.mark.unit
def test_every_unit_starts_its_command_and_none_as_root() -> None:
    started = {path.name: unit(path)["Service"]["ExecStart"].split()[:2] for path in UNITS.glob("*.service")}
    program = "/opt/celeryctl/bin/celeryctl"
    assert started == {
        "celeryctl-worker@.service": [program, "worker"],
        "celeryctl-beat.service": [program, "beat"],
        "celeryctl-flower.service": [program, "flower"],
        "celeryctl-metrics.service": [program, "metrics"],
    }
    assert unit(UNITS / "celeryctl-.service.d/common.conf")["Service"]["User"] == "celeryctl"


@pytest.mark.unit
def test_of_the_workers_of_a_machine_each_may_have_settings_of_its_own() -> None:
    # Later ones win; %N is the whole name, such as celeryctl-worker@2, %p what stands before the @.
    lines = (UNITS / "celeryctl-.service.d/common.conf").read_text().splitlines()
    files = [line.partition("=")[2] for line in lines if line.startswith("EnvironmentFile=")]
    assert files == ["/etc/celeryctl/env", "-/etc/celeryctl/%p.env", "-/etc/celeryctl/%N.env"]
