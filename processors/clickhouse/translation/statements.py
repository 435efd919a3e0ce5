"""The two statements: what is to be kept of a history, and who is in a cohort at `now`.

Both begin the same. `source` is the caller's events; `marked` has those that some selector matches, with a column
`s<number>` for each that says whether it does; `timelines` has a row a person, with a sorted array `t<number>` for
each selector. Equal entries are the same event, so duplicates collapse there. Then each condition is an expression over
those arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from cohort_store.conditions.condition import AnyCondition, RegisterCondition
from cohort_store.definitions import All, AnyOf, InCohort, Node, Not, children_of
from cohort_store.errors import Crash
from cohort_store.plans import AnyBound, BoundCondition, BoundRegister, conditions_of
from cohort_store.selectors import Selector
from processors.clickhouse.translation import literals
from processors.clickhouse.translation.conditions import translation_of
from processors.clickhouse.translation.property_values import definitions
from processors.clickhouse.translation.selectors import matches

NOW = "{now:Int64} AS now"
"""The one parameter: the instant of the question."""


def reduction(asked: Sequence[AnyBound], selectors: Mapping[int, Selector], source: str) -> str:
    """The entries to keep of every person, as rows `(person_id, selector, time_ms, tag)`, each once, in no order.

    They are at least what each condition's `keep` keeps at `now`, or as good, with all entries later than now that
    can matter; where exact pruning takes more than SQL says well there are some more, within a constant factor of
    what is kept, and `keep` prunes those. `selectors` are those that the conditions read, by their numbers there.
    What reads a register keeps no entries.
    """
    conditions = [bound for bound in asked if not isinstance(bound, BoundRegister)]
    kept: dict[int, list[str]] = {}
    for bound in conditions:
        lines = [f"t{number}" for number in bound.selectors]
        parts = translation_of(bound.condition).keep(bound.condition, lines)
        for number, part in zip(bound.selectors, parts, strict=True):
            kept.setdefault(number, []).append(part)
    columns = [f"arrayDistinct({_concatenated(parts)}) AS k{number}" for number, parts in sorted(kept.items())]
    rows = [f"arrayMap(e -> ({number}, e.1, e.2), k{number})" for number in sorted(kept)]
    parts = [
        *_timelines(conditions, selectors, source),
        _cte("kept", ["person_id", *columns], "FROM timelines"),
    ]
    body = (
        "SELECT person_id, row.1 AS selector, row.2 AS time_ms, row.3 AS tag\n"
        f"FROM kept\nARRAY JOIN {_concatenated(rows)} AS row\n"
    )
    return _statement(parts, body)


def memberships(cohorts: Mapping[str, Node], source: str, persons: str = "") -> str:
    """Who is in which cohort at `now`, as rows `(cohort, person_id)`, each once, in no order.

    Trees must be resolved. Persons are those of the events, and those that `persons` selects in its one column.
    """
    bound, selectors = _bind(condition for node in cohorts.values() for condition in conditions_of(node))
    numbers: dict[AnyCondition, int] = {each.condition: index for index, each in enumerate(bound)}
    verdicts = [f"({_holds(each)}) AS c{index}" for index, each in enumerate(bound)]
    trees = [f"if({_tree(node, numbers)}, [{literals.text(key)}], [])" for key, node in cohorts.items()]
    known = " UNION DISTINCT ".join(["SELECT DISTINCT person_id FROM source", *([persons] if persons else [])])
    parts = [
        *_timelines(bound, selectors, source),
        f"persons AS (\n    {known}\n)",
        _cte("verdicts", ["person_id", *verdicts], "FROM persons LEFT JOIN timelines USING (person_id)"),
    ]
    return _statement(parts, f"SELECT cohort, person_id\nFROM verdicts\nARRAY JOIN {_concatenated(trees)} AS cohort\n")


def _bind(conditions: Iterable[AnyCondition]) -> tuple[list[BoundCondition], dict[int, Selector]]:
    """Conditions, each once, and their selectors, numbered as they come. Crash for one that reads a register."""
    numbers: dict[Selector, int] = {}
    bound: list[BoundCondition] = []
    for each in dict.fromkeys(conditions):
        if isinstance(each, RegisterCondition):
            raise Crash(f"register {each.register!r} is read, and statements know of events alone")
        handles = tuple(numbers.setdefault(selector, len(numbers)) for selector in each.selectors)
        bound.append(BoundCondition(each, handles))
    return bound, {number: selector for selector, number in numbers.items()}


def _timelines(conditions: Sequence[BoundCondition], selectors: Mapping[int, Selector], source: str) -> list[str]:
    floors = _floors(conditions)
    numbers = sorted(floors)
    marks = [f"{_and_later(matches(selectors[number]), floors[number])} AS s{number}" for number in numbers]
    arrays = [f"arraySort(groupUniqArrayIf((time_ms, tag), s{number})) AS t{number}" for number in numbers]
    wanted = " OR ".join(f"s{number}" for number in numbers)
    return [
        f"source AS (\n    {source.strip()}\n)",
        _cte("marked", ["person_id", "time_ms", "tag", *marks], f"FROM source\n    WHERE {wanted}"),
        _cte("timelines", ["person_id", *arrays], "FROM marked\n    GROUP BY person_id"),
    ]


def _floors(conditions: Sequence[BoundCondition]) -> dict[int, list[str]]:
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


def _holds(bound: BoundCondition) -> str:
    return translation_of(bound.condition).holds(bound.condition, [f"t{number}" for number in bound.selectors])


def _tree(node: Node, numbers: Mapping[AnyCondition, int]) -> str:
    if isinstance(node, Not):
        return f"NOT {_tree(node.child, numbers)}"
    if isinstance(node, (All, AnyOf)):
        word = " AND " if isinstance(node, All) else " OR "
        return f"({word.join(_tree(child, numbers) for child in children_of(node))})"
    if isinstance(node, InCohort):
        raise Crash(f"in_cohort {node.cohort!r} was not resolved before it was translated")
    return f"c{numbers[node.compile()]}"


def _concatenated(arrays: Sequence[str]) -> str:
    return arrays[0] if len(arrays) == 1 else f"arrayConcat({', '.join(arrays)})"


def _cte(name: str, columns: Sequence[str], rest: str) -> str:
    """One step, as readers will find it in a log of queries."""
    lines = ",\n        ".join(columns)
    return f"{name} AS (\n    SELECT\n        {lines}\n    {rest}\n)"


def _statement(parts: Sequence[str], body: str) -> str:
    head = [NOW, *definitions("\n".join([*parts, body])), *parts]
    return f"WITH {(',' + chr(10)).join(head)}\n{body}"
