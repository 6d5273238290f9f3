"""Which addresses belong to the public internet. Knows the registries of special addresses; knows no names."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address

# Source: IANA IPv4 Special-Purpose Address Registry (all of it, those that are routed included: no picture lies there),
# multicast, and the address under which Azure answers its machines.
NOT_PUBLIC_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All that is handed out. Mapped, translated (NAT64), local and multicast addresses lie outside of it."""
# Source: IANA IPv6 Special-Purpose Address Registry: protocol assignments (Teredo, ORCHID), documentation, 6to4, AS112.
NOT_PUBLIC_V6 = tuple(
    IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)


def is_public(address: str) -> bool:
    """Whether a numeric address is on the public internet; what is no address, or has a zone, is not."""
    if "%" in address:
        return False
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv4Address):
        return not any(parsed in network for network in NOT_PUBLIC_V4)
    return parsed in GLOBAL_UNICAST and not any(parsed in network for network in NOT_PUBLIC_V6)
