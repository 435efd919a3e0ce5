"""How good each flag's answer is: the status of the cohorts that it asks, and the tests that held. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from cohort_store.freshness import Status
from evaluator.deciding.condition_sets import Who
from evaluator.deciding.condition_tree import SetOutcome, Tree, outcomes
from evaluator.deciding.evaluation import CohortAnswer
from evaluator.deciding.flags import CompiledFlag, FlagAnswer
from evaluator.deciding.reasons import ReasonCode


class FlagQuality(msgspec.Struct, frozen=True, omit_defaults=True):
    """One flag's answer, and what became of its condition sets."""

    status: Status
    """The worst of the cohorts that it may ask; OK for a flag that asks none."""
    sets: list[SetOutcome] = []
    from_cache: bool = False
    """Whether what was last known of the person decided."""


_ORDER = list(Status)


def flag_qualities(
    flags: Sequence[CompiledFlag],
    trees: Mapping[str, Tree],
    who: Who,
    cohorts: Mapping[str, CohortAnswer],
    answers: Mapping[str, FlagAnswer],
) -> dict[str, FlagQuality]:
    """Each flag's quality by key. `cohorts` are those that the flags ask, by key, as they answered for `who`."""
    now = {each.key: each.member for each in cohorts.values()}
    before = {each.key: each.last_known if each.member is None else each.member for each in cohorts.values()}
    now, before = ({str(cohorts[key].id): member for key, member in each.items()} | each for each in (now, before))
    found: dict[str, FlagQuality] = {}
    for flag in flags:
        is_known = answers[flag.key].reason.code == ReasonCode.LAST_KNOWN
        found[flag.key] = FlagQuality(
            status=max((cohorts[cohort.key].status for cohort in flag.cohorts), key=_ORDER.index, default=Status.OK),
            sets=outcomes(trees[flag.key], who, before if is_known else now),
            from_cache=is_known,
        )
    return found
