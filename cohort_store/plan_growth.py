"""Whether a plan needs records to be looked at again that another one was folded with. Pure.

A version that reads timelines of which none was kept so far holds for nobody but by events to come, so no record is
other than it would be with the new plan. Then a shard need not look through its records to be ready: the usual case of
a new cohort on an event that nobody asked about before. Anything else is looked at: a version that took over from
another, one that is gone, one that reads what was kept, one that is told of people who never did anything.
"""

from __future__ import annotations

from cohort_store.plans import BoundRegister, CohortPlan, Plan, TeamPlan


def leaves_records_alone(before: Plan, after: Plan) -> bool:
    """Whether every record that was looked at with `before` is as `after` would have it."""
    return all(_leaves_alone(before.team(team), after.team(team)) for team in before.teams.keys() | after.teams.keys())


def _leaves_alone(before: TeamPlan, after: TeamPlan) -> bool:
    stayed = {handle: _standing(cohort) for handle, cohort in before.by_handle.items()}
    found = {handle: _standing(cohort) for handle, cohort in after.by_handle.items() if handle in stayed}
    added = [cohort for cohort in after.cohorts if cohort.handle not in stayed]
    return found == stayed and all(_is_of_the_unseen(cohort, before, after) for cohort in added)


def _standing(cohort: CohortPlan) -> tuple[object, ...]:
    """What records, sets and changes depend on, but for the tree, which a version keeps for ever."""
    return (cohort.listed, cohort.active, cohort.replaces, cohort.in_force_from)


def _is_of_the_unseen(cohort: CohortPlan, before: TeamPlan, after: TeamPlan) -> bool:
    """Whether it holds for nobody, by timelines that are new."""
    bound = [after.conditions[index] for index in cohort.conditions]
    is_new = all(
        not isinstance(each, BoundRegister) and before.selectors.keys().isdisjoint(each.selectors) for each in bound
    )
    return is_new and bool(bound) and not cohort.complemented and not cohort.replaces
