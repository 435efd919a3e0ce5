"""PostHog's flag JSON: what is accepted with its books, and what is refused, with path, value and remedy."""

from typing import Any

import pytest

from cohort_store.errors import BadDefinition
from cohort_store.flags import FixedValue, parse_flag, payload_text, plain_flag
from tests.evaluator.building import flag, in_cohort, person_is, variants

AS_POSTHOG_SENDS_IT: dict[str, Any] = {
    "id": 17,
    "key": "new-checkout",
    "name": "The new checkout",
    "filters": {
        "groups": [
            {
                "variant": None,
                "properties": [
                    {"key": "id", "type": "cohort", "value": 98, "operator": "in", "cohort_name": "Buyers"},
                    {"key": "email", "type": "person", "value": "is_set", "operator": "is_set", "label": "Mail"},
                    {"key": "plan", "value": ["Pro"], "operator": "exact", "negation": False},
                ],
                "rollout_percentage": None,
                "sort_key": "b7",
                "description": None,
                "aggregation_group_type_index": None,
            }
        ],
        "payloads": {"test": {"limit": 3}},
        "multivariate": variants(control=50, test=50),
        "aggregation_group_type_index": None,
        "super_groups": None,
        "holdout_groups": None,
    },
    "deleted": False,
    "active": True,
    "version": 4,
    "created_at": "2024-01-05T10:00:00Z",
    "created_by": {"id": 3, "email": "ada@example.com"},
    "ensure_experience_continuity": False,
    "evaluation_runtime": "all",
    "tags": ["checkout"],
}


def test_a_flag_is_accepted_as_posthog_sends_it() -> None:
    parsed = parse_flag(AS_POSTHOG_SENDS_IT)
    assert (parsed.id, parsed.version, parsed.name, list(parsed.cohorts())) == (17, 4, "The new checkout", ["98"])


def test_the_canonical_form_means_the_same_and_has_no_books() -> None:
    plain = plain_flag(parse_flag(AS_POSTHOG_SENDS_IT))
    assert parse_flag(plain) == parse_flag(AS_POSTHOG_SENDS_IT)
    assert set(plain) == {"key", "id", "name", "version", "filters"}


def test_a_flag_with_nothing_but_a_key_is_a_flag() -> None:
    parsed = parse_flag({"key": "bare"})
    assert (parsed.active, parsed.team, parsed.muster.on_unavailable) == (True, 1, "last_known")


@pytest.mark.parametrize(("shares", "is_whole"), [(33.33, True), (33.3297, True), (33.329, False), (33.337, False)])
def test_three_equal_variants_may_be_written_with_two_decimals(shares: float, is_whole: bool) -> None:
    raw = flag("f", multivariate=variants(a=shares, b=shares, c=shares))
    if is_whole:
        assert len(parse_flag(raw).filters.variants) == 3
    else:
        with pytest.raises(BadDefinition, match="must add up to 100"):
            parse_flag(raw)


@pytest.mark.parametrize("value", [True, False, "test"])
def test_a_policy_may_be_a_value_of_the_flag(value: bool | str) -> None:
    parsed = parse_flag(
        flag("f", multivariate=variants(control=50, test=50), muster={"on_unavailable": {"value": value}})
    )
    assert parsed.muster.on_unavailable == FixedValue(value=value)


@pytest.mark.parametrize(
    ("value", "operator", "expected"), [("98", "in", "98"), ([98], "exact", "98"), ("buyers", None, "buyers")]
)
def test_a_cohort_is_named_by_id_or_by_key(value: Any, operator: str | None, expected: str) -> None:
    raw = {"type": "cohort", "key": "id", "value": value} | ({"operator": operator} if operator else {})
    assert list(parse_flag(flag("f", {"properties": [raw]})).cohorts()) == [expected]


OF_GROUP = person_is("seats", "gt", 10) | {"type": "group"}

REFUSED = [
    ({"key": ""}, "flags[0].key", "at least 1 character"),
    ({"key": "f", "active": "perhaps"}, "flags[0].active", "'perhaps'"),
    ({"key": "f", "deleted": True}, "flags[0]", "leave it out"),
    ({"key": "f", "ensure_experience_continuity": "yes"}, "flags[0].ensure_experience_continuity", "write true or"),
    ({"key": "f", "bucketing_identifier": "email"}, "flags[0].bucketing_identifier", "'email'"),
    ({"key": "f", "muster": {"on_unavailable": "guess"}}, "flags[0].muster.on_unavailable", "fail_closed"),
    ({"key": "f", "muster": {"on_unavailable": {"value": "blue"}}}, "flags[0]", "'blue'"),
    ({"key": "f", "muster": {"fallback": True}}, "flags[0].muster.fallback", "not known"),
    (flag("f", {"rollout_percentage": 100.1}), "flags[0].filters.groups[0].rollout_percentage", "100"),
    (flag("f", {"rollout_percentage": -1}), "flags[0].filters.groups[0].rollout_percentage", "-1"),
    *(
        (flag("f", {"rollout_percentage": value}), "flags[0].filters.groups[0].rollout_percentage", "write a number")
        for value in (True, "50", [50])
    ),
    (
        flag("f", multivariate={"variants": [{"key": "a", "rollout_percentage": True}]}),
        "flags[0].filters.multivariate.variants[0].rollout_percentage",
        "write a number, without quotes (got True)",
    ),
    *(({"key": "f", "active": value}, "flags[0].active", "write true or false") for value in ("no", 0, 1, None)),
    *(({"key": "f", "team_id": value}, "flags[0].team_id", "a whole number") for value in (True, "1", None)),
    *(({"key": "f", name: True}, f"flags[0].{name}", "a whole number") for name in ("id", "version")),
    ({"key": 1}, "flags[0].key", "write a text, in quotes (got 1)"),
    ({"key": "f", "name": 1}, "flags[0].name", "write a text"),
    (flag("f", {"variant": 1}), "flags[0].filters.groups[0].variant", "write a text"),
    *(
        (
            {"key": "f", "muster": {"on_unavailable": {"value": value}}},
            "flags[0].muster.on_unavailable",
            f"value {value} ",
        )
        for value in (1, 0, None)
    ),
    (flag("f", {"rollout": 10}), "flags[0].filters.groups[0].rollout", "not known"),
    (flag("f", {"variant": "blue"}), "flags[0].filters", "'blue'"),
    (
        flag("f", aggregation_group_type_index=5),
        "flags[0].filters.aggregation_group_type_index",
        "less than or equal to 4",
    ),
    (flag("f", {"aggregation_group_type_index": "0"}), "flags[0].filters.groups[0]", "'0' is no group type"),
    (flag("f", {"properties": [OF_GROUP]}), "flags[0].filters", "add group_type_index"),
    (flag("f", super_groups=[{"properties": [in_cohort(3)]}]), "flags[0].filters", "test properties of the person"),
    (flag("f", super_groups=[{}, {}]), "flags[0].filters.super_groups", "at most 1"),
    (flag("f", early_exit="yes"), "flags[0].filters.early_exit", "write true or false"),
    (flag("f", holdout={"id": 3, "exclusion_percentage": 101}), "flags[0].filters.holdout.exclusion_percentage", "101"),
    (flag("f", holdout_groups=[{"variant": "out"}]), "flags[0].filters", "'out'"),
    (flag("f", holdout_groups=[{"properties": [OF_GROUP]}]), "flags[0].filters", "write holdout"),
    (flag("f", multivariate=variants(a=50, b=49)), "flags[0].filters.multivariate.variants", "add up to 99"),
    (flag("f", payloads={"blue": "1"}), "flags[0].filters", "'blue'"),
    (flag("f", payloads={"true": "x" * 20_001}), "flags[0].filters.payloads", "20001 characters"),
]
REFUSED_FILTERS = [
    (person_is("plan", "equals", "pro"), "'equals'"),
    (person_is("age", "gt", "old"), "'old'"),
    (person_is("plan", "exact"), "needs a value"),
    (person_is("plan", "in", "pro"), "asks a cohort"),
    (person_is("plan", "regex", "(?=x)"), "RE2"),
    (person_is("age", "between", [10, 5]), "exchange"),
    (person_is("seen", "is_date_after", "lately"), "'lately'"),
    (person_is("app", "semver_gt", "newest"), "'newest'"),
    (in_cohort("buyers", "gt"), "'gt'"),
    (in_cohort(0), "id or key"),
    (in_cohort("buyers") | {"negation": True}, "not_in"),
    (person_is("plan", "exact", "pro") | {"group_type_index": 0}, "belongs to the type group"),
    (OF_GROUP | {"group_type_index": 7}, "less than or equal to 4"),
    (person_is("other", "exact", True) | {"type": "flag"}, "use flag_evaluates_to"),
    (person_is("other", "flag_evaluates_to", 1) | {"type": "flag"}, "evaluates to true, false or a variant"),
    (person_is("plan", "exact", "pro") | {"type": "person_metadata"}, "'group'"),
]


@pytest.mark.parametrize(("raw", "path", "said"), REFUSED)
def test_what_is_wrong_is_refused_with_path_and_value(raw: dict[str, Any], path: str, said: str) -> None:
    with pytest.raises(BadDefinition) as refused:
        parse_flag(raw, "flags[0]")
    assert refused.value.path == path
    assert said in refused.value.problem


@pytest.mark.parametrize(("raw", "said"), REFUSED_FILTERS)
def test_a_filter_that_would_change_the_answer_is_refused(raw: dict[str, Any], said: str) -> None:
    with pytest.raises(BadDefinition) as refused:
        parse_flag(flag("f", {"properties": [raw]}))
    assert refused.value.path.startswith("filters.groups[0].properties[0]")
    assert said in refused.value.problem


@pytest.mark.parametrize("raw", [None, [], "flag", 7])
def test_what_is_no_object_is_no_flag(raw: Any) -> None:
    with pytest.raises(BadDefinition):
        parse_flag(raw, "flags[3]")


def test_a_payload_is_text_that_holds_json_however_it_was_written() -> None:
    assert payload_text('{"percent": 5}') == '{"percent": 5}'
    assert payload_text({"percent": 5}) == '{"percent":5}'


def test_the_whole_flag_model_is_read_and_its_canonical_form_means_the_same() -> None:
    raw = flag(
        "f",
        {"properties": [OF_GROUP], "aggregation_group_type_index": 1, "rollout_percentage": 5},
        {"properties": [person_is("12", "flag_evaluates_to", True) | {"type": "flag", "dependency_chain": ["g"]}]},
        {"properties": [person_is("name", "icontains_multi", ["a", "b"])], "aggregation_group_type_index": None},
        aggregation_group_type_index=0,
        super_groups=[{"properties": [person_is("$feature_enrollment/f", "exact", ["true"])]}],
        holdout={"id": 3, "exclusion_percentage": 10},
        payloads={"holdout-3": "1"},
        early_exit=True,
    ) | {"ensure_experience_continuity": True, "bucketing_identifier": "device_id"}
    parsed = parse_flag(raw)
    assert parse_flag(plain_flag(parsed)) == parsed
    assert (list(parsed.flags()), parsed.group_types(), parsed.is_bucketed_by_device) == (["12"], {0, 1}, True)
    assert [each.aggregation(0) for each in parsed.filters.groups] == [1, 0, None]


def test_the_older_form_of_a_holdout_is_read_as_the_newer_one() -> None:
    older = flag("f", holdout_groups=[{"properties": [], "rollout_percentage": 10, "variant": "holdout-3"}])
    newer = flag("f", holdout={"id": 3, "exclusion_percentage": 10})
    assert parse_flag(older) == parse_flag(newer)
    both = flag("f", holdout={"id": 4, "exclusion_percentage": 1}, holdout_groups=[{"variant": "holdout-3"}])
    assert parse_flag(both).filters.variants == ()
    assert plain_flag(parse_flag(both))["filters"]["holdout"] == {"id": 4, "exclusion_percentage": 1}


@pytest.mark.parametrize("unused", [None, False, []])
def test_what_posthog_writes_for_a_feature_that_is_not_used_is_its_absence(unused: Any) -> None:
    raw = flag("f", super_groups=unused, holdout_groups=unused or None, feature_enrollment=unused, early_exit=unused)
    assert parse_flag(raw | {"ensure_experience_continuity": None, "bucketing_identifier": None}) == parse_flag(
        flag("f")
    )
