"""Which side of a cohort a record's subject is on, for whoever is told of changes. Pure."""

from __future__ import annotations

from cohort_store.plans import CohortPlan
from cohort_store.records import Record


def is_member(cohort: CohortPlan, record: Record) -> bool | None:
    """Whether a record's subject is in the cohort: stored in it, or not stored in it where it is complemented.

    None where nothing can be said.
    """
    if cohort.may_be_unknown and -cohort.handle in record.memberships:
        return None
    return (cohort.handle in record.memberships) is not cohort.complemented


def was_member(cohort: CohortPlan, record: Record) -> bool | None:
    """Whether a record's subject is in the version that the cohort's active one took over from; None: nobody knows."""
    if -cohort.replaces in record.memberships:
        return None
    return (cohort.replaces in record.memberships) is not cohort.replaces_complemented
