"""An address is public, or it is not dialled."""

from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener.adapters.addresses import is_public
from listener.adapters.destinations import Policy, destination_of
from listener.errors import Unusable

PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.215.14", "172.15.255.255", "172.32.0.0", "2606:4700::1", "2a00:1450:4001::200e"]
# One of each entry of IANA's registries of special addresses, and of what is written in another's name.
SPECIAL = [
    *("0.0.0.0", "0.1.2.3", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "168.63.129.16"),
    *("169.254.0.1", "172.16.0.0", "172.31.255.255", "192.0.0.9", "192.0.0.192", "192.0.2.1", "192.31.196.1"),
    *("192.52.193.1", "192.88.99.1", "192.168.255.255", "192.175.48.1", "198.18.0.1", "198.19.255.255", "198.51.100.1"),
    *("203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::ffff:8.8.8.8", "::8.8.8.8", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "100::1", "100:0:0:1::1"),
    *("2001::1", "2001:1::1", "2001:2::1", "2001:3::1", "2001:4:112::1", "2001:10::1", "2001:20::1", "2001:30::1"),
    *("2001:db8::1", "2002:808:808::1", "2620:4f:8000::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254"),
    *("fe80::1", "fe80::1%eth0", "2606:4700::1%eth0", "fec0::1", "ff02::1"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_the_open_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", SPECIAL)
def test_no_special_address_is_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "text", ["", "localhost", "127.1", "0177.0.0.1", "0x7f.0.0.1", "2130706433", "1.1.1.1/32", "[::1]"]
)
def test_what_is_no_plain_address_is_not_public(text: str) -> None:
    assert not is_public(text)


@given(st.one_of(st.integers(0, 2**32 - 1).map(IPv4Address), st.integers(0, 2**128 - 1).map(IPv6Address)))
def test_what_python_takes_for_private_is_never_public(address: IPv4Address | IPv6Address) -> None:
    if is_public(str(address)):
        assert ip_address(str(address)).is_global


HOSTS = st.text("abz019.-_:[]%@/\\#? x\u2460\u3002", max_size=30)


@given(st.sampled_from(["http://", "https://", "HTTP://", "http:", "//", ""]), HOSTS, st.sampled_from(["", "/a.png"]))
def test_whatever_is_written_is_a_public_form_or_refused(scheme: str, host: str, path: str) -> None:
    with suppress(Unusable):
        url = scheme + host + path
        found = destination_of(url, Policy(allow_http=True))
        assert found.url.raw_host == found.host == re.split("[:/?#]", url.lower().partition("//")[2])[0]
        assert found.port in (80, 443)
        assert "." in found.host
