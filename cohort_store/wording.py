"""Selectors and conditions in words, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


def readable(canonical: str) -> str:
    """A selector's canonical text in words: `home where plan exact pro, or promo_page`."""
    alternatives, value = msgspec.json.decode(canonical)
    said = []
    for event, tests in alternatives:
        name = "any event" if event is None else event
        wanted = " and ".join(" ".join(map(_word, test)) for test in tests)
        said.append(f"{name} where {wanted}" if wanted else name)
    return ", or ".join(said) + (f" by {value[0]}" if value is not None else "")


def flow(plain: Any) -> str:
    """JSON values in one line, as they stand in a definition: `kind: count, event: purchase, n: 3, within: 90d`."""
    return _entries(plain) if isinstance(plain, Mapping) else _flow(plain)


def _flow(plain: Any) -> str:
    if isinstance(plain, Mapping):
        return f"{{{_entries(plain)}}}"
    if isinstance(plain, list):
        return f"[{', '.join(map(_flow, plain))}]"
    return plain if isinstance(plain, str) else msgspec.json.encode(plain).decode()


def _entries(plain: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}: {_flow(value)}" for key, value in plain.items())


def _word(part: object) -> str:
    """A property, an operator, or what is compared with: a number, or one of several texts."""
    if isinstance(part, list):
        return "|".join(map(_word, part))
    return f"{part:g}" if isinstance(part, float) else str(part)
