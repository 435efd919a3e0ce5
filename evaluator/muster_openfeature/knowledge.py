"""What a provider knows: the team's flags, compiled by the evaluator's own rule, and persons. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any, NamedTuple

from cohort_store.errors import BadDefinition
from cohort_store.flag_order import order_flags
from cohort_store.flags import FlagDefinition, parse_flag
from cohort_store.freshness import CohortView
from cohort_store.warming import WarmUp
from evaluator.deciding.condition_sets import Who
from evaluator.deciding.evaluation import decide_unread
from evaluator.deciding.flags import CompiledFlag, FlagAnswer
from evaluator.definitions.catalog import cohorts_by_name, compile_flags


class Known(NamedTuple):
    """One person as the evaluator told of her. `members` has None where it cannot say, and `troubles` why."""

    members: Mapping[str, bool | None]
    troubles: Mapping[str, str]
    properties: Mapping[str, Any]
    """As they are kept of her; what the caller brings wins."""
    unread: frozenset[str]
    """Properties that are kept, and could not be read."""
    at_ms: int
    """The evaluator's instant: of two, the later one counts."""
    stream: str
    """The stream that was open then; empty: none was."""
    watched: bool
    """Whether that stream tells of her."""
    asked_s: float
    """The monotonic instant at which she was asked for, or told of."""


class Definitions(NamedTuple):
    """One registry version's flags of the team."""

    version: int
    flags: Mapping[str, CompiledFlag]
    refused: Mapping[str, str]
    """Flags that this version of the library cannot read, with the reason."""
    written: Mapping[str, object]
    """What decides each flag, to be compared: its JSON, and the versions of the cohorts that it may ask."""

    def changed_from(self, before: Definitions) -> list[str]:
        """The flags that are new, decided otherwise, or gone."""
        old, new = before.written, self.written
        return sorted(key for key in {*old, *new} if old.get(key) != new.get(key))


def compile_definitions(
    version: int, flags: Sequence[Mapping[str, Any]], cohorts: Sequence[tuple[int, str, int]]
) -> Definitions:
    """Flags in PostHog's JSON shape, and the team's cohorts as (id, key, version)."""
    names = cohorts_by_name([_view(*cohort) for cohort in cohorts])
    parsed: dict[str, FlagDefinition] = {}
    source: dict[str, object] = {}
    refused: dict[str, str] = {}
    for raw in flags:
        try:
            flag = parse_flag(raw)
        except BadDefinition as error:
            refused[str(raw.get("key"))] = str(error)
        else:
            parsed[flag.key], source[flag.key] = flag, raw
    order = order_flags(parsed.values())
    compiled = compile_flags(parsed, order, names)
    written: dict[str, object] = {}
    for key, found in compiled.items():
        others = () if key in order.broken else tuple(written[order.names[name]] for name in parsed[key].flags())
        written[key] = (source[key], tuple((cohort.key, cohort.number) for cohort in found.cohorts), others)
    return Definitions(version, compiled, refused, written)


def lacks_a_cohort(flag: CompiledFlag, known: Known) -> bool:
    """Whether the flag may ask a cohort that nothing was told of: it is newer than what is known of the person."""
    return any(cohort.key not in known.members for cohort in flag.cohorts)


def decide(
    flag: CompiledFlag, distinct_id: str, properties: Mapping[str, Any], known: Known, now_ms: int
) -> FlagAnswer:
    """The flag's answer for one person, as the evaluator would give it."""
    members, troubles = known.members, known.troubles

    def ask(cohort: CohortView) -> bool | None:
        return members.get(cohort.key)

    def explain(cohort: CohortView) -> str:
        return troubles.get(cohort.key) or f"nothing was told of cohort {cohort.key}"

    if known.properties:
        properties = {**known.properties, **properties}
    # In whose place she came is not told here: a flag that goes on with that answers by its policy.
    who = Who(distinct_id, properties, now_ms, hash_keys=None, beside={})
    if known.unread and (unread := known.unread - properties.keys()):
        return decide_unread(flag, who, unread, ask, explain)
    return flag.decide(who, ask, explain)


class KnownPersons:
    """At most so many persons; the one not asked for longest goes first. For any number of threads."""

    def __init__(self, persons_max: int) -> None:
        if persons_max < 1:
            raise ValueError(f"persons_max is {persons_max}; a provider keeps at least 1 person")
        self._max = persons_max
        self._lock = Lock()
        self._persons: OrderedDict[str, Known] = OrderedDict()

    def __len__(self) -> int:
        return len(self._persons)

    def get(self, distinct_id: str) -> Known | None:
        """What is known of her; she counts as asked for."""
        with self._lock:
            known = self._persons.get(distinct_id)
            if known is not None:
                self._persons.move_to_end(distinct_id)
            return known

    def put(self, distinct_id: str, known: Known) -> None:
        """Know that of her, unless something later is known: then only that she was asked for is new."""
        with self._lock:
            held = self._persons.get(distinct_id)
            if held is not None and held.at_ms > known.at_ms:
                known = held._replace(stream=known.stream, watched=known.watched, asked_s=known.asked_s)
            self._persons[distinct_id] = known
            self._persons.move_to_end(distinct_id)
            if len(self._persons) > self._max:
                self._persons.popitem(last=False)

    def told(self, distinct_id: str, known: Known) -> None:
        """A stream told of her: nothing is kept of who is not known any more."""
        with self._lock:
            held = self._persons.get(distinct_id)
            if held is not None and held.at_ms <= known.at_ms:
                self._persons[distinct_id] = known

    def untold(self, distinct_id: str) -> None:
        """No stream tells of her any more."""
        with self._lock:
            held = self._persons.get(distinct_id)
            if held is not None:
                self._persons[distinct_id] = held._replace(watched=False)


def _view(number: int, key: str, version: int) -> CohortView:
    """A cohort by its names; whether the person is in it is told, so nothing else counts."""
    return CohortView(number, key, "", False, 0, version, False, 0, 0, 0, WarmUp(always=True))
