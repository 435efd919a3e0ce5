"""The steps from events to what conditions read: `timelines`, a row a person with a sorted array for each selector."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cohort_store.conditions.condition import AnyCondition, RegisterCondition
from cohort_store.plans import AnyBound, BoundCondition, BoundRegister
from cohort_store.selectors import Selector
from processors.clickhouse.translation.conditions import translation_of
from processors.clickhouse.translation.event_values import value_of
from processors.clickhouse.translation.selectors import matches


@dataclass(frozen=True)
class Bound:
    """Conditions, each once, told apart by what they read, with their selectors by number."""

    conditions: tuple[BoundCondition, ...]
    registers: tuple[BoundRegister, ...]
    selectors: Mapping[int, Selector]

    @classmethod
    def of(cls, asked: Sequence[AnyBound], selectors: Mapping[int, Selector]) -> Bound:
        """Those of a plan, with the plan's numbers."""
        return cls(
            tuple(each for each in asked if isinstance(each, BoundCondition)),
            tuple(each for each in asked if isinstance(each, BoundRegister)),
            selectors,
        )

    @classmethod
    def numbered(cls, conditions: Iterable[AnyCondition]) -> Bound:
        """Selectors numbered as they come."""
        numbers: dict[Selector, int] = {}
        bound: list[AnyBound] = []
        for each in dict.fromkeys(conditions):
            if isinstance(each, RegisterCondition):
                bound.append(BoundRegister(each, each.register))
            else:
                read = tuple(numbers.setdefault(selector, len(numbers)) for selector in each.selectors)
                bound.append(BoundCondition(each, read))
        return cls.of(bound, {number: selector for selector, number in numbers.items()})


def timelines(bound: Bound) -> list[str]:
    """The steps `marked` and `timelines`, over `source`; none where no condition reads events."""
    floors = _floors(bound.conditions)
    if not floors:
        return []
    marks: list[str] = []
    arrays: list[str] = []
    for number, later in sorted(floors.items()):
        read, entry = bound.selectors[number].value, "(time_ms, tag)"
        match = _and_later(matches(bound.selectors[number]), later)
        if read is not None:
            marks.append(f"{value_of(read)} AS v{number}")
            match = f"{match} AND isNotNull(v{number})"
            entry = f"(time_ms, tag, assumeNotNull(v{number}))"
        marks.append(f"{match} AS s{number}")
        arrays.append(f"arraySort(groupUniqArrayIf({entry}, s{number})) AS t{number}")
    wanted = " OR ".join(f"s{number}" for number in sorted(floors))
    return [
        step("marked", ["person_id", "time_ms", "tag", *marks], f"FROM source\n    WHERE {wanted}"),
        step("timelines", ["person_id", *arrays], "FROM marked\n    GROUP BY person_id"),
    ]


def step(name: str, columns: Sequence[str], rest: str) -> str:
    """One step of a statement, as readers will find it in a log of queries."""
    lines = ",\n        ".join(columns)
    return f"{name} AS (\n    SELECT\n        {lines}\n    {rest}\n)"


def _floors(conditions: Iterable[BoundCondition]) -> dict[int, list[str]]:
    """For each selector, the instants at or before which nothing matters to each reader; none where all matters."""
    floors: dict[int, list[str] | None] = {}
    for bound in conditions:
        floor = translation_of(bound.condition).floor(bound.condition)
        for number in bound.selectors:
            known = floors.setdefault(number, [])
            floors[number] = None if floor is None or known is None else [*known, floor]
    return {number: sorted(set(found or ())) for number, found in floors.items()}


def _and_later(match: str, floors: Sequence[str]) -> str:
    if not floors:
        return match
    floor = floors[0] if len(floors) == 1 else f"least({', '.join(floors)})"
    return f"{match} AND time_ms > {floor}"
