"""Which selectors want which events: a plan, turned towards event names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from cohort_store.deltas import DeltaEntry
from cohort_store.event_values import ValueOf
from cohort_store.person_updates import NO_UPDATE, PersonUpdate, update_of
from cohort_store.plans import Plan, TeamPlan
from cohort_store.properties import Properties
from cohort_store.selectors import Predicate, Selector
from processors.codecs.event import Event
from processors.codecs.telling import text_may_tell_of_person


class Route(NamedTuple):
    """One selector, as far as one event name is concerned."""

    selector: int
    predicate: Predicate | None
    """None: every event of that name."""
    value: ValueOf | None
    """What goes into the entry; an event without it has no entry then."""


@dataclass(frozen=True, slots=True)
class TeamRoutes:
    """What one team wants."""

    by_name: Mapping[str, tuple[Route, ...]]
    of_any: tuple[Route, ...]
    """Routes of every event whose name is not in `by_name`."""
    person_properties: frozenset[str] = frozenset()
    """The properties of persons that it names."""

    def of(self, name: str) -> tuple[Route, ...]:
        """The routes of an event of that name; empty where nobody wants it."""
        return self.by_name.get(name, self.of_any)


@dataclass(frozen=True)
class RouterPlan:
    """A registry version, compiled for routing."""

    version: int
    names: frozenset[str] | None
    """The event names that some team wants; None: all of them."""
    teams: Mapping[int, TeamRoutes]
    known: frozenset[int] = frozenset()
    """The teams that have defined anything: whose distinct ids are is told for these."""

    @cached_property
    def asks_persons(self) -> bool:
        """Whether some team names a property of persons: then any event may matter, whatever its name."""
        return any(routes.person_properties for routes in self.teams.values())


def compile_routes(plan: Plan) -> RouterPlan:
    """The plan, turned towards event names. A team that wants nothing is not in it."""
    wanting = {team: of_team for team, of_team in plan.teams.items() if of_team.selectors or of_team.person_properties}
    teams = {team: _team_routes(of_team) for team, of_team in wanting.items()}
    known = frozenset(plan.teams)
    if any(routes.of_any for routes in teams.values()):
        return RouterPlan(plan.version, None, teams, known)
    names = frozenset(name for routes in teams.values() for name in routes.by_name)
    return RouterPlan(plan.version, names, teams, known)


class Entries(NamedTuple):
    """What selectors make of an event."""

    entries: tuple[DeltaEntry, ...] = ()
    """One for each selector that it matches."""
    negative: str | None = None
    """The first property of it that is negative although a definition says that it never is."""


NO_ENTRIES = Entries()


def entries_of(event: Event, routes: tuple[Route, ...]) -> Entries:
    """The event's entries. Raises BadEvent where its properties are unreadable.

    The properties are read at most once, and only where a route asks for them.
    """
    entries: list[DeltaEntry] = []
    negative: str | None = None
    properties: Properties | None = None
    for selector, predicate, value in routes:
        amount: int | None = None
        if predicate is not None or value is not None:
            if properties is None:
                properties = event.properties()
            if predicate is not None and not predicate(properties):
                continue
            if value is not None:
                amount = value.of(properties)
                if amount is None:
                    if negative is None and value.refuses(properties):
                        negative = value.property
                    continue
        entries.append(DeltaEntry(selector, event.time_ms, event.tag, amount))
    return Entries(tuple(entries), negative)


def told_of_person(event: Event, named: Collection[str]) -> PersonUpdate:
    """What the event says of its person's properties in `named`. Raises BadEvent where it cannot be read."""
    if not event.person_json and not text_may_tell_of_person(event.properties_json):
        return NO_UPDATE
    return update_of(event.properties(), event.time_ms, named, event.person_properties())


def _team_routes(plan: TeamPlan) -> TeamRoutes:
    names = {a.event for selector in plan.selectors.values() for a in selector.alternatives if a.event is not None}
    return TeamRoutes({name: _routes(plan, name) for name in names}, _routes(plan, None), plan.person_properties)


def _routes(plan: TeamPlan, name: str | None) -> tuple[Route, ...]:
    found = ((handle, selector, _predicates(selector, name)) for handle, selector in sorted(plan.selectors.items()))
    return tuple(Route(handle, _any_of(tests), selector.value) for handle, selector, tests in found if tests)


def _predicates(selector: Selector, name: str | None) -> list[Predicate | None]:
    """Of the alternatives that an event of that name may match; `name` None: an event of a name that none mentions."""
    return [a.predicate() for a in selector.alternatives if a.event is None or (name is not None and a.event == name)]


def _any_of(predicates: list[Predicate | None]) -> Predicate | None:
    tests = tuple(test for test in predicates if test is not None)
    if len(tests) < len(predicates):
        return None
    if len(tests) == 1:
        return tests[0]
    return lambda properties: any(test(properties) for test in tests)
