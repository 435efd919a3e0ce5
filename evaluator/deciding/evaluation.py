"""All flags of one request, and how good the answers are. Pure: everything was read before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from cohort_store.durations import format_instant
from cohort_store.freshness import CohortView, Status, complete_from_ms, is_warm, member_of, status_of, trouble_with
from cohort_store.ports import Membership
from cohort_store.properties import Properties
from evaluator.deciding.condition_sets import Ask, Explain, Group, Who
from evaluator.deciding.flags import CompiledFlag, FlagAnswer, is_unavailable
from evaluator.deciding.reasons import ReasonCode
from evaluator.deciding.recalling import recall_answers
from evaluator.reading.last_known import Known, known_member
from evaluator.reading.person_properties import Unread


class Person(NamedTuple):
    """Whom a request is about: what it brought, and what was read of her (None: not read, or not readable)."""

    distinct_id: str
    properties: Properties
    membership: Membership | None
    unread: frozenset[str] = frozenset()
    """Properties that may be kept of her, and could not be read."""
    known: Known | None = None
    """What was last known of her, where `membership` does not answer for all cohorts."""
    groups: Mapping[int, Group] = {}
    """Those that she acts for, by the number of the group type."""
    device_id: str = ""
    hash_keys: Mapping[str, str] | None = {}
    """By flag, the id in whose place she came; None: not readable."""


class CohortAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One cohort's answer about one person, and how good it is."""

    id: int
    key: str
    version: int
    status: Status
    member: bool | None = None
    """Absent where nothing can be said."""
    complete_from: str | None = None
    """Where earlier events may be missing: the instant from which on none was."""
    detail: str | None = None
    """Why nothing can be said."""
    last_known: bool | None = None
    """Where nothing can be said: whether she was a member when she was read last. Absent where that is not known."""
    known_at: str | None = None
    """The instant of `last_known`."""


def decide_all(flags: Iterable[CompiledFlag], person: Person, now: int) -> tuple[dict[str, FlagAnswer], int]:
    """Every flag's answer by key at `now`, and of how many a policy answered.

    Flags that one of these depends on are counted too.
    """
    membership = person.membership
    beside: dict[str, FlagAnswer] = {}
    who = Who(person.distinct_id, person.properties, now, person.groups, person.device_id, person.hash_keys, beside)

    def ask(cohort: CohortView) -> bool | None:
        return member_of(cohort, membership)

    def explain(cohort: CohortView) -> str:
        return trouble_with(cohort, membership)

    flags = tuple(flags)
    if person.unread:
        answers = {flag.key: decide_unread(flag, who, person.unread, ask, explain) for flag in flags}
    else:
        answers = {flag.key: flag.decide(who, ask, explain) for flag in flags}
    unavailable = sum(map(is_unavailable, answers.values()))
    if unavailable and person.known is not None:
        undecided = (flag for flag in flags if is_unavailable(answers[flag.key]))
        answers |= recall_answers(undecided, who, ask, person.known, person.unread)
    if beside:
        unavailable += sum(is_unavailable(answer) for key, answer in beside.items() if key not in answers)
    return answers, unavailable


def decide_unread(flag: CompiledFlag, who: Who, unread: frozenset[str], ask: Ask, explain: Explain) -> FlagAnswer:
    """The flag's answer where some properties could not be read: its policy's, where it looked at one of them."""
    properties = Unread(who.properties, unread)
    answer = flag.decide(who._replace(properties=properties, beside={}), ask, explain)
    if properties.looked_at is None or is_unavailable(answer):
        return answer
    why = f"property {properties.looked_at} could not be read, and the request did not bring it"
    return flag.by_policy(None, ReasonCode.PROPERTY_UNAVAILABLE, why, who)


def cohorts_asked(flags: Sequence[CompiledFlag]) -> dict[str, CohortView]:
    """Every cohort that one of the flags may ask, by key."""
    return {cohort.key: cohort for flag in flags for cohort in flag.cohorts}


def describe(
    cohort: CohortView, membership: Membership | None, stale_after_ms: int, now: int, known: Known | None = None
) -> CohortAnswer:
    """The cohort's answer with its version and status, and where there is none, what was last known."""
    status = status_of(cohort, membership, stale_after_ms, now)
    member = member_of(cohort, membership)
    complete_from = None
    if status in (Status.WARMING, Status.STALE) and membership is not None and not is_warm(cohort, membership):
        complete_from = format_instant(complete_from_ms(cohort, membership.warm_from_ms))
    before = known_member(cohort, known) if member is None else None
    return CohortAnswer(
        id=cohort.id,
        key=cohort.key,
        version=cohort.number,
        status=status,
        member=member,
        complete_from=complete_from,
        detail=trouble_with(cohort, membership) if member is None else None,
        last_known=before,
        known_at=format_instant(known.membership.now_ms) if known is not None and before is not None else None,
    )
