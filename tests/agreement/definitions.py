"""Cohorts that are drawn, and edited: some edits need history that was not kept, and some do not."""

from __future__ import annotations

from random import Random
from typing import Any

Plain = dict[str, Any]

NAMES = ("open", "buy")
WINDOWS_S = (1, 5, 13, 20, 60)
OPERATORS = ("gte", "gt", "lte", "lt", "eq", "ne")
COHORTS = 4
PLANS = ("free", "pro")


def drawn_cohorts(random: Random) -> list[Plain]:
    cohorts: list[Plain] = []
    for number in range(random.randint(1, COHORTS)):
        cohorts.append({"key": f"c{number}", "when": _tree(random, [each["key"] for each in cohorts])})
    return cohorts


def edited(random: Random, cohorts: list[Plain]) -> list[Plain]:
    """A cohort more, one less, another tree, or one number changed."""
    after = list(cohorts)
    how = random.choice(("new", "tree", "tree", "number", "number", "number", "drop"))
    referred = {name for each in cohorts for name in _references(each["when"])}
    free = [index for index, each in enumerate(cohorts) if each["key"] not in referred]
    if how == "drop" and len(cohorts) > 1:
        del after[random.choice(free)]
        return after
    index = random.randrange(len(after))
    if how == "new" and len(after) < COHORTS:
        keys = {each["key"] for each in after}
        key = next(f"c{number}" for number in range(COHORTS) if f"c{number}" not in keys)
        return [*after, {"key": key, "when": _tree(random, sorted(keys))}]
    when = after[index]["when"]
    # A tree refers to those before it only, so that there is no circle.
    before = [] if after[index]["key"] in referred else [each["key"] for each in after if each is not after[index]]
    before = [key for key in before if not _reaches(after, key, after[index]["key"])]
    after[index] = {**after[index], "when": _renumbered(random, when) if how == "number" else _tree(random, before)}
    return after


def _tree(random: Random, known: list[str], depth: int = 2) -> Plain:
    kind = random.choice(("leaf", "leaf", "all", "any", "not")) if depth else "leaf"
    if kind == "not":
        return {"not": _tree(random, known, depth - 1)}
    if kind != "leaf":
        return {kind: [_tree(random, known, depth - 1) for _ in range(2)]}
    if known and random.random() < 0.15:
        return {"kind": "in_cohort", "cohort": random.choice(known)}
    return _leaf(random)


def _leaf(random: Random) -> Plain:
    kind = random.choice(
        ("performed", "count", "count", "first_time", "lapsing", "sequence", "regularly", "aggregate", "property")
    )
    if kind == "property":
        return {"kind": "person_property", "property": "plan", "value": random.choice(PLANS)}
    within = {"within": f"{random.choice(WINDOWS_S)}s"}
    if kind == "sequence":
        first, then = ({"event": random.choice(NAMES)} for _ in range(2))
        return {"kind": kind, "first": first, "then": then, "then_within": f"{random.choice(WINDOWS_S)}s", **within}
    selected: Plain = {"event": random.choice((*NAMES, "any"))}
    if random.random() < 0.3:
        selected["where"] = [{"property": "size", "op": "gte", "value": random.randint(1, 3)}]
    if kind == "lapsing":
        recent, window = sorted(random.sample(WINDOWS_S, 2))
        kind = random.choice(("stopped", "restarted"))
        return {"kind": kind, **selected, "within": f"{window}s", "recent": f"{recent}s"}
    if kind == "regularly":
        enough = random.randint(1, 3)
        counted = {"period": f"{random.choice(WINDOWS_S[:4])}s", "periods": 3, "min_periods": enough}
        return {"kind": kind, **selected, **counted, "times": random.randint(1, 2)}
    if kind == "count":
        return {"kind": kind, **selected, **within, "op": random.choice(OPERATORS), "n": random.randint(0, 4)}
    if kind == "aggregate":
        asked = {"fn": random.choice(("sum", "min", "max", "distinct")), "op": random.choice(OPERATORS)}
        return {"kind": kind, **selected, **within, "property": "size", **asked, "value": random.randint(0, 4)}
    return {"kind": kind, **selected, **within}


def _renumbered(random: Random, node: Plain) -> Plain:
    """The same with another number or window in its leaves: what is kept already may do, or may not."""
    if "not" in node:
        return {"not": _renumbered(random, node["not"])}
    for kind in ("all", "any"):
        if kind in node:
            return {kind: [_renumbered(random, child) for child in node[kind]]}
    if "n" in node:
        return {**node, "n": random.randint(0, 4)}
    if node["kind"] in ("performed", "first_time", "aggregate", "sequence"):
        return {**node, "within": f"{random.choice(WINDOWS_S)}s"}
    return node


def _references(node: Plain) -> set[str]:
    if "not" in node:
        return _references(node["not"])
    for kind in ("all", "any"):
        if kind in node:
            return {name for child in node[kind] for name in _references(child)}
    return {node["cohort"]} if node["kind"] == "in_cohort" else set()


def _reaches(cohorts: list[Plain], key: str, target: str) -> bool:
    """Whether one cohort refers to another, itself or through others."""
    (found,) = [each for each in cohorts if each["key"] == key]
    named = _references(found["when"])
    return target in named or any(_reaches(cohorts, each, target) for each in named)
