"""The steps by which control keeps the registry true to the world: sources, and versions that take over."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

import msgspec

from cohort_store.compiling import activate, ask_backfill, backfill, drop_retired, leave_backfill
from cohort_store.ports import Position
from cohort_store.registry import Registry, VersionState
from cohort_store.static_lists import TeamList

ABSENT_LOOKS_MAX = 3
"""A configured topic that the broker does not list is struck after so many looks, and not while it only restarts."""

RETIRED_KEPT_MS = 15_000
"""How long what was retired is kept up once the mirror shows the registry without it, in real time. An evaluator looks
at the mirror every 5 s even where no word reaches it, and takes 5 s at most for a look."""


def ready_of(positions: Mapping[int, Position], shards: int) -> int:
    """The registry version that every shard has folded; 0 while any of them has no position."""
    if len(positions) < shards:
        return 0
    return min(position.ready for position in positions.values())


def building(registry: Registry) -> bool:
    """Whether any cohort's version waits to take over."""
    return any(
        version.state is VersionState.BUILDING
        for team in registry.teams.values()
        for cohort in team.cohorts
        for version in cohort.versions
    )


def taking_over(
    ready: int, unfolded: Collection[TeamList] = (), *, with_history: bool = False
) -> Callable[[Registry], Registry]:
    """The step that lets every version up to `ready` take over, but for those that read a list in `unfolded`.

    `with_history`: nor those whose history is to be filled in first.
    """
    return lambda registry: activate(registry, ready, unfolded, with_history=with_history)


def filled_in(begins_ms: Mapping[int, int | None], since_ms: int | None = None) -> Callable[[Registry], Registry]:
    """The step by which the versions of these handles have their history; see compiling.backfill."""
    return lambda registry: backfill(registry, begins_ms, since_ms)


def dropping(through: int) -> Callable[[Registry], Registry]:
    """The step that lets go of what was retired up to registry version `through`."""
    return lambda registry: drop_retired(registry, through)


def asked_again(handles: Collection[int]) -> Callable[[Registry], Registry]:
    """The step by which history is to be filled in for the versions of these handles, once more where it was."""
    return lambda registry: ask_backfill(registry, handles)


def left_as_it_is(handles: Collection[int]) -> Callable[[Registry], Registry]:
    """The step by which no history is filled in for the versions of these handles until somebody asks for it."""
    return lambda registry: leave_backfill(registry, handles)


class Retirement:
    """How long readers have been able to see that versions are out of force, from repeated looks at the mirror.

    Kept in memory only: a process that begins anew waits once more from its first look on, so nothing is dropped early.
    """

    def __init__(self, kept_ms: int = RETIRED_KEPT_MS) -> None:
        self._kept_ms = kept_ms
        self._mirrored_ms: dict[int, int] = {}

    def look(self, registry: Registry, mirrored: int, elapsed_ms: int) -> int:
        """The registry version up to which what is retired may go; 0 for nothing.

        `mirrored` is the version that the mirror shows, `elapsed_ms` a monotonic clock in real time.
        """
        since = {each: self._mirrored_ms.get(each, elapsed_ms) for each in registry.retired_in() if each <= mirrored}
        self._mirrored_ms = since
        return max((each for each, seen_ms in since.items() if elapsed_ms - seen_ms >= self._kept_ms), default=0)


def with_sources(sources: Mapping[str, tuple[int, ...]]) -> Callable[[Registry], Registry]:
    """The step to a registry that lists these source partitions."""

    def step(registry: Registry) -> Registry:
        if dict(registry.sources) == dict(sources):
            return registry
        return msgspec.structs.replace(registry, version=registry.version + 1, sources=dict(sources))

    return step


class SourceWatch:
    """Which source partitions count, from repeated looks at the broker.

    A topic that is not configured any more is struck at once; one that is configured and absent only after
    ABSENT_LOOKS_MAX looks in a row, since a broker that starts may not list everything yet.
    """

    def __init__(self, configured: Iterable[str]) -> None:
        self._configured = tuple(configured)
        self._absent: dict[str, int] = {}

    def look(
        self, listed: Mapping[str, tuple[int, ...]], known: Mapping[str, tuple[int, ...]]
    ) -> dict[str, tuple[int, ...]]:
        """The sources after one more look: `listed` by the broker, `known` to the registry."""
        found: dict[str, tuple[int, ...]] = {}
        for topic in self._configured:
            if topic in listed:
                self._absent.pop(topic, None)
                found[topic] = listed[topic]
                continue
            self._absent[topic] = self._absent.get(topic, 0) + 1
            if topic in known and self._absent[topic] < ABSENT_LOOKS_MAX:
                found[topic] = known[topic]
        return found
