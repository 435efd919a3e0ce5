"""What a turn of filling in is for, and what it came to. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from cohort_store.ports import Position
from cohort_store.registry import Registry
from processors.backfill.asking import Asked
from processors.backfill.wanted import Wanted, wanted


class Filled(NamedTuple):
    """What a turn came to."""

    begins_ms: Mapping[int, int | None] = {}
    """By handle, where the history of each version begins that was filled in; None: nowhere."""
    since_ms: int | None = None
    """Of that history what came before was not read; None: all was."""
    run: str = ""
    """The run that was asked for, and is done; empty where none is."""
    persons: int = 0
    """Who were seeded."""


def began_anew(positions: Mapping[int, Position]) -> dict[int, int]:
    """The shards that say that they may have missed something, and until when."""
    return {shard: position.warm_from_ms for shard, position in positions.items() if position.warm_from_ms}


def next_turn(registry: Registry, asked: Asked | None, *, all_of_it: bool) -> tuple[list[Wanted], Asked | None]:
    """What is to be filled in next, and whether that is the run that is asked for: what is done by itself comes first.

    Where shards get everything, the run is a part of that.
    """
    if all_of_it:
        return wanted(registry, all_of_it=True), None if asked is None else msgspec.structs.replace(
            asked, since_ms=None
        )
    if asked is not None and (others := wanted(registry, without=frozenset(asked.handles))):
        return others, None
    return wanted(registry), asked


def filled(begins_ms: Mapping[int, int | None], run: Asked | None, persons: int = 0) -> Filled:
    """The answer of a turn that was for a run, or for none."""
    return Filled(begins_ms, persons=persons) if run is None else Filled(begins_ms, run.since_ms, run.run, persons)
