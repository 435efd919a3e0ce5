"""One flag for one person: matching, rollout, variants, payloads, reasons, and what an unknown cohort does."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from posthog.feature_flags import match_feature_flag_properties

from cohort_store.durations import format_instant
from evaluator.deciding.bucketing import bucket
from tests.evaluator.building import (
    DAY_MS,
    NOW_MS,
    cohort_view,
    compiled,
    decided,
    flag,
    in_cohort,
    person_is,
    variants,
)
from tests.examples import aside

BUYERS = cohort_view("buyers", 1)
SLEEPERS = cohort_view("sleepers", 2)

PROPERTY_TABLE = [
    ("exact", "Pro", "pRO", True),
    ("exact", ["free", "PRO"], "pro", True),
    ("exact", "pro", "prod", False),
    ("exact", True, "TRUE", True),
    ("exact", 5, 5.0, True),
    ("exact", "straße", "STRASSE", False),
    ("exact", "É", "é", True),
    ("icontains", "É", "é", False),
    ("starts_with", "PR", "pro", True),
    ("ends_with", "O", "pro", True),
    ("semver_gte", "1.2.0", "v1.10", True),
    ("semver_eq", "3.8.0", "3.08", True),
    ("semver_lt", "1.0.0", "1.0.0-beta", True),
    ("semver_eq", "1.0.0", "1.0.0.0", False),
    ("is_not", "Pro", "pRO", False),
    ("is_not", ["free", "Pro"], "team", True),
    ("icontains", "RO", "pro", True),
    ("icontains", "x", "pro", False),
    ("not_icontains", "RO", "pro", False),
    ("gt", 5, 5, False),
    ("gt", 5, 5.1, True),
    ("gte", "5", 5, True),
    ("lt", 5, "4.9", True),
    ("lte", 5, "five", False),
    ("is_set", None, "", True),
    ("is_set", None, None, False),
    ("is_not_set", None, None, True),
    ("is_not_set", None, False, False),
    ("starts_with", "pr", "pro", True),
    ("not_ends_with", "ro", "pro", False),
    ("regex", "^p.o$", "pro", True),
    ("regex", ["^p.o$"], "pro", True),
    ("not_regex", "^p.o$", "pros", True),
    ("between", [5, 10], "10", True),
    ("not_between", [5, 10], 10.5, True),
    ("is_date_before", "2026-01-12", "2026-01-11T23:59:59.999Z", True),
    ("is_date_exact", "2026-01-12", 1768176000, True),
    ("is_date_after", "2026-01-12", "2026-01-12", False),
    ("semver_gte", "1.10.0", "1.9.0", False),
    ("semver_caret", "1.2.3", "1.99.0", True),
    ("semver_wildcard", "1.2.*", "1.3.0", False),
]
MISSING_TABLE = [
    ("exact", "pro", False),
    ("is_not", "pro", True),
    ("icontains", "pro", False),
    ("not_icontains", "pro", True),
    ("gt", 5, False),
    ("lte", 5, False),
    ("is_set", None, False),
    ("is_not_set", None, True),
]


@pytest.mark.parametrize(
    ("operator", "value", "verdicts"),
    [
        ("is_date_after", "-7d", (True, False, False)),
        ("is_date_exact", "-7d", (False, True, False)),
        ("is_date_before", "-7d", (False, False, True)),
        ("is_date_before", "7d", (False, False, True)),
        ("is_date_before", ["-1w"], (False, False, True)),
        ("not_icontains", "x", (True, True, True)),
    ],
)
def test_a_relative_date_is_counted_back_from_the_instant_of_the_request(
    operator: str, value: Any, verdicts: tuple[bool, ...]
) -> None:
    raw = flag("f", {"properties": [person_is("seen", operator, value)]})
    seen = {"seen": format_instant(NOW_MS - 7 * DAY_MS)}
    asked = [decided(raw, properties=seen, now=NOW_MS + step).enabled for step in (-1, 0, 1)]
    assert tuple(asked) == verdicts


def test_m_in_a_flags_relative_date_is_a_month_as_in_posthog() -> None:
    raw = flag("f", {"properties": [person_is("seen", "is_date_exact", "-1m")]})
    assert decided(raw, properties={"seen": format_instant(NOW_MS - 30 * DAY_MS)}).enabled


def _reason(raw: dict[str, Any], **more: Any) -> tuple[bool, str, int | None, str]:
    answer = decided(raw, **more)
    return answer.enabled, str(answer.reason.code), answer.reason.condition_index, answer.reason.description


def _share_around(key: str, who: str) -> tuple[float, float]:
    """A percentage just below the person's bucket, and one just above."""
    at = bucket(key, who) * 100
    return at - 1e-9, at + 1e-9


@pytest.mark.parametrize(("operator", "value", "given_", "expected"), PROPERTY_TABLE)
def test_a_property_is_compared_as_posthogs_flags_do(operator: str, value: Any, given_: Any, expected: bool) -> None:
    raw = flag("f", {"properties": [person_is("plan", operator, value)]})
    assert decided(raw, properties={"plan": given_}).enabled is expected


@pytest.mark.parametrize(("operator", "value", "expected"), MISSING_TABLE)
def test_a_missing_property_fails_positive_operators_only(operator: str, value: Any, expected: bool) -> None:
    assert decided(flag("f", {"properties": [person_is("plan", operator, value)]})).enabled is expected


def test_the_reason_of_a_match_names_the_condition_set() -> None:
    raw = flag("f", {"properties": [person_is("plan", "exact", "pro")]}, {"rollout_percentage": 100})
    assert _reason(raw) == (True, "condition_match", 1, "Matched condition set 2")


def test_a_flag_without_condition_sets_matches_nobody() -> None:
    assert _reason(flag("f")) == (False, "no_condition_match", None, "No matching condition set")


NEVER: dict[str, Any] = {"properties": [person_is("plan", "exact", "pro")]}
"""A condition set that does not match."""
NOBODY: dict[str, Any] = {"rollout_percentage": 0}
"""One that matches and leaves everybody out."""


@pytest.mark.parametrize(
    ("sets", "code", "index"),
    [
        ([], "no_condition_match", None),
        ([NEVER], "no_condition_match", 0),
        ([NEVER, NEVER, NEVER], "no_condition_match", 2),
        ([NOBODY, NEVER], "out_of_rollout_bound", 0),
        ([NEVER, NOBODY, NEVER], "out_of_rollout_bound", 1),
        ([NOBODY, NEVER, NOBODY, NEVER], "out_of_rollout_bound", 2),
    ],
)
def test_the_reason_of_a_flag_that_is_off_names_the_set_that_posthog_names(
    sets: list[dict[str, Any]], code: str, index: int | None
) -> None:
    assert _reason(flag("f", *sets))[:3] == (False, code, index)


def test_an_inactive_flag_is_off_and_asks_no_cohort() -> None:
    raw = flag("f", {"properties": [in_cohort("buyers")]}, active=False)
    assert _reason(raw, members={BUYERS: True}) == (False, "flag_disabled", None, "Feature flag is disabled")
    assert compiled(raw, BUYERS).cohorts == ()


def test_who_matches_but_is_beyond_the_rollout_is_told_so() -> None:
    below, above = _share_around("f", "ada")
    assert _reason(flag("f", {"rollout_percentage": below})) == (
        False,
        "out_of_rollout_bound",
        0,
        "Out of rollout bound",
    )
    assert decided(flag("f", {"rollout_percentage": above})).enabled


def test_out_of_rollout_says_more_than_a_later_set_that_does_not_match() -> None:
    raw = flag("f", {"rollout_percentage": 0}, {"properties": [person_is("plan", "exact", "pro")]})
    assert _reason(raw)[1:3] == ("out_of_rollout_bound", 0)


def test_a_sets_variant_overrides_the_hash() -> None:
    raw = flag("f", {"variant": "test"}, multivariate=variants(control=100, test=0))
    assert decided(raw).variant == "test"
    assert decided(flag("f", {}, multivariate=variants(control=100, test=0))).variant == "control"


def test_the_payload_is_the_variants_or_that_of_true() -> None:
    raw = flag("f", {"variant": "test"}, multivariate=variants(control=50, test=50), payloads={"test": {"a": 1}})
    assert decided(raw).metadata.payload == '{"a":1}'
    assert decided(flag("f", {}, payloads={"true": "[1]"})).metadata.payload == "[1]"
    assert decided(flag("f", payloads={"true": "[1]"})).metadata.payload is None


def test_id_version_and_description_come_back() -> None:
    metadata = decided(flag("f", {}, id=7, version=3, name="A flag")).metadata
    assert (metadata.id, metadata.version, metadata.description) == (7, 3, "A flag")


@pytest.mark.parametrize(
    ("operator", "member", "expected"),
    [("in", True, True), ("in", False, False), ("not_in", True, False), ("not_in", False, True)],
)
def test_membership_decides_by_id_and_by_key(operator: str, member: bool, expected: bool) -> None:
    for name in (1, "buyers"):
        raw = flag("f", {"properties": [in_cohort(name, operator)]})
        assert decided(raw, members={BUYERS: member}).enabled is expected


@pytest.mark.parametrize("operator", ["in", "not_in"])
def test_an_unknown_cohort_is_answered_by_the_policy_whatever_the_operator(operator: str) -> None:
    raw = flag("f", {"properties": [in_cohort("buyers", operator)]})
    said = "Answered by on_unavailable (last_known, and nothing is known): buyers is away"
    assert _reason(raw, members={BUYERS: None}) == (False, "cohort_unavailable", 0, said)
    for policy, answered, words in (
        ("fail_closed", False, "fail_closed"),
        ("fail_open", True, "fail_open"),
        ({"value": True}, True, "the value True"),
        ({"value": False}, False, "the value False"),
    ):
        said = f"Answered by on_unavailable ({words}): buyers is away"
        written = raw | {"muster": {"on_unavailable": policy}}
        assert _reason(written, members={BUYERS: None}) == (answered, "cohort_unavailable", 0, said)


def test_fail_open_gives_a_multivariate_flags_variant_by_the_hash_with_its_payload() -> None:
    asking = {"properties": [in_cohort("buyers")], "variant": "b"}
    shares, payloads = variants(a=50, b=50), {"a": '"first"', "b": '"second"'}
    raw = flag("f", asking, multivariate=shares, payloads=payloads, muster={"on_unavailable": "fail_open"})
    for who in ("ada", "grace", "ivy", "joan", "mary"):
        answer, by_hash = (
            decided(each, who, members={BUYERS: None}) for each in (raw, flag("f", {}, multivariate=shares))
        )
        assert (answer.enabled, answer.variant) == (True, by_hash.variant)
        assert answer.metadata.payload == payloads[answer.variant or ""]


def test_a_policy_may_answer_with_a_variant_and_its_payload() -> None:
    raw = flag(
        "f",
        {"properties": [in_cohort("buyers")]},
        multivariate=variants(control=50, test=50),
        payloads={"control": "1"},
        muster={"on_unavailable": {"value": "control"}},
    )
    answer = decided(raw, members={BUYERS: None})
    assert (answer.enabled, answer.variant, answer.metadata.payload) == (True, "control", "1")


def test_an_unknown_cohort_does_not_matter_where_another_test_fails() -> None:
    by_property = flag("f", {"properties": [in_cohort("buyers"), person_is("plan", "exact", "pro")]})
    assert _reason(by_property, members={BUYERS: None})[1] == "no_condition_match"
    by_cohort = flag("f", {"properties": [in_cohort("buyers"), in_cohort("sleepers")]})
    assert _reason(by_cohort, members={BUYERS: None, SLEEPERS: False})[1] == "no_condition_match"


def test_an_unknown_cohort_does_not_matter_beyond_the_rollout() -> None:
    raw = flag("f", {"properties": [in_cohort("buyers")], "rollout_percentage": 0})
    assert _reason(raw, members={BUYERS: None})[1] == "out_of_rollout_bound"


def test_a_later_set_answers_where_it_gives_the_same_value() -> None:
    raw = flag("f", {"properties": [in_cohort("buyers")]}, {"rollout_percentage": 100})
    assert _reason(raw, members={BUYERS: None}) == (True, "condition_match", 1, "Matched condition set 2")


def test_a_later_set_with_another_variant_cannot_answer_for_an_unknown_one() -> None:
    raw = flag(
        "f", {"properties": [in_cohort("buyers")], "variant": "a"}, {"variant": "b"}, multivariate=variants(a=50, b=50)
    )
    assert _reason(raw, members={BUYERS: None})[:3] == (False, "cohort_unavailable", 0)


def test_an_override_that_agrees_with_the_hash_is_the_same_value() -> None:
    raw = flag("f", {"properties": [in_cohort("buyers")], "variant": "a"}, {}, multivariate=variants(a=100, b=0))
    assert (decided(raw, members={BUYERS: None}).variant, decided(raw, members={BUYERS: None}).enabled) == ("a", True)


def test_a_cohort_that_nobody_defined_is_a_missing_dependency() -> None:
    enabled, code, index, said = _reason(flag("f", {"properties": [in_cohort("ghosts", "not_in")]}))
    assert (enabled, code, index) == (False, "missing_dependency", 0)
    assert "cohort ghosts is not defined" in said


PROPERTIES = st.fixed_dictionaries(
    {"plan": st.sampled_from(["free", "Pro", "team"]), "age": st.integers(0, 9), "mail": st.text("ab@.", max_size=4)}
)
FILTERS = st.one_of(
    st.builds(
        person_is, st.just("plan"), st.sampled_from(["exact", "is_not"]), st.sampled_from(["PRO", ["free", "x"]])
    ),
    st.builds(person_is, st.just("mail"), st.sampled_from(["icontains", "not_icontains"]), st.text("ab@.", min_size=1)),
    st.builds(person_is, st.just("age"), st.sampled_from(["gt", "gte", "lt", "lte"]), st.integers(0, 9)),
    st.builds(person_is, st.sampled_from(["plan", "age"]), st.just("is_set"), st.just("is_set")),
)
GROUPS = st.fixed_dictionaries(
    {"properties": st.lists(FILTERS, max_size=3), "rollout_percentage": st.none() | st.integers(0, 100)},
    optional={"variant": st.sampled_from(["control", "test"])},
)


@aside()
@given(
    key=st.text("fg-1", min_size=1, max_size=6),
    who=st.text(min_size=1, max_size=9),
    properties=PROPERTIES,
    data=st.data(),
)
def test_flags_without_cohorts_answer_as_posthogs_sdk_does(
    key: str, who: str, properties: dict[str, Any], data: st.DataObject
) -> None:
    share = data.draw(st.integers(0, 100))
    raw = flag(key, *data.draw(st.lists(GROUPS, max_size=4)), multivariate=variants(control=share, test=100 - share))
    expected = match_feature_flag_properties(raw, who, properties, bucketing_value=who)
    answer = decided(raw, who, properties)
    assert (answer.variant or answer.enabled) == expected
