"""Reconciling on a schedule: the turn that is due, what it came to as metrics, and who differs in the log."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import aclosing

from cohort_store.registry import Registry
from processors import metrics
from processors.definition_changes import Values, lists_of
from processors.reconcile.judged import judged_of
from processors.reconcile.ports import Agreement
from processors.reconcile.reconciling import ReconcilingParts, groups, reconcile
from processors.reconcile.rounds import Rounds

NAMED_MAX = 10
"""Persons a cohort whom the log names at a time."""

_log = logging.getLogger(__name__)


class Reconciling:
    """One process's share of it. `knows_persons`: whether the history has all that sets properties of persons."""

    def __init__(self, parts: ReconcilingParts, rounds: Rounds, *, knows_persons: bool, repairing: bool) -> None:
        self._parts = parts
        self._rounds = rounds
        self._knows_persons = knows_persons
        self._repairing = repairing

    async def turn(self, registry: Registry, values: Values, elapsed_ms: int) -> None:
        """Compare the shards whose turn it is, if it is anybody's. Raises Retry."""
        checking = self._parts.checking
        # First: the rest asks ClickHouse to count all persons.
        if not self._rounds.is_due(elapsed_ms) or not registry.teams or not await checking.history.is_there():
            return
        persons = max([await checking.history.persons(team) for team in registry.teams])
        every = range(checking.shards)
        shards = self._rounds.turn(list(groups(every, persons, checking.shards, self._parts.part_persons)), elapsed_ms)
        if shards:
            for team in registry.teams:
                await self._compare(registry, team, lists_of(values, team), shards)

    async def _compare(
        self, registry: Registry, team: int, lists: Mapping[str, Sequence[str]], shards: Sequence[int]
    ) -> None:
        judged, _ = judged_of(registry, team, (), lists, knows_persons=self._knows_persons)
        if not judged.cohorts:
            return
        turns = reconcile(self._parts, registry, judged, shards, repairing=self._repairing)
        async with aclosing(turns) as told:
            async for turn in told:
                for agreement in turn.agreements:
                    _tell(agreement)


def _tell(agreement: Agreement) -> None:
    labels = (str(agreement.team), agreement.key)
    metrics.RECONCILE_PERSONS.add(agreement.persons, *labels)
    metrics.RECONCILE_DRIFT.add(len(agreement.drifted), *labels)
    metrics.RECONCILE_REPAIRED.add(sum(each.repaired for each in agreement.drifted), *labels)
    if agreement.drifted:
        names = ", ".join(each.person for each in agreement.drifted[:NAMED_MAX])
        _log.warning(
            "control: %d persons differ from the history in cohort %s of team %d: %s%s",
            len(agreement.drifted),
            agreement.key,
            agreement.team,
            names,
            ", ..." if len(agreement.drifted) > NAMED_MAX else "",
        )
