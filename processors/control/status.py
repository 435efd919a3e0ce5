"""How everything stands: the registry, each cohort, and the shards that keep them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from cohort_store.kafka.topics import DELTAS
from cohort_store.ports import MembershipReader, Position
from cohort_store.registry import Cohort, CohortVersion, Registry, VersionState
from cohort_store.warming import warm_up_of
from processors.backfill.ports import FillingStatus


class CohortStatus(msgspec.Struct, frozen=True):
    """One cohort, as its readers see it."""

    team: int
    key: str
    id: int
    name: str
    version: int
    """The active version's number; 0 where none is active."""
    state: str
    """`ready`, `warming` (earlier events may be missing), `building` (no version answers yet), or `unavailable`."""
    building: int
    """The number of the version that is to take over; 0 where none is."""
    size: int
    """How many subjects are stored: the members or, where `complemented`, the exceptions."""
    complemented: bool
    listed: bool
    complete_from_ms: int
    """No event since then was missed."""
    warming_until_ms: int | None
    """When that has become enough; None where every event since ever may matter."""


class ShardsStatus(msgspec.Struct, frozen=True):
    """All shards together; a figure that needs what is not there is None."""

    total: int
    known: int
    """How many have a position."""
    ready: int
    """How many have folded every version that is in force."""
    stale: int
    """How many had to leave a silent source partition out of their time."""
    now_ms: int | None
    """The instant of the one that is furthest behind."""
    age_ms: int | None
    lag: int | None
    """Messages of deltas that are not folded yet."""


class Status(msgspec.Struct, frozen=True):
    """The whole answer of `muster status`, and of control's `/status/`."""

    at_ms: int
    registry_version: int
    applied: str
    refused: str
    """Why the last apply was refused; empty where it was not."""
    cohorts: tuple[CohortStatus, ...]
    flags: int
    sources: Mapping[str, tuple[int, ...]]
    shards: ShardsStatus
    backfill: FillingStatus | None = None
    """What is being filled in; None where nothing is."""


class Ends(Protocol):
    """Where the partitions of deltas end."""

    async def __call__(self) -> Mapping[int, int]:
        """Partition → the offset of its next message. Raises Retry."""
        ...


async def status_of(
    registry: Registry,
    reader: MembershipReader,
    *,
    shards: int,
    now: int,
    ends: Mapping[int, int] | None,
    backfill: FillingStatus | None = None,
) -> Status:
    """The status at `now`. `ends` None: the log cannot be asked. Raises Retry when the store cannot be reached."""
    positions = await reader.positions(range(shards))
    cohorts = [(team.team, cohort) for team in registry.teams.values() for cohort in team.cohorts]
    handles = [cohort.active.handle for _, cohort in cohorts if cohort.active]
    sizes = dict(zip(handles, await reader.sizes(handles), strict=True))
    warm_from = max((position.warm_from_ms for position in positions.values()), default=0)
    ready = min((position.ready for position in positions.values()), default=0) if len(positions) == shards else 0
    return Status(
        at_ms=now,
        registry_version=registry.version,
        applied=registry.applied,
        refused=registry.refused,
        cohorts=tuple(_cohort(team, each, sizes, (warm_from, ready, now)) for team, each in cohorts),
        flags=sum(len(team.flags) for team in registry.teams.values()),
        sources=registry.sources,
        shards=_shards(registry, positions, shards, now, ends),
        backfill=backfill,
    )


def complete_from_ms(version: CohortVersion, warm_from_ms: int) -> int:
    """The instant since which no event was missed."""
    return max(version.activated_ms, warm_from_ms)


def warming_until_ms(version: CohortVersion, warm_from_ms: int) -> int | None:
    """The instant at which no earlier event can matter any more; None where one always can."""
    from_ms = complete_from_ms(version, warm_from_ms)
    return warm_up_of(version.when).until_ms(from_ms, is_all=version.backfilled and from_ms == version.activated_ms)


def _cohort(team: int, cohort: Cohort, sizes: Mapping[int, int], standing: tuple[int, int, int]) -> CohortStatus:
    warm_from, ready, now = standing
    active = cohort.active
    shown = active or cohort.versions[-1]
    until = warming_until_ms(shown, warm_from)
    if active is None:
        state = "building"
    elif ready < active.registry_version:
        state = "unavailable"
    elif until is not None and now >= until:
        state = "ready"
    else:
        is_lost = active.backfilled and warm_from > active.activated_ms
        state = "unavailable" if is_lost else "warming"
    last = cohort.versions[-1]
    return CohortStatus(
        team=team,
        key=cohort.key,
        id=cohort.id,
        name=cohort.name,
        version=active.number if active else 0,
        state=state,
        building=last.number if last.state is VersionState.BUILDING else 0,
        size=sizes.get(active.handle, 0) if active else 0,
        complemented=shown.complemented,
        listed=cohort.listed,
        complete_from_ms=complete_from_ms(shown, warm_from),
        warming_until_ms=until,
    )


def _shards(
    registry: Registry, positions: Mapping[int, Position], total: int, now: int, ends: Mapping[int, int] | None
) -> ShardsStatus:
    slowest = min((position.now_ms for position in positions.values()), default=None)
    return ShardsStatus(
        total=total,
        known=len(positions),
        ready=sum(position.ready >= registry.cohorts_version for position in positions.values()),
        stale=sum(position.stale for position in positions.values()),
        now_ms=slowest,
        age_ms=None if slowest is None else max(0, now - slowest),
        lag=None if ends is None else _lag(positions, ends),
    )


def _lag(positions: Mapping[int, Position], ends: Mapping[int, int]) -> int:
    """A partition is as far behind as the slowest of its shards; one without a position has read nothing."""
    folded: dict[int, int] = {}
    for position in positions.values():
        offset = position.offsets[DELTAS].next if DELTAS in position.offsets else 0
        folded[position.partition] = min(folded.get(position.partition, offset), offset)
    return sum(max(0, end - folded.get(partition, 0)) for partition, end in ends.items())
