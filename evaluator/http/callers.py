"""Who sent a request, as a rate limit and a log need it: the address behind the proxies that are trusted."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

PROXIES_MAX = 32
"""Addresses of X-Forwarded-For that are looked at, from the last one on."""
IPV6_SITE_BITS = 64
"""One caller has a whole network of this size, so it is one name."""

Network = IPv4Network | IPv6Network


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Addresses and networks, as the setting names them. Raises ValueError."""
    return tuple(ip_network(text.strip(), strict=False) for text in texts)


def caller_of(peer: str, forwarded: str | None, trusted: Sequence[Network]) -> str:
    """The address of the one who asks, a network's where it is IPv6.

    `peer` is whom the connection comes from, with a port or without. Only what a trusted proxy wrote is believed: from
    the end of X-Forwarded-For the first address that is no trusted proxy's. What stands before that anybody can have
    written.
    """
    address = _address(peer)
    if address is None:
        return peer
    if forwarded and trusted and _is_one_of(address, trusted):
        for text in reversed(forwarded.rsplit(",", PROXIES_MAX)[-PROXIES_MAX:]):
            named = _address(text.strip())
            if named is None:
                break
            address = named
            if not _is_one_of(address, trusted):
                break
    return _name(address)


def _is_one_of(address: IPv4Address | IPv6Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _name(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(ip_network((address, IPV6_SITE_BITS), strict=False))


@lru_cache(maxsize=4_096)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    """An address, of one with a port too; IPv4 within IPv6 is IPv4. None for anything else."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
