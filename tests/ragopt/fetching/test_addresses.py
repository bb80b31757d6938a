"""Which addresses may be fetched from: the public Internet's, and nothing that is dressed up as one of them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragopt.fetching.addresses import NAT64, may_be_fetched

OUTSIDE = ["8.8.8.8", "93.184.215.14", "2606:4700::1111", "2a00:1450:4001:82f::200e"]
INSIDE = [
    *("0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254", "172.16.0.1"),
    *("192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1"),
    *("203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "168.63.129.16"),
    *("100.100.100.200", "::", "::1", "::7f00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "3ffe::1"),
    *("fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1"),
]


@pytest.mark.parametrize("text", OUTSIDE)
def test_the_public_internet_may_be_fetched(text: str) -> None:
    """Hosts that everybody can reach."""
    assert may_be_fetched(ip_address(text))


@pytest.mark.parametrize("text", INSIDE)
def test_everything_else_is_refused(text: str) -> None:
    """Private, shared, link-local, multicast, reserved, documentation, and the services of clouds."""
    assert not may_be_fetched(ip_address(text))


def dressed(address: IPv4Address) -> list[IPv6Address]:
    """Return the IPv6 addresses that stand for an IPv4 address."""
    number = int(address)
    mapped, nat64 = IPv6Address((0xFFFF << 32) | number), IPv6Address(int(NAT64.network_address) | number)
    return [mapped, nat64, IPv6Address((0x2002 << 112) | (number << 80) | 1)]


@given(st.ip_addresses(v=4))
def test_an_address_in_another_is_judged_by_itself(address: IPv4Address) -> None:
    """IPv4-mapped, NAT64 and 6to4 change nothing."""
    assert {may_be_fetched(one) for one in dressed(address)} == {may_be_fetched(address)}


@given(st.ip_addresses())
def test_what_is_not_global_is_never_fetched(address: IPv4Address | IPv6Address) -> None:
    """Whatever else holds, what Python calls private, loopback, link-local or multicast is refused."""
    inside = address.is_private or address.is_loopback or address.is_link_local or address.is_multicast
    assert not (may_be_fetched(address) and inside)


def test_the_operator_allows_networks_of_its_own() -> None:
    """Only those, in either version, and in whatever an address is dressed."""
    allowed = [ip_network("10.20.0.0/16"), ip_network("fd00:1::/32")]
    assert may_be_fetched(ip_address("10.20.3.4"), allowed)
    assert may_be_fetched(ip_address("::ffff:10.20.3.4"), allowed)
    assert may_be_fetched(ip_address("fd00:1::7"), allowed)
    assert not may_be_fetched(ip_address("10.21.0.1"), allowed)
    assert not may_be_fetched(ip_address("fd00:2::7"), allowed)
