"""What conditions cost: folding one event into a person, and finding who wants an event.

Folding is at its dearest here: every condition reads the one selector that the event matches, so none can be spared.
Routing: one selector wants the event's name, all others are about other names, so more of them must cost nothing more.
Both stand beside a look-up in a dictionary of the same run.
"""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks.parts import registry_of
from cohort_store.deltas import Delta, DeltaEntry
from cohort_store.folding import Folded, fold
from cohort_store.plans import Plan, TeamPlan, compile_plan
from cohort_store.properties import PropertyTest
from cohort_store.records import EMPTY
from cohort_store.registry import Registry
from cohort_store.selectors import Alternative, Selector
from cohort_store.subjects import PERSON, Subject
from cohort_store.timelines import tag_of
from processors.codecs.event import Event
from processors.router.routes import compile_routes, entries_of

CONDITIONS = (1, 20, 200)
SELECTORS = (10, 1_000, 10_000)
NAMES = 100
EVENTS_BEFORE = 50
NOW_MS = 1_760_000_000_000
HOUR_MS = 3_600_000
REPEATS = 5
SECONDS_A_REPEAT = 0.2

HER = Subject(1, PERSON, "00000000-0000-4000-8000-000000000001")


class Result(NamedTuple):
    """Microseconds of CPU: of a look-up, and by how many conditions or selectors there are."""

    look_up: float
    folds: dict[int, float]
    routes: dict[int, float]


def measure() -> Result:
    """The best of a few repeats of each."""
    known = {f"event-{number}": number for number in range(NAMES)}
    look_up = _best(lambda: known["event-42"])
    return Result(look_up, {n: _fold(n) for n in CONDITIONS}, {n: _route(n) for n in SELECTORS})


def _best(call: Callable[[], object]) -> float:
    """Microseconds of CPU a call, without those of calling nothing."""
    timer = timeit.Timer(call, timer=time.process_time)
    empty = timeit.Timer(lambda: None, timer=time.process_time)
    count, seconds = timer.autorange()
    count = max(1, int(count * SECONDS_A_REPEAT / seconds))
    best = min(timer.repeat(REPEATS, count)) - min(empty.repeat(REPEATS, count))
    return best / count * 1e6


def _fold(conditions: int) -> float:
    """An event of now into a record of fifty."""
    cohorts = [{"key": f"c{number}", "when": _condition(number)} for number in range(conditions)]
    registry = registry_of(cohorts)
    plan = compile_plan(registry).team(1)
    (selector,) = plan.selectors
    before = tuple(DeltaEntry(selector, NOW_MS - hours * HOUR_MS, hours) for hours in range(1, EVENTS_BEFORE + 1))
    filled = fold(EMPTY, [Delta(HER, before)], plan, NOW_MS - 1)
    if not isinstance(filled, Folded):
        raise TypeError("fifty events changed nothing")
    delta = [Delta(HER, (DeltaEntry(selector, NOW_MS, 1),))]
    return _best(lambda: fold(filled.record, delta, plan, NOW_MS))


def _condition(number: int) -> dict[str, Any]:
    """Different ones, of the kinds that cohorts are mostly made of."""
    window = f"{number + 24}h"
    forms: tuple[dict[str, Any], ...] = (
        {"kind": "performed", "within": window},
        {"kind": "count", "n": number % 20 + 1, "within": window},
        {"kind": "stopped", "within": f"{number + 48}h", "recent": "24h"},
        {"kind": "regularly", "period": window, "periods": 4, "min_periods": 3},
    )
    return {**forms[number % len(forms)], "event": "purchase"}


def _route(selectors: int) -> float:
    """An event that one selector wants, and whose properties it tests, among so many."""
    wanted = Selector((Alternative("event-0", (PropertyTest(property="plan", value="pro"),)),))
    others = (
        Selector((Alternative(f"event-{number % (NAMES - 1) + 1}", (PropertyTest(property="plan", value=number),)),))
        for number in range(selectors - 1)
    )
    plan = TeamPlan(1, selectors=dict(enumerate((wanted, *others), start=1)))
    routes = compile_routes(Plan(1, {1: plan}, Registry())).teams[1]
    event = Event("u", "event-0", 1, None, "p", NOW_MS, tag_of("u"), '{"plan":"pro","price":12.5}')
    if len(entries_of(event, routes.of(event.event)).entries) != 1:
        raise RuntimeError("one selector wants the event, and another number of entries was made")
    return _best(lambda: entries_of(event, routes.of(event.event)))


def report(found: Result) -> None:
    """The figures, as they are quoted."""
    print(f"folding one event into a person with {EVENTS_BEFORE} before it, all conditions on that event")
    for number, cost in found.folds.items():
        print(f"  {number:>6,} conditions  {cost:8.1f} µs  {cost / number:6.2f} µs each  {_over(cost, found)}")
    print(f"routing one event, decoded properties included, with selectors on {NAMES} names, one of them on its own")
    for number, cost in found.routes.items():
        print(f"  {number:>6,} selectors   {cost:8.2f} µs  {_over(cost, found)}")


def _over(cost: float, found: Result) -> str:
    return f"{cost / found.look_up:9,.0f} look-ups of {found.look_up * 1e3:.0f} ns"


if __name__ == "__main__":
    report(measure())
