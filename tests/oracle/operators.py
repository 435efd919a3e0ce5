"""Whether a property passes a test, by the table of operators, read word by word.

Shares nothing with the product. Numbers as text go through `decimal`; whether a text is a number is
asked of `float`, minus the spellings that JSON knows nothing of.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any


def passes(test: Mapping[str, Any], properties: Mapping[str, Any]) -> bool:
    """Whether an event or person with these properties passes `{property, op, value}`."""
    op = test.get("op", "exact")
    value = properties.get(test["property"])
    wanted = test.get("value")
    if op == "is_set":
        return value is not None
    if op == "is_not_set":
        return value is None
    if op in ("gt", "gte", "lt", "lte"):
        return _compares(number(value), op, number(wanted))
    if op == "is_not":
        return not passes({**test, "op": "exact"}, properties)
    if op == "not_icontains":
        return not passes({**test, "op": "icontains"}, properties)
    if value is None:
        return False
    any_of = wanted if isinstance(wanted, list) else [wanted]
    if op == "exact":
        return any(text(value) == text(each) for each in any_of)
    if op == "icontains":
        return any(text(each).casefold() in text(value).casefold() for each in any_of)
    raise NotImplementedError(f"the oracle knows no operator {op}")


def text(value: Any) -> str:
    """A JSON value as text."""
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:d}"
    if isinstance(value, float):
        return _shortest_decimal(value)
    if isinstance(value, list):
        return "[" + ",".join(_quoted(each) for each in value) + "]"
    return "{" + ",".join(_quoted(key) + ":" + _quoted(each) for key, each in value.items()) + "}"


def number(value: Any) -> float | None:
    """A JSON value as a number; None where it is none."""
    if value is None or isinstance(value, (bool, list, dict)):
        return None
    if isinstance(value, str) and (not value.isascii() or set(value) - set("0123456789+-.eE")):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if abs(found) < float("inf") else None


def _quoted(value: Any) -> str:
    if value is None:
        return "null"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else text(value)


def _shortest_decimal(value: float) -> str:
    """The fewest digits that read back as the same number: in full from a millionth to 10²¹, else with an exponent."""
    if value == 0:
        return "0"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    assert isinstance(exponent, int)
    minus = "-" if sign else ""
    if Decimal("1e-6") <= abs(Decimal(repr(value))) < Decimal("1e21"):
        return f"{Decimal(repr(value)).normalize():f}"
    shown = "".join(map(str, digits))
    point = f".{shown[1:]}" if len(shown) > 1 else ""
    return f"{minus}{shown[0]}{point}e{exponent + len(shown) - 1}"


def _compares(left: float | None, op: str, right: float | None) -> bool:
    if left is None or right is None:
        return False
    return {"gt": left > right, "gte": left >= right, "lt": left < right, "lte": left <= right}[op]
