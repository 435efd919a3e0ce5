"""Property tests as flags have them: PostHog's flag service reads some operators in another way than cohorts do.

- `exact` and `is_not` ignore case, letter by letter (`str.lower`): `STRASSE` is not `straße`.
- `icontains`, `starts_with`, `ends_with` and their `not_` forms ignore the case of A to Z alone.
- A version of the person's may be short, or begin with v, as apps send them: `3.8` is 3.8.0, `v2.08.1` is 2.8.1.

Everything else is as in `properties`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cohort_store.errors import Crash
from cohort_store.operators import NEGATIVES, meaning_of
from cohort_store.properties import DatedTest, Properties, PropertyTest, Test, compile_dated_test, compile_test
from cohort_store.property_values import text_of

_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_CORE = re.compile(r"[vV]?([0-9]{1,18})(?:\.([0-9]{1,18}))?(?:\.([0-9]{1,18}))?((?:[-+].*)?)", re.DOTALL)

Holds = Callable[[Any], bool]


def compile_flag_test(test: PropertyTest) -> Test:
    """The test as a closure over properties; Crash for one that `is_relative()`."""
    op = NEGATIVES.get(test.op, test.op)
    present = _holds_for(op, test.value)
    if present is None:
        return compile_test(test)
    name = test.property
    if op != test.op:
        return lambda properties: (value := properties.get(name)) is None or not present(value)
    return lambda properties: (value := properties.get(name)) is not None and present(value)


def compile_dated_flag_test(test: PropertyTest) -> DatedTest:
    """Any test, for callers that have an instant to ask at."""
    return compile_dated_test(test) if test.is_relative() else _Timeless(compile_flag_test(test))


@dataclass(frozen=True, slots=True)
class _Timeless:
    test: Test

    def holds(self, properties: Properties, now: int) -> bool:  # noqa: ARG002 - the same at every instant
        return self.test(properties)

    def next_change(self, properties: Properties, now: int) -> int | None:  # noqa: ARG002 - as above
        return None


def _holds_for(op: str, value: Any) -> Holds | None:
    """When a positive operator holds for a value that is there; None where flags read it as cohorts do."""
    if op == "exact":
        folded = frozenset(text.lower() for text in _texts(value))
        return lambda present: text_of(present).lower() in folded
    if op in _TEXTUAL:
        return _TEXTUAL[op](tuple(_folded(text) for text in _texts(value)))
    if op.startswith("semver_"):
        meaning = meaning_of(op, value)
        holds = getattr(meaning, "holds", None)
        if holds is None:
            raise Crash(f"operator {op} has no verdict of its own")
        return lambda present: holds(_whole_version(text_of(present)))
    return None


def _contains(parts: tuple[str, ...]) -> Holds:
    def holds(present: Any) -> bool:
        text = _folded(text_of(present))
        return any(part in text for part in parts)

    return holds


_TEXTUAL: dict[str, Callable[[tuple[str, ...]], Holds]] = {
    "icontains": _contains,
    "starts_with": lambda parts: lambda present: _folded(text_of(present)).startswith(parts),
    "ends_with": lambda parts: lambda present: _folded(text_of(present)).endswith(parts),
}


def _texts(value: Any) -> list[str]:
    return [text_of(each) for each in (value if isinstance(value, tuple) else (value,))]


def _folded(text: str) -> str:
    return text.lower() if text.isascii() else text.translate(_LOWER)


def _whole_version(text: str) -> str:
    """All three numbers, without zeros before them; a text that is no version stays what it is."""
    match = _CORE.fullmatch(text.strip())
    if match is None:
        return text
    major, minor, patch = (str(int(number or 0)) for number in match.groups()[:3])
    return f"{major}.{minor}.{patch}{match[4]}"
