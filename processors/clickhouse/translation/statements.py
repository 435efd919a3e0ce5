"""The statements: what is to be kept of a history, and who is in a cohort at `now`.

All begin the same. `source` is the caller's events; `marked` has those that some selector matches, with a column
`s<number>` for each that says whether it does; `timelines` has a row a person, with a sorted array `t<number>` for
each selector. Equal entries are the same event, so duplicates collapse there. `writes` has what events say of their
persons, and `registers` a column `r<number>` for each that is read. Each condition is an expression over those columns.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from cohort_store.conditions.condition import AnyCondition
from cohort_store.definitions import All, AnyOf, InCohort, Node, Not, children_of
from cohort_store.errors import Crash
from cohort_store.plans import AnyBound, conditions_of
from cohort_store.selectors import Selector
from processors.clickhouse.translation import literals, registers
from processors.clickhouse.translation.conditions import register_translation_of, translation_of
from processors.clickhouse.translation.property_values import definitions
from processors.clickhouse.translation.timelines import Bound, step, timelines

NOW = "{now:Int64} AS now"
"""The one parameter: the instant of the question."""


def reduction(
    asked: Sequence[AnyBound],
    selectors: Mapping[int, Selector],
    source: str,
    names: Collection[str] = (),
    states: str = "",
) -> str:
    """What is to be kept of every person of whom there is anything, a row each, in no order.

    Rows are `(person_id, entries, registers)`, the latter two arrays of `(selector, time_ms, tag, value)` and of
    `(name, version, value)`. An entry's value is NULL where its selector has none. `selectors` are those that the
    conditions read, by their numbers there, `names` the registers; one of the two is not empty. `states`
    selects persons' states, if any.

    Entries are at least what each condition's `keep` keeps at `now`, or as good, with all entries later than now that
    can matter; where exact pruning takes more than SQL says well there are some more, within a constant factor of
    what is kept, and `keep` prunes those. Registers, as conditions do, know of all events of `source`, those dated
    later than now too.
    """
    bound = Bound.of(asked, selectors)
    steps, found = [_source(source)], list[str]()
    if selectors:
        steps += [*timelines(bound), *_kept(bound)]
        found.append("kept")
    if names:
        latest = "(SELECT person_id, name, max((version, value)) AS latest FROM writes GROUP BY person_id, name)"
        columns = ["person_id", "groupArray((name, latest.1, latest.2)) AS registers"]
        steps += [
            f"writes AS (\n    {registers.writes(names, states=states)}\n)",
            step("written", columns, f"FROM {latest}\n    GROUP BY person_id"),
        ]
        found.append("written")
    columns = ["entries" if selectors else "[] AS entries", "registers" if names else "[] AS registers"]
    joined = found[0] if len(found) == 1 else f"{found[0]} FULL JOIN {found[1]} USING (person_id)"
    body = f"SELECT person_id, {', '.join(columns)}\nFROM {joined}\nWHERE notEmpty(entries) OR notEmpty(registers)\n"
    return _statement(steps, body)


def memberships(cohorts: Mapping[str, Node], source: str, persons: str = "", lists: str = "", states: str = "") -> str:
    """Who is in which cohort at `now`, as rows `(cohort, person_id)`, each once, in no order.

    Trees must be resolved. Persons are those of the events, and those that `persons` selects in its one column. `lists`
    selects the members of static lists as `(digest, person_id)`, `states` persons' states.
    """
    bound = Bound.numbered(condition for node in cohorts.values() for condition in conditions_of(node))
    verdicts = _verdicts(bound)
    columns = [f"({holds}) AS c{index}" for index, holds in enumerate(verdicts.values())]
    numbers = {condition: index for index, condition in enumerate(verdicts)}
    trees = [f"if({_tree(node, numbers)}, [{literals.text(key)}], [])" for key, node in cohorts.items()]
    known = " UNION DISTINCT ".join(["SELECT DISTINCT person_id FROM source", *([persons] if persons else [])])
    read = [*timelines(bound), *_registers(bound, lists, states)]
    joined = [name for name in ("timelines", "registers") if any(each.startswith(f"{name} AS") for each in read)]
    joins = "".join(f" LEFT JOIN {name} USING (person_id)" for name in joined)
    steps = [
        _source(source),
        *read,
        f"persons AS (\n    {known}\n)",
        step("verdicts", ["person_id", *columns], f"FROM persons{joins}"),
    ]
    return _statement(steps, f"SELECT cohort, person_id\nFROM verdicts\nARRAY JOIN {_concatenated(trees)} AS cohort\n")


def _kept(bound: Bound) -> list[str]:
    """The step `kept`: of every person the entries to keep, `(selector, time_ms, tag, value)`."""
    kept: dict[int, list[str]] = {}
    for each in bound.conditions:
        lines = [f"t{number}" for number in each.selectors]
        parts = translation_of(each.condition).keep(each.condition, lines)
        for number, part in zip(each.selectors, parts, strict=True):
            kept.setdefault(number, []).append(part)
    rows = [_entries(number, parts, bound.selectors[number]) for number, parts in sorted(kept.items())]
    return [step("kept", ["person_id", f"{_concatenated(rows)} AS entries"], "FROM timelines")]


def _entries(number: int, parts: Sequence[str], selector: Selector) -> str:
    """A selector's entries out of what each of its readers keeps."""
    value = "NULL" if selector.value is None else "e.3"
    rows = f"arrayMap(e -> ({number}, e.1, e.2, {value}), arrayDistinct({_concatenated(parts)}))"
    return f"CAST({rows}, 'Array(Tuple(UInt32, Int64, UInt32, Nullable(Int64)))')"


def _verdicts(bound: Bound) -> dict[AnyCondition, str]:
    """Each condition as an expression over a person's columns."""
    found: dict[AnyCondition, str] = {}
    for each in bound.conditions:
        lines = [f"t{number}" for number in each.selectors]
        found[each.condition] = translation_of(each.condition).holds(each.condition, lines)
    names = _register_columns(bound)
    for one in bound.registers:
        found[one.condition] = register_translation_of(one.condition).holds(one.condition, names[one.register])
    return found


def _register_columns(bound: Bound) -> dict[str, str]:
    names = sorted({each.register for each in bound.registers})
    return {name: f"r{number}" for number, name in enumerate(names)}


def _registers(bound: Bound, lists: str, states: str) -> list[str]:
    """The steps `writes` and `registers`; none where no condition reads one."""
    names = _register_columns(bound)
    if not names:
        return []
    columns = [f"{registers.present(name)} AS {column}" for name, column in names.items()]
    return [
        f"writes AS (\n    {registers.writes(names, lists, states)}\n)",
        step("registers", ["person_id", *columns], "FROM writes\n    GROUP BY person_id"),
    ]


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


def _source(events: str) -> str:
    return f"source AS (\n    {events.strip()}\n)"


def _statement(steps: Sequence[str], body: str) -> str:
    head = [NOW, *definitions("\n".join([*steps, body])), *steps]
    return f"WITH {(',' + chr(10)).join(head)}\n{body}"
