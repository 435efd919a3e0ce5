"""JSON values as text and as numbers, the way ClickHouse reads them."""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

from cohort_store.errors import BadEvent

_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_PLAIN_BELOW = 1e21
_PLAIN_FROM = 1e-6

_encode = msgspec.json.Encoder().encode


def text_of(value: Any) -> str:
    """A JSON value as text: booleans as true/false, numbers by their shortest decimal form, others as compact JSON.

    Raises BadEvent for a list or object that is nested too deep for that.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _shortest(value)
    if isinstance(value, int):
        return str(value)
    try:
        return _json_of(value)
    except RecursionError:
        raise BadEvent("nested_too_deep", "a property's value is nested too deep to be compared as text") from None


def number_of(value: Any) -> float | None:
    """A JSON number, or a text that is one and nothing more, as a 64-bit float.

    None for everything else, booleans and what is beyond a float included.
    """
    if isinstance(value, bool):
        return None
    try:
        if isinstance(value, (int, float)) or (isinstance(value, str) and _NUMBER.fullmatch(value)):
            number = float(value)
            return number if math.isfinite(number) else None
    except OverflowError:
        return None
    return None


def _shortest(value: float) -> str:
    """The fewest digits that read back as this float: plain from 10⁻⁶ to 10²¹, else as in `1.5e-7` or `1e21`."""
    if value.is_integer() and abs(value) < 1e16:
        return str(int(value))
    shown = repr(value)
    mantissa, mark, exponent = shown.partition("e")
    if not mark:
        return shown
    if not _PLAIN_FROM <= abs(value) < _PLAIN_BELOW:
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    sign = "-" if value < 0 else ""
    digits = mantissa.lstrip("-").replace(".", "")
    point = int(exponent) + 1
    return f"{sign}0.{'0' * -point}{digits}" if point <= 0 else f"{sign}{digits.ljust(point, '0')}"


def _json_of(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join([_json_of(each) for each in value])}]"
    if isinstance(value, dict):
        return f"{{{','.join([f'{_quoted(key)}:{_json_of(each)}' for key, each in value.items()])}}}"
    if isinstance(value, str):
        return _quoted(value)
    return "null" if value is None else text_of(value)


def _quoted(text: str) -> str:
    return _encode(text).decode()
