"""How good an answer about one cohort is, for one subject. Pure: what was read and the instant decide.

A missing answer is never silently "not a member": `member_of` is None then, and `trouble_with` says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cohort_store.durations import format_instant
from cohort_store.ports import Membership
from cohort_store.registry import Cohort
from cohort_store.warming import WarmUp, warm_up_of


class Status(StrEnum):
    """From good to bad. OK, WARMING and STALE come with an answer, BUILDING and UNAVAILABLE do not."""

    OK = "OK"
    WARMING = "WARMING"
    """The stream has not run for a whole window, or not since the interval began: earlier events may be missing."""
    STALE = "STALE"
    """A source gives no sign of life and was left out, or the data is old: the answer may lack the latest events."""
    BUILDING = "BUILDING"
    """No version of the cohort is ready yet."""
    UNAVAILABLE = "UNAVAILABLE"
    """The store could not be asked, lost what it kept and has not got it back, has not folded the cohort's version, or
    keeps too little of this subject."""


@dataclass(frozen=True, slots=True)
class CohortView:
    """What readers need of a cohort: its active version."""

    id: int
    key: str
    name: str
    listed: bool
    handle: int
    """0: no version is active."""
    number: int
    complemented: bool
    """Whether those stored are the exceptions."""
    registry_version: int
    """The one that brought the active version."""
    known_in: int
    """The one that the reader knows all this from."""
    activated_ms: int
    warm_up: WarmUp
    backfilled: bool = False
    in_force_from: int = 0
    """The registry version with which the active version took over; 0: with the one that brought it."""


def view_of(cohort: Cohort, registry_version: int) -> CohortView:
    """The view of a cohort of the registry of that version; parses its tree, so make it once a registry version."""
    version = cohort.active
    return CohortView(
        id=cohort.id,
        key=cohort.key,
        name=cohort.name,
        listed=cohort.listed,
        handle=version.handle if version else 0,
        number=version.number if version else 0,
        complemented=version.complemented if version else False,
        registry_version=version.registry_version if version else 0,
        known_in=registry_version,
        activated_ms=version.activated_ms if version else 0,
        warm_up=warm_up_of(version.when) if version else WarmUp(always=True),
        backfilled=version.backfilled if version else False,
        in_force_from=version.in_force_from if version else 0,
    )


def member_of(cohort: CohortView, membership: Membership | None) -> bool | None:
    """Whether the subject is in the cohort; None where nothing can be said. `membership` None: the store is away."""
    if membership is None or not _can_answer(cohort, membership):
        return None
    if is_inexact(cohort, membership):
        return None
    return (cohort.handle in membership.handles) is not cohort.complemented


def is_inexact(cohort: CohortView, membership: Membership) -> bool:
    """Whether more events would have to be kept of the subject than are, to answer for the cohort."""
    return -cohort.handle in membership.handles


def status_of(cohort: CohortView, membership: Membership | None, stale_after_ms: int, now: int) -> Status:
    """How good the cohort's answer is. Data older than `stale_after_ms` at `now` counts as stale."""
    if cohort.handle == 0:
        return Status.BUILDING
    if membership is None or not _can_answer(cohort, membership):
        return Status.UNAVAILABLE
    if is_inexact(cohort, membership):
        return Status.UNAVAILABLE
    # First: whoever waits for a cohort to warm must learn that nothing flows any more.
    if membership.stale or now - membership.now_ms > stale_after_ms:
        return Status.STALE
    return Status.OK if is_warm(cohort, membership) else Status.WARMING


def _can_answer(cohort: CohortView, membership: Membership) -> bool:
    """Whether the shard has folded the version that the reader knows, still keeps it up, and has what it knew of it."""
    is_kept = membership.readers_from <= cohort.known_in
    is_folded = membership.ready is not None and 0 < cohort.registry_version <= membership.ready
    return is_kept and is_folded and not is_restored(cohort, membership)


def is_restored(cohort: CohortView, membership: Membership) -> bool:
    """Whether the shard lost what it had of the cohort's history, which is being filled in again.

    Why no answer rather than one that is warming: who was a member a moment ago would be none, for want of her past.
    """
    return cohort.backfilled and membership.warm_from_ms > cohort.activated_ms and not is_warm(cohort, membership)


def is_warm(cohort: CohortView, membership: Membership) -> bool:
    """Whether every event that the cohort looks at came after the instant from which on none was missed."""
    from_ms = complete_from_ms(cohort, membership.warm_from_ms)
    until_ms = cohort.warm_up.until_ms(from_ms, is_all=cohort.backfilled and from_ms == cohort.activated_ms)
    return until_ms is not None and membership.now_ms >= until_ms


def complete_from_ms(cohort: CohortView, warm_from_ms: int) -> int:
    """The instant from which on no event that the cohort looks at was missed."""
    return max(cohort.activated_ms, warm_from_ms)


def trouble_with(cohort: CohortView, membership: Membership | None) -> str:
    """Why `member_of` is None, as half a sentence."""
    if cohort.handle == 0:
        return f"the first version of cohort {cohort.key} is still being built"
    if membership is None:
        return f"the membership store could not be reached for cohort {cohort.key}"
    if membership.ready is None:
        return f"the person's shard holds no position yet, so cohort {cohort.key} cannot answer"
    if membership.readers_from > cohort.known_in:
        return (
            f"registry version {cohort.known_in} is all that this reader knows, and the person's shard has let go of "
            f"what versions before {membership.readers_from} name, so cohort {cohort.key} cannot answer"
        )
    if membership.ready >= cohort.registry_version and is_restored(cohort, membership):
        return (
            f"the person's shard began anew at {format_instant(membership.warm_from_ms)}, and the history of cohort "
            f"{cohort.key} is being filled in again"
        )
    if membership.ready >= cohort.registry_version:
        return f"the person has more events than are kept of one selector, so cohort {cohort.key} cannot answer yet"
    return (
        f"the person's shard has folded registry version {membership.ready} "
        f"and cohort {cohort.key} needs {cohort.registry_version}"
    )


def data_age_ms(membership: Membership, now: int) -> int:
    """How far the subject's roll is behind; never negative."""
    return max(0, now - membership.now_ms)
