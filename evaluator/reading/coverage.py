"""Whether one read of a person answers for every cohort of her team: asked of each read, so it costs no loop. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from cohort_store.freshness import CohortView, complete_from_ms
from cohort_store.ports import Membership

REMEMBERED_MAX = 16_384
"""Instants at which shards began anew that are remembered: as many as there can be shards. Beyond, all are dropped."""


class Coverage:
    """What a shard must have for each of a team's active cohorts to be answered.

    What is kept too little of one person for (a negative handle) does not count: it is hers, not the shard's.
    """

    def __init__(self, cohorts: Iterable[CohortView] = (), known_in: int = 0) -> None:
        active = [cohort for cohort in cohorts if cohort.handle]
        self._known_in = known_in
        self._needed = max((cohort.registry_version for cohort in active), default=0)
        self._filled = tuple(cohort for cohort in active if cohort.backfilled)
        self._filled_from_ms = min((cohort.activated_ms for cohort in self._filled), default=inf)
        self._whole_from_ms: dict[int, float] = {}

    def is_whole(self, membership: Membership) -> bool:
        """Whether nothing of what the shard must have is missing."""
        if membership.ready is None or membership.ready < self._needed or membership.readers_from > self._known_in:
            return False
        began_ms = membership.warm_from_ms
        return began_ms <= self._filled_from_ms or membership.now_ms >= self._whole_from(began_ms)

    def _whole_from(self, began_ms: int) -> float:
        """The instant from which a shard that began anew then has all the history again; infinity: never."""
        known = self._whole_from_ms.get(began_ms)
        if known is None:
            if len(self._whole_from_ms) >= REMEMBERED_MAX:
                self._whole_from_ms.clear()
            known = max(
                (_warm_from(cohort, began_ms) for cohort in self._filled if began_ms > cohort.activated_ms),
                default=-inf,
            )
            self._whole_from_ms[began_ms] = known
        return known


def _warm_from(cohort: CohortView, began_ms: int) -> float:
    until_ms = cohort.warm_up.until_ms(complete_from_ms(cohort, began_ms))
    return inf if until_ms is None else until_ms
