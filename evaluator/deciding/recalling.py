"""Flags that a cohort leaves unknown, decided again with what was last known of the person. Pure.

The rule of the flag is the same, and so are the request's properties; only a cohort that cannot be asked answers as it
did when the person was read last. The reason keeps the set that decided, and says of when the memberships are.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from cohort_store.durations import format_instant
from cohort_store.freshness import CohortView
from evaluator.deciding.condition_sets import Ask, Who
from evaluator.deciding.flags import CompiledFlag, FlagAnswer, Reason, is_unavailable
from evaluator.deciding.policies import PolicyKind
from evaluator.deciding.reasons import ReasonCode
from evaluator.reading.last_known import Known, known_member
from evaluator.reading.person_properties import Unread


def recall_answers(
    flags: Iterable[CompiledFlag], who: Who, ask: Ask, known: Known, unread: frozenset[str] = frozenset()
) -> dict[str, FlagAnswer]:
    """The answers, by key, of those flags of which the policy is `last_known` and enough is known.

    Properties are not remembered: a flag that looks at one of those `unread` is not answered here.
    """

    def remembering(cohort: CohortView) -> bool | None:
        member = ask(cohort)
        return known_member(cohort, known) if member is None else member

    decided: dict[str, FlagAnswer] = {}
    # What flags that others depend on answered without what is remembered must not stand in for what they do now.
    beside: dict[str, FlagAnswer] = {}
    for flag in flags:
        if flag.policy.kind is PolicyKind.LAST_KNOWN:
            properties = Unread(who.properties, unread)
            asked = who._replace(properties=properties, beside={}) if unread else who._replace(beside=beside)
            answer = flag.decide(asked, remembering, lambda cohort: f"nothing is known of cohort {cohort.key}")
            if properties.looked_at is None and not is_unavailable(answer):
                decided[flag.key] = _as_known(answer, known.membership.now_ms)
    return decided


def _as_known(answer: FlagAnswer, at_ms: int) -> FlagAnswer:
    said = f"{answer.reason.description}; answered from what was known at {format_instant(at_ms)}"
    return msgspec.structs.replace(answer, reason=Reason(ReasonCode.LAST_KNOWN, answer.reason.condition_index, said))
