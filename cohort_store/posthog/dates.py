"""PostHog's relative dates: a number and a letter, in which `m` is a month and `M` a minute."""

from __future__ import annotations

import re
from typing import Any

_RELATIVE = re.compile(r"-?([0-9]{1,4})([smhdwMHDWqyQY])", re.ASCII)
_UNITS = {"s": "s", "M": "m", "h": "h", "d": "d", "w": "w", "m": "mo", "y": "y"}
_QUARTER_MONTHS = 3


def relative_date(value: Any) -> str | None:
    """`-3m` or `3m` as Muster writes it, `-3mo`; None for what is no relative date of PostHog's.

    A month is 30 days here and a year 365, where PostHog counts calendar months.
    """
    match = _RELATIVE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    number, letter = int(match[1]), match[2]
    if letter in "qQ":
        return f"-{number * _QUARTER_MONTHS}mo"
    return f"-{number}{_UNITS[letter if letter == 'M' else letter.lower()]}"
