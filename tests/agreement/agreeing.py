"""Reconciling at the end of a run: nobody differs from the history."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import aclosing
from typing import TYPE_CHECKING, cast

from processors.reconcile.checking import CheckingParts
from processors.reconcile.judged import judged_of
from processors.reconcile.ports import Agreement, PastSide
from processors.reconcile.reconciling import ReconcilingParts, reconcile
from processors.reconcile.repairing import RepairParts
from tests.agreement.past import ArchivedPast
from tests.agreement.processes import Deltas
from tests.membership.parts import Worried

if TYPE_CHECKING:
    from tests.agreement.world import World


class _Book:
    async def write(self, agreements: Collection[Agreement]) -> None:
        """Nobody reads it."""


async def assert_no_drift(world: World) -> None:
    """The real reconciling, with repair, finds nothing to repair. The world must be settled."""
    shape, worried = world.shape, Worried("reconcile", world.script)
    past = cast("PastSide", ArchivedPast(world.archive, world.sent, shape.shards, worried))
    settled = ArchivedPast(world.archive, world.sent, shape.shards, worried)
    parts = ReconcilingParts(
        CheckingParts(past, settled, world.store, world.store, shape.shards, 5_000),
        RepairParts(past, world.store, Deltas(world.log, worried), shape.shards, shape.partitions),
        _Book(),
        part_persons=2,
    )
    registry = world.log.registry
    judged, others = judged_of(registry, 1, (), world.lists, knows_persons=True)
    assert not others, others
    async with aclosing(reconcile(parts, registry, judged, range(shape.shards), repairing=True)) as turns:
        found = [agreement async for turn in turns for agreement in turn.agreements]
    wrong = [(each.key, each.drifted, each.in_flight) for each in found if each.drifted or each.in_flight]
    assert not wrong, wrong
