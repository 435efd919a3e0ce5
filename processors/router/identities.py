"""Which ids are somebody's, by what sources say of them: pairs of a distinct id and a person.

| who says it | what | version |
| --- | --- | --- |
| an event that is routed, with its person and distinct id | the distinct id is that person's | its time in ms |
| `$identify` with `$anon_distinct_id`; `$create_alias` and `$merge_dangerously` with `alias` | that other id is the
  person's of the event's distinct id | its time in ms |
| PostHog's topic of distinct ids | the person, or nobody | PostHog's `version`, above every event's |

The highest (version, person) wins, in the store, so the order in which pairs come does not matter. The person of an
event that names none is the one whom its distinct id has when the event is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from cohort_store.deltas import PERSON_REGISTER, Delta, RegisterWrite
from cohort_store.errors import BadEvent
from cohort_store.person_updates import STATES_ABOVE
from cohort_store.subjects import DISTINCT_ID, Subject
from processors.codecs.event import Event, Reason, check_id
from processors.codecs.posthog_distinct_id import PairState

OTHER_ID_IN: Mapping[str, str] = {
    "$identify": "$anon_distinct_id",
    "$create_alias": "alias",
    "$merge_dangerously": "alias",
}
"""By event, the property that has another id of its person's."""

_NO_VALUES = ("undefined", "null", "none", "nan", "true", "false", "0", "[object object]")
_ANYBODYS = frozenset(
    (*_NO_VALUES, "anonymous", "guest", "distinctid", "distinct_id", "id", "email", "not_authenticated")
)
"""What programs send where they have no id: all who do would become one person. PostHog refuses the same."""


class Alias(NamedTuple):
    """Another id of an event's person."""

    team: int
    distinct_id: str
    """The event's own."""
    person: str | None
    """Where the event names one."""
    other: str
    time_ms: int


def alias_in(event: Event) -> Alias | None:
    """The alias that an event in OTHER_ID_IN tells; None where it tells none. Raises BadEvent for what can be no id."""
    own = event.distinct_id
    if own is None:
        return None
    name = OTHER_ID_IN[event.event]
    other = _text(event.properties().get(name), name)
    if not other or other == own:
        return None
    check_id(name, other)
    for field, value in ((name, other), ("distinct_id", own)):
        if value.lower() in _ANYBODYS:
            raise BadEvent(Reason.BAD_ID, f"{field} is {value!r}, which is no one's in particular; send an id of hers")
    return Alias(event.team, own, event.person_id, other, event.time_ms)


def pair_delta(team: int, distinct_id: str, person: str, version: int) -> Delta:
    """What tells a distinct id's own shard whose it is; an empty person: nobody's."""
    return Delta(Subject(team, DISTINCT_ID, distinct_id), (), (RegisterWrite(PERSON_REGISTER, version, person),))


def version_of(pair: PairState) -> int:
    """Above every event's."""
    return pair.version + STATES_ABOVE


def _text(value: Any, name: str) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise BadEvent(Reason.BAD_ID, f"{name} is {str(value)[:40]!r}; write an id, as a text")
