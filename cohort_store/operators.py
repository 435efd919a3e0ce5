"""The table of property operators: what each compares with, and when it holds.

`OPERATORS` has the positive ones and `NEGATIVES` names, for each negative one, the operator that it denies. A positive
operator on a missing (or null) property is false, a negative one true. `semver_neq` is a positive one: it
holds for a version that is another one, so neither for what is no version nor for what is missing, as in PostHog.

Building a `Meaning` checks the definition's value, so that one which does not fit is refused when it is written.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cohort_store.patterns import compile_pattern
from cohort_store.property_dates import DateLimit, instant_of, parse_limit
from cohort_store.property_values import number_of, text_of
from cohort_store.semantic_versions import VersionRange, caret, parse_version, tilde, version_of, wildcard

Holds = Callable[[Any], bool]
"""Of a value that is there: neither missing nor null."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """An operator with the value of a definition."""

    canonical: Any
    """What is compared with, as plain JSON: equal exactly where the meaning is."""
    holds: Holds


@dataclass(frozen=True, slots=True)
class RelativeMeaning:
    """A date operator with a time before the question, `back_ms` long: when it holds depends on `now` too."""

    canonical: Any
    back_ms: int
    compare: Callable[[int, int], bool]
    turns: tuple[int, ...]
    """Milliseconds from the crossing, at which the date lies exactly `back_ms` back, to where the verdict differs."""


def _texts(value: Any) -> list[str]:
    return [text_of(each) for each in (value if isinstance(value, tuple) else (value,))]


def _any_text(matches: Callable[[str, list[str]], bool]) -> Callable[[str, Any], Meaning]:
    """An operator on text; a list means any of."""

    def meaning(_: str, value: Any) -> Meaning:
        wanted = _texts(value)
        return Meaning(sorted(set(wanted)), lambda present: matches(text_of(present), wanted))

    return meaning


def _exact(_: str, value: Any) -> Meaning:
    wanted = frozenset(_texts(value))
    return Meaning(sorted(wanted), lambda present: text_of(present) in wanted)


def _icontains(_: str, value: Any) -> Meaning:
    wanted = _texts(value)
    folded = [text.casefold() for text in wanted]

    def holds(present: Any) -> bool:
        text = text_of(present).casefold()
        return any(part in text for part in folded)

    return Meaning(sorted(set(wanted)), holds)


def _regex(_: str, value: Any) -> Meaning:
    wanted = sorted(set(_texts(value)))
    patterns = [compile_pattern(pattern) for pattern in wanted]

    def holds(present: Any) -> bool:
        text = text_of(present)
        return any(found(text) for found in patterns)

    return Meaning(wanted, holds)


def _number(op: str, value: Any) -> Meaning:
    compare = _COMPARISONS[op]
    limit = number_of(value)
    if limit is None:
        raise ValueError(f"operator {op} compares numbers, {str(value)[:40]!r} is none; write one number")

    def holds(present: Any) -> bool:
        number = number_of(present)
        return number is not None and compare(number, limit)

    return Meaning(limit, holds)


def _between(op: str, value: Any) -> Meaning:
    bounds = [number_of(each) for each in value] if isinstance(value, tuple) else []
    low, high = bounds if len(bounds) == 2 else (None, None)
    if low is None or high is None:
        shown = str(list(value) if isinstance(value, tuple) else value)[:40]
        raise ValueError(f"operator {op} needs a list of two numbers, {shown!r} is none; write [1, 10]")
    if low > high:
        raise ValueError(f"operator {op} from {value[0]} to {value[1]}: the lower number comes first; exchange them")

    def holds(present: Any) -> bool:
        number = number_of(present)
        return number is not None and low <= number <= high

    return Meaning([low, high], holds)


def _date(op: str, value: Any) -> Meaning | RelativeMeaning:
    limit: DateLimit = parse_limit(value)
    compare, turns = _DATES[op]
    if limit.fixed_ms is None:
        return RelativeMeaning(f"-{limit.back_ms}ms", limit.back_ms, compare, turns)
    fixed_ms = limit.fixed_ms

    def holds(present: Any) -> bool:
        instant = instant_of(present)
        return instant is not None and compare(instant, fixed_ms)

    return Meaning(fixed_ms, holds)


def _version(op: str, value: Any) -> Meaning:
    compare = _VERSIONS[op]
    limit = parse_version(value)

    def holds(present: Any) -> bool:
        version = version_of(text_of(present))
        return version is not None and compare(version, limit)

    return Meaning(str(value).partition("+")[0], holds)


def _versions(bounds: Callable[[Any], VersionRange]) -> Callable[[str, Any], Meaning]:
    def meaning(_: str, value: Any) -> Meaning:
        span = bounds(value)

        def holds(present: Any) -> bool:
            version = version_of(text_of(present))
            return version is not None and span.holds(version)

        return Meaning(str(value).partition("+")[0], holds)

    return meaning


_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
# A date D is `back_ms` back at the crossing D + back_ms: before it D is after the limit, behind it before.
_DATES: dict[str, tuple[Callable[[int, int], bool], tuple[int, ...]]] = {
    "is_date_before": (operator.lt, (1,)),
    "is_date_after": (operator.gt, (0,)),
    "is_date_exact": (operator.eq, (0, 1)),
}
_VERSIONS: dict[str, Callable[[Any, Any], bool]] = {
    "semver_eq": operator.eq,
    "semver_neq": operator.ne,
    "semver_gt": operator.gt,
    "semver_gte": operator.ge,
    "semver_lt": operator.lt,
    "semver_lte": operator.le,
}

IS_SET = "is_set"
NEGATIVES = {
    "is_not": "exact",
    "not_icontains": "icontains",
    "not_starts_with": "starts_with",
    "not_ends_with": "ends_with",
    "not_regex": "regex",
    "not_between": "between",
    "is_not_set": IS_SET,
}
VALUELESS = (IS_SET, "is_not_set")

_MEANINGS: dict[str, Callable[[str, Any], Meaning | RelativeMeaning]] = {
    "exact": _exact,
    "icontains": _icontains,
    "starts_with": _any_text(lambda text, wanted: text.startswith(tuple(wanted))),
    "ends_with": _any_text(lambda text, wanted: text.endswith(tuple(wanted))),
    "regex": _regex,
    **dict.fromkeys(_COMPARISONS, _number),
    "between": _between,
    **dict.fromkeys(_DATES, _date),
    **dict.fromkeys(_VERSIONS, _version),
    "semver_tilde": _versions(tilde),
    "semver_caret": _versions(caret),
    "semver_wildcard": _versions(wildcard),
}
OPERATORS = (*_MEANINGS, IS_SET, *NEGATIVES)


def meaning_of(op: str, value: Any) -> Meaning | RelativeMeaning:
    """What a positive operator with a value means; ValueError, with limit and remedy, for a value that does not fit.

    `is_set` takes no value and is not asked here.
    """
    return _MEANINGS[op](op, value)
