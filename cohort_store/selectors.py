"""Selectors: what one kind of event looks like.

A selector is one or more alternatives, each an event name (or any event) with property tests that
must all pass. Selectors that mean the same have equal canonical texts, so that a text names one handle
for ever; they are equal, and hashed, by that text (as Python values `1` and `true` would be equal).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import msgspec

from cohort_store.event_values import ValueOf
from cohort_store.properties import Properties, PropertyTest, Test, compile_test

Predicate = Callable[[Properties], bool]

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Alternative:
    """One event name with its property tests; `event` None means every event."""

    event: str | None
    where: tuple[PropertyTest, ...] = ()

    def predicate(self) -> Predicate | None:
        """The tests as one closure over an event's properties; None where there is nothing to test."""
        tests = tuple(compile_test(test) for test in self.where)
        if len(tests) <= 1:
            return tests[0] if tests else None
        return _all_of(tests)

    def canonical(self) -> list[object]:
        """The event's name, and each test once, sorted."""
        return [self.event, _sorted_once([test.canonical() for test in self.where])]


def _sorted_once(parts: list[list[object]]) -> list[object]:
    return list({_encode(part): part for part in sorted(parts, key=_encode)}.values())


def _all_of(tests: tuple[Test, ...]) -> Predicate:
    return lambda properties: all(test(properties) for test in tests)


@dataclass(frozen=True, eq=False)
class Selector:
    """What a timeline records: the events that match any alternative, and optionally the value of one property."""

    alternatives: tuple[Alternative, ...]
    value: ValueOf | None = None

    def canonical(self) -> str:
        """A text that equal selectors share, whatever the order in which their parts were written.

        Layout (frozen by golden tests): JSON ``[[[event | null, [test, …]], …], value | null]`` with value
        ``[property, form]`` and test
        ``[property, op]``, ``[property, op, number]`` or ``[property, op, [text, …]]``, every list sorted.
        """
        return self._canonical

    @cached_property
    def _canonical(self) -> str:
        alternatives = _sorted_once([alternative.canonical() for alternative in self.alternatives])
        return _encode([alternatives, None if self.value is None else self.value.canonical()]).decode()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Selector) and other._canonical == self._canonical

    def __hash__(self) -> int:
        return hash(self._canonical)

    def holds(self, event: str, properties: Properties) -> bool:
        """Whether an event of that name with those properties matches."""
        for alternative in self.alternatives:
            if alternative.event is None or alternative.event == event:
                predicate = alternative.predicate()
                if predicate is None or predicate(properties):
                    return True
        return False
