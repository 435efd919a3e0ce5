"""The block of an answer says which test of which set failed, and agrees with what the flag answered."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cohort_store.flags import parse_flag
from cohort_store.freshness import Status
from cohort_store.ports import Membership
from evaluator.deciding.condition_sets import Who
from evaluator.deciding.condition_tree import SetOutcome, properties_tested, tree_of
from evaluator.deciding.evaluation import Person, cohorts_asked, decide_all, describe
from evaluator.deciding.flag_quality import FlagQuality, flag_qualities
from evaluator.reading.last_known import Known
from tests.evaluator.building import DAY_MS, NOW_MS, cohort_view, compiled, flag, in_cohort, membership, person_is
from tests.examples import aside

BUYERS, SLEEPERS = cohort_view("buyers", 1), cohort_view("sleepers", 2)
STALE_AFTER_MS = 3_600_000
AT_MS = NOW_MS + DAY_MS


def _quality(
    raw: dict[str, Any], read: Membership | None, known: Known | None = None, **properties: Any
) -> tuple[FlagQuality, str, int | None]:
    each = compiled(raw, BUYERS, SLEEPERS)
    answers, _ = decide_all([each], Person("ada", properties, read, known=known), AT_MS)
    cohorts = {
        key: describe(cohort, read, STALE_AFTER_MS, AT_MS, known) for key, cohort in cohorts_asked([each]).items()
    }
    trees = {each.key: tree_of(parse_flag(raw))}
    found = flag_qualities([each], trees, Who("ada", properties, AT_MS), cohorts, answers)
    reason = answers[each.key].reason
    return found[each.key], str(reason.code), reason.condition_index


TWO_SETS = flag(
    "f",
    {"properties": [person_is("plan", "exact", "pro"), in_cohort("buyers"), in_cohort(2, "not_in")]},
    {"properties": [person_is("age", "gt", 30)]},
)


def test_each_set_names_the_tests_that_failed_and_those_that_are_unknown() -> None:
    quality, _, _ = _quality(TWO_SETS, membership(SLEEPERS.handle), plan="PRO", age=7)
    assert quality == FlagQuality(
        Status.OK,
        [
            SetOutcome(0, False, ["cohort buyers in", "cohort 2 not_in"]),
            SetOutcome(1, False, ["person age gt"]),
        ],
    )
    quality, _, _ = _quality(TWO_SETS, None, plan="pro", age=31)
    both = ["cohort buyers in", "cohort 2 not_in"]
    assert quality == FlagQuality(Status.UNAVAILABLE, [SetOutcome(0, None, [], both), SetOutcome(1, True)])


def test_what_was_last_known_shows_in_the_tests_that_it_decided() -> None:
    raw = flag("f", {"properties": [in_cohort("buyers")]})
    quality, code, index = _quality(raw, None, Known(membership(BUYERS.handle), 5))
    assert (code, index) == ("last_known", 0)
    assert quality == FlagQuality(Status.UNAVAILABLE, [SetOutcome(0, True)], from_cache=True)
    closed = raw | {"muster": {"on_unavailable": "fail_closed"}}
    quality, _, _ = _quality(closed, None, Known(membership(BUYERS.handle), 5))
    assert quality == FlagQuality(Status.UNAVAILABLE, [SetOutcome(0, None, [], ["cohort buyers in"])])


def test_a_flags_status_is_the_worst_of_its_cohorts() -> None:
    raw = flag("f", {"properties": [in_cohort("buyers")]}, {"properties": [in_cohort("sleepers")]})
    assert _quality(flag("f", {}), None)[0].status is Status.OK
    assert _quality(raw, membership())[0].status is Status.OK
    assert _quality(raw, membership(stale=True))[0].status is Status.STALE
    assert _quality(raw, membership(-SLEEPERS.handle))[0].status is Status.UNAVAILABLE


def test_properties_that_no_flag_tests_are_not_told() -> None:
    tree = tree_of(parse_flag(TWO_SETS))
    assert properties_tested([tree]) == {"plan", "age"}


FILTERS = st.one_of(
    st.builds(person_is, st.sampled_from(["a", "b"]), st.sampled_from(["exact", "is_not"]), st.integers(0, 1)),
    st.builds(in_cohort, st.sampled_from(["buyers", 2]), st.sampled_from(["in", "not_in"])),
)
SETS = st.lists(st.fixed_dictionaries({"properties": st.lists(FILTERS, max_size=3)}), max_size=4)
READS = st.none() | st.builds(membership, *[st.sampled_from([0, BUYERS.handle, -SLEEPERS.handle, SLEEPERS.handle])] * 2)


@aside()
@given(SETS, READS, st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 1)))
def test_the_first_set_of_which_everything_holds_is_the_one_that_the_reason_names(
    sets: list[Any], read: Membership | None, properties: dict[str, int]
) -> None:
    quality, code, index = _quality(flag("f", *sets), read, None, **properties)
    holding = [each.index for each in quality.sets if each.holds]
    unknown = [each.index for each in quality.sets if each.holds is None]
    if code == "condition_match":
        assert holding[0] == index
    elif code == "cohort_unavailable":
        assert unknown[0] == index
        assert not holding
    else:
        assert (holding, unknown) == ([], [])
