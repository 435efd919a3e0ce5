"""Whether the text of a setting can be an address: every check raises ValueError, with what to write instead.

What is checked is the form. Whether anybody answers there shows when it is used.
"""

from __future__ import annotations

import re
from ipaddress import ip_network
from urllib.parse import SplitResult, urlsplit

PORT_MAX = 65_535

_BROKER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\],?#]+)(?::([0-9]{1,5}))?")
_DATABASE = re.compile(r"/?|/[0-9]{1,5}/?")


def check_brokers(text: str) -> None:
    """Kafka's bootstrap servers: `host:port`, several with commas between."""
    for server in text.split(","):
        found = _BROKER.fullmatch(server.strip())
        if found is None or not 1 <= int(found[2] or 1) <= PORT_MAX:
            raise ValueError(
                f"no brokers; write host:port with a port of 1 to {PORT_MAX}, several with commas between, "
                "no scheme, and an IPv6 address in brackets"
            )


def check_view(text: str) -> None:
    """Redis: a URL, of a Cluster several with commas between, of which all but the first may be `host:port`."""
    first, *others = text.split(",")
    parts = _split(first)
    if parts.scheme == "unix" and parts.path and not others:
        return
    if parts.scheme not in ("redis", "rediss") or not parts.hostname or _DATABASE.fullmatch(parts.path) is None:
        raise ValueError("no URL of a Redis; write redis://host:6379/0, or rediss:// for TLS")
    for other in others:
        if not _split(other if "//" in other else f"//{other}").hostname:
            raise ValueError("one of its nodes has no name; write redis://a:6379,b:6379")


def check_history(text: str) -> None:
    """ClickHouse's HTTP interface: a URL, or nothing."""
    parts = _split(text)
    if text and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ValueError("no URL of ClickHouse's HTTP interface; write http://user:password@host:8123/database")


def check_network(text: str) -> None:
    """An address, or a network of them."""
    try:
        ip_network(text.strip(), strict=False)
    except ValueError:
        raise ValueError(f"{text[:60]!r} is no address and no network; write 10.0.0.7 or 10.0.0.0/8") from None


def check_origin(text: str) -> None:
    """A site as a browser names it, or `*` for any."""
    parts = _split(text)
    is_bare = parts.scheme in ("http", "https") and parts.hostname and not (parts.path or parts.query or parts.fragment)
    if text != "*" and not (is_bare and parts.username is None):
        raise ValueError(f"{text[:60]!r} is no origin; write https://shop.example with its port and no path, or *")


def _split(url: str) -> SplitResult:
    """A URL's parts, its port a number from 1 to PORT_MAX. The message shows no login: it may hold a password."""
    try:
        parts = urlsplit(url)
        if parts.port != 0:
            return parts
    except ValueError:
        pass
    raise ValueError(f"its host or port cannot be read; a port is 1 to {PORT_MAX}, an IPv6 address stands in brackets")
