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

from cohort_store.deltas import PERSON_REGISTER, Delta, RegisterWrite
from cohort_store.person_updates import STATES_ABOVE
from cohort_store.subjects import DISTINCT_ID, Subject
from processors.codecs.posthog_distinct_id import PairState


def pair_delta(team: int, distinct_id: str, person: str, version: int) -> Delta:
    """What tells a distinct id's own shard whose it is; an empty person: nobody's."""
    return Delta(Subject(team, DISTINCT_ID, distinct_id), (), (RegisterWrite(PERSON_REGISTER, version, person),))


def version_of(pair: PairState) -> int:
    """Above every event's."""
    return pair.version + STATES_ABOVE
