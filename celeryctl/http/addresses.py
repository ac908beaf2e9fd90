"""Addresses of the open internet, and those that a source may not lie on unless that is allowed."""

import ipaddress
from collections.abc import Iterable

from celeryctl.errors import SourceError

NAT64 = ipaddress.ip_network("64:ff9b::/96")
GLOBAL = ipaddress.ip_network("2000::/3")  # all that was ever given out of IPv6
# For protocols and documentation; older Pythons do not know.
RESERVED = (ipaddress.ip_network("192.0.0.0/24"), ipaddress.ip_network("3fff::/20"))


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet, also where it is an IPv4 address in the clothes of IPv6."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is None and ip not in GLOBAL:
            return False
        ip = inner or ip
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in RESERVED)


def refuse_private(host: str, addresses: Iterable[str]) -> None:
    """Raise SourceError where any of a host's addresses is private: it could be the one that is taken."""
    for address in addresses:
        if not is_public(address):
            raise SourceError(
                f"the source at {host} lies on a private address",
                why=f"{address} is not an address of the open internet",
                fix="export ALLOW_PRIVATE_SOURCES=1    (only if that server is meant)",
            )
