"""Redis or Valkey: whether it answers, keeps what it is given, and whom it lets in."""

from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from celeryctl.checks.check import Check, Result
from celeryctl.checks.patient import Patient
from celeryctl.cluster.queues import WHO, address, broker, lets_anybody_in, rights_of
from celeryctl.logs import one_line
from celeryctl.settings import masked

OLDEST = 7  # the first Redis that we support; Valkey says what it is compatible with
CLI = 'redis-cli -u "$REDIS_URL"'
KEEP = f"{CLI} CONFIG SET maxmemory-policy noeviction"
FULL = 0.9  # of its memory


def checks(patient: Patient) -> list[Check]:
    return [
        Check(name="broker", section="Broker", run=lambda: _reach(patient), needs=("data sets",), service=True,
              fix="celeryctl config show    (see REDIS_URL)"),
        Check(name="Redis version", section="Broker", run=lambda: _version(patient), needs=("broker",)),
        Check(name="memory policy", section="Broker", run=lambda: _memory(patient), needs=("broker",)),
        Check(name="broker password", section="Broker", run=lambda: _password(patient), needs=("broker",)),
        Check(name="broker rights", section="Broker", run=lambda: _rights(patient), needs=("broker",)),
    ]  # fmt: skip


def _reach(patient: Patient) -> Result:
    url = address(patient.context.settings)
    with broker(url) as client:
        client.ping()
    return Result("ok", masked(url))


def _info(patient: Patient, section: str) -> dict[str, Any]:
    with broker(address(patient.context.settings)) as client:
        found: Any = client.info(section)
        return dict(found)


def _version(patient: Patient) -> Result:
    found = _info(patient, "server")
    text = str(found["redis_version"])
    told = f"Valkey {found['valkey_version']}" if "valkey_version" in found else f"Redis {text}"
    if int(text.split(".")[0]) < OLDEST:
        why = f"it is {told}; celeryctl needs Redis {OLDEST} or newer, or Valkey"
        return Result("failed", why, "celeryctl config show    (name a newer server in REDIS_URL)")
    return Result("ok", told)


def _memory(patient: Patient) -> Result:
    """A broker that evicts loses messages; one that does not refuses new ones when it is full."""
    found = _info(patient, "memory")
    most, used, policy = int(found["maxmemory"]), int(found["used_memory"]), str(found["maxmemory_policy"])
    told = f"{policy}, {used / 2**20:,.0f} MiB of {f'{most / 2**20:,.0f} MiB' if most else 'unlimited'}"
    if policy.startswith("allkeys"):
        # Also while there is no limit: whoever sets one later does not think of it.
        return Result("failed" if most else "warning", f"{told}: when full it throws messages away", KEEP)
    if most and used > FULL * most:
        return Result("warning", f"{told}: when full it takes no more messages", f"{CLI} CONFIG SET maxmemory …")
    return Result("ok", told)


def _password(patient: Patient) -> Result:
    """Whether it lets publish who has no password: anybody who may can make workers do things."""
    url = address(patient.context.settings)
    if not lets_anybody_in(url):
        return Result("ok", "asked for")
    local = _is_loopback(urlsplit(url).hostname or "localhost")
    told = f"it lets publish who has no password, {'from this machine' if local else 'from the network'}"
    fix = f"{CLI} CONFIG SET requirepass <password>    (then put it into REDIS_URL)"
    return Result("warning" if local else "failed", told, fix)


def _rights(patient: Patient) -> Result:
    """Of a user that may only read nothing more is expected, unless its name says so."""
    found = rights_of(patient.context.settings)
    lacking = [*found.needed, *found.further]
    if not lacking:
        return Result("ok", f"user {one_line(found.user)} may do what {found.program} does")
    why = f"user {one_line(found.user)} lacks for what {found.program} does: {', '.join(dict.fromkeys(lacking))}"
    return Result("failed" if found.needed else "warning", why, WHO)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
