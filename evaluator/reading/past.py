"""Who was in which cohort at an instant that is past, as the changes of membership tell it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from cohort_store.changes import ENTERED, RESET, Change
from cohort_store.subjects import PERSON


class Told(NamedTuple):
    """What was told of one person by an instant.

    Of a cohort that `members` lacks nothing was: she is what holds for people who never did anything.
    """

    begins_ms: int | None
    """When the team's first change is dated: before, nothing is known. None: no change is written down."""
    members: Mapping[int, bool] = {}
    """By the cohort's id."""


class PastMemberships(Protocol):
    """The history of changes. Raises Retry where it cannot be asked."""

    async def told(self, team: int, person: str, at_ms: int) -> Told:
        """What was told of the person by changes that are dated at or before the instant."""
        ...


class RememberedChanges:
    """The in-memory twin: changes, in any order, some of them perhaps twice."""

    def __init__(self, changes: Iterable[Change] = ()) -> None:
        self._changes = tuple(changes)

    async def told(self, team: int, person: str, at_ms: int) -> Told:
        """What was told of the person by changes that are dated at or before the instant."""
        dated = [(_ms(each), each) for each in self._changes]
        first = min((ms for ms, each in dated if each.team_id == team and each.status != RESET), default=None)
        by_then = [each for ms, each in dated if ms <= at_ms]
        resets: dict[int, int] = {}
        for each in by_then:
            if each.status == RESET:
                resets[each.shard] = max(resets.get(each.shard, 0), each.sequence)
        newest: dict[int, Change] = {}
        for each in by_then:
            is_hers = (each.team_id, each.person_id, each.kind) == (team, person, PERSON) and each.status != RESET
            held = newest.get(each.cohort_id)
            if is_hers and (held is None or each.sequence > held.sequence):
                newest[each.cohort_id] = each
        standing = {key: each for key, each in newest.items() if each.sequence > resets.get(each.shard, 0)}
        return Told(first, {key: each.status == ENTERED for key, each in standing.items()})


def _ms(change: Change) -> int:
    instant = datetime.strptime(change.last_updated, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
    return int(instant.timestamp() * 1_000)
