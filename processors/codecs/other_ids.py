"""Other ids of its person that an event tells: `$identify` and its like, as PostHog's SDKs send them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from cohort_store.errors import BadEvent
from processors.codecs.event import Event, Reason, check_id

OTHER_ID_IN: Mapping[str, str] = {
    "$identify": "$anon_distinct_id",
    "$create_alias": "alias",
    "$merge_dangerously": "alias",
}
"""By event, the property that has another id of its person's."""

_NO_VALUES = ("undefined", "null", "none", "nan", "true", "false", "0", "[object object]")
ANYBODYS = frozenset(
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
        if value.lower() in ANYBODYS:
            raise BadEvent(Reason.BAD_ID, f"{field} is {value!r}, which is no one's in particular; send an id of hers")
    return Alias(event.team, own, event.person_id, other, event.time_ms)


def _text(value: Any, name: str) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise BadEvent(Reason.BAD_ID, f"{name} is {str(value)[:40]!r}; write an id, as a text")
