"""Which addresses a URL of a caller may lead to: those of the public Internet, and what the operator allows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

# Source: RFC 6052, 64:ff9b::/96 holds an IPv4 address in its last 32 bits.
NAT64 = IPv6Network("64:ff9b::/96")
# Metadata and host services of clouds at addresses that count as global elsewhere. Source: Microsoft, "What is IP
# address 168.63.129.16"; Oracle Cloud, instance metadata (192.0.0.192, 169.254.169.254, fd00:c1::a9fe:a9fe).
SERVICES = frozenset(map(ip_address, ("168.63.129.16", "192.0.0.192", "100.100.100.200", "fd00:ec2::254")))
# Global by the book, and none of these is a web server that anybody means: tunnels to other addresses, the relays of
# one kind of them, NAT64 within a site, addresses that stand for an IPv4 address, and what is no longer given out.
# Source: RFC 4380, RFC 7526, RFC 8215, RFC 4291.
ODD = tuple(
    map(ip_network, ("2001::/32", "192.88.99.0/24", "64:ff9b:1::/48", "::/96", "fec0::/10", "3ffe::/16", "5f00::/8"))
)


def may_be_fetched(address: Address, allowed: Sequence[Network] = ()) -> bool:
    """Return whether a URL may lead to the address; allowed: networks of the operator's own that it may lead to too.

    An address that holds another one, as IPv4-mapped, 6to4 and NAT64 ones do, is judged by that one.
    """
    inner = embedded(address)
    if inner is not None:
        return may_be_fetched(inner, allowed)
    if any(address in network for network in allowed if network.version == address.version):
        return True
    return is_public(address)


def is_public(address: Address) -> bool:
    """Return whether the address is a host's on the public Internet."""
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return False
    odd = any(address in network for network in ODD if network.version == address.version)
    # `is_global` alone lets multicast through, and what counts as global has changed between Python's releases.
    special = address.is_multicast or address.is_reserved or address.is_unspecified or address.is_loopback
    inside = address.is_private or address.is_link_local or address in SERVICES
    return address.is_global and not (special or inside or odd)


def embedded(address: Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address stands for, None where it stands for itself."""
    if not isinstance(address, IPv6Address):
        return None
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
