"""Whether a property passes a test, by the table of operators, read word by word.

Shares nothing with the product. Numbers as text go through `decimal`; whether a text is a number is
asked of `float`, minus the spellings that JSON knows nothing of; dates are asked of `datetime.fromisoformat`, minus the
forms that are not in the table; patterns of Python's `re`, which reads the plain ones as RE2 does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

UNITS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}
UNITS |= {"mo": 30 * UNITS["d"], "y": 365 * UNITS["d"]}
NEGATED = {
    "is_not": "exact",
    "is_not_set": "is_set",
    "not_icontains": "icontains",
    "not_starts_with": "starts_with",
    "not_ends_with": "ends_with",
    "not_regex": "regex",
    "not_between": "between",
}


def passes(test: Mapping[str, Any], properties: Mapping[str, Any], now: int | None = None) -> bool:
    """Whether an event or person with these properties passes `{property, op, value}`, asked at `now`."""
    op = test.get("op", "exact")
    if op in NEGATED:
        return not passes({**test, "op": NEGATED[op]}, properties, now)
    value = properties.get(test["property"])
    wanted: Any = test.get("value")
    if value is None:
        return False
    if op == "is_set":
        return True
    if op in ("gt", "gte", "lt", "lte"):
        return _compares(number(value), op, number(wanted))
    if op == "between":
        return _compares(number(value), "gte", number(wanted[0])) and _compares(number(value), "lte", number(wanted[1]))
    if op.startswith("is_date_"):
        return _date_passes(op.removeprefix("is_date_"), instant(value), wanted, now)
    if op.startswith("semver_"):
        return _version_passes(op.removeprefix("semver_"), text(value), wanted)
    any_of = wanted if isinstance(wanted, list) else [wanted]
    return any(_text_passes(op, text(value), text(each)) for each in any_of)


def _text_passes(op: str, present: str, wanted: str) -> bool:
    if op == "exact":
        return present == wanted
    if op == "icontains":
        return wanted.casefold() in present.casefold()
    if op == "starts_with":
        return present[: len(wanted)] == wanted
    if op == "ends_with":
        return present[max(len(present) - len(wanted), 0) :] == wanted
    if op == "regex":
        return re.search(wanted, present) is not None
    raise NotImplementedError(f"the oracle knows no operator {op}")


def _date_passes(op: str, present: int | None, wanted: Any, now: int | None) -> bool:
    limit = instant(wanted)
    if limit is None:
        assert now is not None
        limit = now - sum(
            int(count) * UNITS[unit] for count, unit in re.findall(r"([0-9]+)(mo|ms|[smhdwy])", wanted[1:])
        )
    if present is None:
        return False
    return {"before": present < limit, "after": present > limit, "exact": present == limit}[op]


def instant(value: Any) -> int | None:
    """A JSON value as an instant in milliseconds since 1970; None where it is no date."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    if isinstance(value, str) and len(value) >= 10 and value[4] == "-" != value[:1]:
        day, clock, zone = _iso_parts(value)
        try:
            found = datetime.fromisoformat(day + (f"T{clock}" if clock else "") + zone)
        except ValueError:
            return None
        if not _is_plain_iso(value, clock, zone):
            return None
        return ((found if found.tzinfo else found.replace(tzinfo=UTC)) - epoch) // timedelta(milliseconds=1)
    seconds = number(value)
    if seconds is None or not -62135596800 <= seconds <= 253402300799:
        return None
    return round(seconds * 1e6) // 1000


def _iso_parts(value: str) -> tuple[str, str, str]:
    """Day, time of day, zone."""
    day, rest = value[:10], value[11:]
    for mark in ("Z", "+", "-"):
        clock, found, zone = rest.partition(mark)
        if found:
            return day, clock, mark + zone
    return day, rest, ""


def _is_plain_iso(value: str, clock: str, zone: str) -> bool:
    def shape(part: str) -> str:
        return "".join("9" if each in "0123456789" else each for each in part)

    whole, _, fraction = clock.partition(".")
    if shape(value[:10]) != "9999-99-99" or (len(value) > 10 and (value[10] not in "T " or not clock)):
        return False
    if clock and (whole[:2] == "24" or shape(whole) not in ("99:99", "99:99:99")):
        return False
    if "." in clock and (len(whole) != 8 or shape(fraction) != "9" * len(fraction) or not 1 <= len(fraction) <= 9):
        return False
    if shape(zone)[1:] not in ("", "99", "9999", "99:99") or zone in ("+", "-") or (zone and not clock):
        return False
    return zone.strip("Z") == "" or len(zone) == 3 or int(zone[-2:]) < 60


def version(value: str) -> tuple[tuple[int, int, int], list[str]] | None:
    """The three numbers and the prerelease's identifiers of a semantic version; None where a text is none."""
    rest, plus, build = value.partition("+")
    numbers, minus, prerelease = rest.partition("-")
    parts, identifiers = numbers.split("."), prerelease.split(".") if minus else []
    if len(value) > 256 or len(parts) != 3 or not all(map(_is_number, parts)):
        return None
    words = [*identifiers, *(build.split(".") if plus else [])]
    if not all(word and set(word) <= _WORD for word in words):
        return None
    if any(word.isdigit() and not _is_number(word) for word in identifiers):
        return None
    return (int(parts[0]), int(parts[1]), int(parts[2])), identifiers


_WORD = set("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-")


def _is_number(part: str) -> bool:
    return part.isascii() and part.isdigit() and (part == "0" or part[0] != "0") and len(part) <= 18


def precedence(left: str, right: str) -> int:
    """Below 0, 0 or above 0, as the left version comes before, with or after the right one."""
    one, other = version(left), version(right)
    assert one is not None
    assert other is not None
    if one[0] != other[0]:
        return 1 if one[0] > other[0] else -1
    if not one[1] or not other[1]:
        return (not one[1]) - (not other[1])
    for here, there in zip(one[1], other[1], strict=False):
        if here != there:
            if here.isdigit() and there.isdigit():
                return 1 if int(here) > int(there) else -1
            if here.isdigit() != there.isdigit():
                return -1 if here.isdigit() else 1
            return 1 if here > there else -1
    return len(one[1]) - len(other[1])


def _version_passes(op: str, present: str, wanted: str) -> bool:
    if version(present) is None:
        return False
    if op in ("eq", "neq", "gt", "gte", "lt", "lte"):
        order = precedence(present, wanted)
        return {
            "eq": order == 0,
            "neq": order != 0,
            "gt": order > 0,
            "gte": order >= 0,
            "lt": order < 0,
            "lte": order <= 0,
        }[op]
    lowest, fixed = _range(op, wanted)
    found, least = version(present), version(lowest)
    assert found is not None
    assert least is not None
    return precedence(present, lowest) >= 0 and found[0][:fixed] == least[0][:fixed]


def _range(op: str, wanted: str) -> tuple[str, int]:
    """The lowest version of a range, and how many of its numbers every other one shares."""
    if op == "wildcard":
        numbers = [part for part in wanted.split(".") if part != "*"]
        return ".".join([*numbers, "0", "0", "0"][:3]), len(numbers)
    if op == "tilde":
        return wanted, 2
    found = version(wanted)
    assert found is not None
    major, minor, _ = found[0]
    return wanted, 1 if major else 2 if minor else 3


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
