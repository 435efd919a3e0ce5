"""A read is whole exactly where it answers for every active cohort of the team."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort_store.freshness import CohortView, member_of
from cohort_store.ports import Membership
from cohort_store.warming import WarmUp
from evaluator.reading import coverage
from evaluator.reading.coverage import Coverage
from tests.evaluator.building import cohort_view, membership
from tests.examples import aside

FEW = st.integers(0, 6)
COHORTS = st.builds(
    lambda number, fields: cohort_view(f"c{number}", number, known_in=4, **fields),
    FEW,
    st.fixed_dictionaries(
        {
            "registry_version": st.integers(1, 4),
            "activated_ms": FEW,
            "backfilled": st.booleans(),
            "warm_up": st.builds(WarmUp, FEW, st.none() | FEW, st.booleans()),
        }
    ),
)
READS = st.builds(
    membership,
    ready=st.none() | FEW,
    now_ms=st.integers(0, 15),
    warm_from_ms=FEW,
    readers_from=st.integers(0, 6),
)


@aside()
@given(st.lists(COHORTS, min_size=1, max_size=5), st.lists(READS, min_size=1, max_size=5))
def test_a_read_is_whole_where_each_cohort_is_answered_and_not_where_one_is_not(
    cohorts: list[CohortView], reads: list[Membership]
) -> None:
    asked = Coverage(cohorts, 4)
    for read in reads:
        assert asked.is_whole(read) is all(member_of(cohort, read) is not None for cohort in cohorts)


def test_a_cohort_of_which_no_version_is_active_needs_nothing() -> None:
    building = cohort_view(handle=0, registry_version=0)
    assert Coverage([building], 5).is_whole(membership(ready=0))
    assert not Coverage([building], 5).is_whole(membership(ready=None))


def test_instants_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "REMEMBERED_MAX", 3)
    asked = Coverage([cohort_view(backfilled=True, activated_ms=0, warm_up=WarmUp(10))], 5)
    for began_ms in range(1, 10):
        assert asked.is_whole(membership(now_ms=began_ms + 10, warm_from_ms=began_ms))
        assert not asked.is_whole(membership(now_ms=began_ms + 9, warm_from_ms=began_ms))
        assert len(asked._whole_from_ms) <= 3
