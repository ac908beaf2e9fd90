"""deploy/alerts.yml: Prometheus takes the rules; each fires when it should, and above all not when it should not."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.page import FAMILIES, families

ROOT = Path(__file__).parents[2]
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load((ROOT / "deploy/alerts.yml").read_text())["groups"]
    for rule in group["rules"]
}
CASES: list[dict[str, Any]] = yaml.safe_load((ROOT / "tests/deploy/alerts.yml").read_text())["tests"]


def raised(case: dict[str, Any]) -> set[str]:
    """The alerts that fire at any of the times that the case looks at."""
    samples = [one["labels"] for look in case["promql_expr_test"] for one in look["exp_samples"]]
    return {name for labels in samples for name in re.findall(r'alertname="(\w+)"', labels)}


@pytest.mark.integration
@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
@pytest.mark.parametrize("what", [("check", "deploy/alerts.yml"), ("test", "tests/deploy/alerts.yml")], ids="=".join)
def test_prometheus_takes_the_rules_and_raises_what_the_cases_say(what: tuple[str, str]) -> None:
    verb, file = what
    command = ["promtool", verb, "rules", str(ROOT / file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.unit
@pytest.mark.parametrize("name", RULES)
def test_every_rule_has_a_case_that_raises_it_and_one_that_must_not(name: str) -> None:
    assert [case["name"] for case in CASES if name in raised(case)]
    assert [case["name"] for case in CASES if case["name"].startswith(f"{name}: not ") and name not in raised(case)]


@pytest.mark.unit
def test_no_case_raises_what_its_name_rules_out() -> None:
    ruled_out = [(case["name"].split(":")[0], raised(case)) for case in CASES if ": not " in case["name"]]
    assert [name for name, found in ruled_out if name in found or name not in RULES] == []


@pytest.mark.unit
@pytest.mark.parametrize("name", RULES)
def test_every_alert_says_how_bad_it_is_and_which_command_comes_next(name: str) -> None:
    from celeryctl.cli.table import COMMANDS

    rule = RULES[name]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"]
    named = re.findall(r"`celeryctl ([a-z-]+)[^`]*`", rule["annotations"]["description"])
    assert named
    assert set(named) <= {entry.name for entry in COMMANDS}


@pytest.mark.unit
@pytest.mark.parametrize("name", RULES)
def test_every_rule_is_about_metrics_that_the_page_serves(name: str) -> None:
    named = families(RULES[name]["expr"])
    assert named
    assert named <= set(FAMILIES)
