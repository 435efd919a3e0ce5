"""PostHog's own SDK, deciding locally, and Muster agree about the same flag and person; where not, it is said why.

The SDK asks the server for whatever it cannot decide by itself (a property that it was not given, a value that it
cannot read): of those nothing is compared. It compares texts as the definitions that it loads tell it to, which is by
`property_matching_version` 2 for Muster's.
"""

from collections.abc import Mapping
from random import Random
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from posthog.feature_flags import (
    InconclusiveMatchError,
    _holdout_hash,
    match_feature_flag_properties,
    match_property,
)

from evaluator.deciding.bucketing import holdout_bucket
from evaluator.deciding.condition_sets import Group
from tests.evaluator.building import decided, flag, person_is, variants
from tests.examples import aside

VECTORS = 2_000
MATCHING_VERSION = 2

WORDS = st.sampled_from(
    ["pro", "Pro", "free", "é", "É", "straße", "STRASSE", "ǅ", "", "7", "7.5", "-0", "true", "日本"]
)
WHOLE = st.integers(-10, 10) | st.sampled_from([2**53 + 1, 1 - 2**63, 10**17])
BROKEN = st.sampled_from([0.5, -7.25, 1.1])
VERSIONS = st.sampled_from(["1.2.3", "1.10.0", "v1.2", "2", "0.2.3", "0.0.3", "1.2.3+build", "x", "99999.0.1"])
DATES = st.sampled_from(["2026-01-12", "2026-01-12T10:00:00Z", "2026-01-12 10:00:00+01:00", "2024-02-29", "lately"])
PATTERNS = st.sampled_from(["^p.o$", "[0-9]+", "pro|free", "é", "(a|b)*c", "", "r{1,2}"])
PRESENT = st.one_of(WORDS, WHOLE, BROKEN, st.booleans(), VERSIONS, DATES, st.lists(WORDS, max_size=2))
APP = VERSIONS | WORDS | BROKEN
"""What may stand in the property that is asked for its version."""


def _filter(operators: list[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    name = "app" if operators[0].startswith("semver") else "p"
    return st.builds(person_is, st.just(name), st.sampled_from(operators), values)


FILTERS = st.one_of(
    _filter(["exact", "is_not"], WORDS | WHOLE | BROKEN | st.booleans() | st.lists(WORDS, min_size=1, max_size=3)),
    _filter(["icontains", "not_icontains", "starts_with", "not_starts_with", "ends_with", "not_ends_with"], WORDS),
    _filter(["regex", "not_regex"], PATTERNS),
    _filter(["gt", "gte", "lt", "lte"], st.integers(-10, 10) | BROKEN | st.sampled_from(["7", "-1e3", str(10**30)])),
    _filter(["is_date_before", "is_date_after"], DATES.filter(lambda text: text != "lately")),
    _filter(
        ["semver_eq", "semver_neq", "semver_gt", "semver_gte", "semver_lt", "semver_lte"],
        st.sampled_from(["1.2.3", "1.2", "v2", "0.0.3"]),
    ),
    _filter(["semver_tilde", "semver_caret"], st.sampled_from(["1.2.3", "0.2.3", "0.0.3", "1.2"])),
    _filter(["semver_wildcard"], st.sampled_from(["1.*", "1.2.*", "0.*"])),
    _filter(["is_set", "is_not_set"], st.just("is_set")),
)


def _theirs(filter_: Mapping[str, Any], present: Any) -> bool | None:
    """What the SDK says of one filter; None where it would ask the server."""
    try:
        return bool(match_property(dict(filter_), {filter_["key"]: present}, MATCHING_VERSION))
    except InconclusiveMatchError:
        return None


def _ours(filter_: Mapping[str, Any], present: Any) -> bool:
    return decided(flag("f", {"properties": [filter_]}), properties={filter_["key"]: present}).enabled


@aside()
@given(filter_=FILTERS, data=st.data())
def test_one_property_is_judged_alike(filter_: dict[str, Any], data: st.DataObject) -> None:
    present = data.draw(APP if filter_["key"] == "app" else PRESENT)
    theirs = _theirs(filter_, present)
    assume(theirs is not None)
    assert _ours(filter_, present) is theirs


def _sdks_value(raw: dict[str, Any], who: str, properties: dict[str, Any], **how: Any) -> bool | str | None:
    """What the SDK says of a flag; None where it cannot judge one of the sets, even if it answers by a later one."""
    how["property_matching_version"] = MATCHING_VERSION
    alone = [{**raw, "filters": {**raw["filters"], "groups": [each]}} for each in raw["filters"]["groups"]]
    try:
        for each in alone:
            match_feature_flag_properties(each, who, properties, **how)
        value: bool | str = match_feature_flag_properties(raw, who, properties, **how)
    except InconclusiveMatchError:
        return None
    return value


DIFFERENCES = [
    ("null is as good as missing", person_is("p", "is_set", "is_set"), None, True, False),
    ("null is as good as missing", person_is("p", "exact", "null"), None, True, False),
    ("a whole number has one text, whatever wrote it", person_is("p", "exact", 5), 5.0, False, True),
    (
        "the keys of an object stay in their order",
        person_is("p", "exact", '{"a":1,"b":2}'),
        {"b": 2, "a": 1},
        True,
        False,
    ),
    ("a list in a filter means any of", person_is("p", "icontains", ["ro", "x"]), "pro", False, True),
    (
        "what is no version compares with none",
        person_is("p", "semver_gt", "1.0.0"),
        "2026-01-12T10:00:00Z",
        True,
        False,
    ),
    ("a part of a version is never empty", person_is("p", "semver_eq", "1.0.2"), "1..2", True, False),
    (
        "a prerelease comes before its release, as for PostHog's server",
        person_is("p", "semver_lt", "1.0.0"),
        "1.0.0-b",
        False,
        True,
    ),
]


@pytest.mark.parametrize(("why", "filter_", "present", "theirs", "ours"), DIFFERENCES)
def test_what_is_judged_differently_is_known(
    why: str, filter_: dict[str, Any], present: Any, theirs: bool, ours: bool
) -> None:
    assert (_theirs(filter_, present), _ours(filter_, present)) == (theirs, ours), why


@pytest.mark.parametrize("present", [True, "TRUE", "yes", 0, "false"])
def test_the_older_way_to_compare_booleans_is_not_ours(present: Any) -> None:
    asked = person_is("p", "exact", False)
    assert match_property(asked, {"p": present}, 1) is (present not in (True, "TRUE"))
    assert _ours(asked, present) is (present == "false")


PERSON = st.fixed_dictionaries({"p": PRESENT, "app": APP})
SETS = st.fixed_dictionaries(
    {"properties": st.lists(FILTERS, max_size=3), "rollout_percentage": st.none() | st.integers(0, 100)},
    optional={"variant": st.sampled_from(["control", "test"])},
)


@aside()
@given(
    key=st.text("fg-1é", min_size=1, max_size=6),
    who=st.text("abc-é ", min_size=1, max_size=9),
    properties=PERSON,
    sets=st.lists(SETS, max_size=4),
    early_exit=st.booleans(),
    holdout=st.none() | st.fixed_dictionaries({"id": st.integers(0, 9), "exclusion_percentage": st.integers(0, 100)}),
    share=st.integers(0, 100),
    by_device=st.booleans(),
)
def test_whole_flags_are_decided_alike(
    key: str,
    who: str,
    properties: dict[str, Any],
    sets: list[dict[str, Any]],
    early_exit: bool,
    holdout: dict[str, Any] | None,
    share: int,
    by_device: bool,
) -> None:
    more = {"early_exit": early_exit, "holdout": holdout}
    raw = flag(key, *sets, multivariate=variants(control=share, test=100 - share), **more)
    raw |= {"bucketing_identifier": "device_id"} if by_device else {}
    bucketed = "phone" if by_device else who
    expected = _sdks_value(raw, who, properties, bucketing_value=bucketed)
    assume(expected is not None)
    answer = decided(raw, who, properties, device_id="phone")
    assert (answer.variant or answer.enabled) == expected


TYPES = {"0": "company", "1": "project"}
GROUP_SETS = st.fixed_dictionaries(
    {
        "properties": st.lists(FILTERS.map(lambda each: each | {"type": "group"}), max_size=2),
        "rollout_percentage": st.none() | st.integers(0, 100),
        "aggregation_group_type_index": st.sampled_from([0, 1]),
    }
)


@aside()
@given(
    sets=st.lists(GROUP_SETS | SETS, min_size=1, max_size=4),
    person=PERSON,
    company=st.none() | PERSON,
    share=st.integers(0, 100),
)
def test_flags_about_persons_and_groups_are_decided_alike(
    sets: list[dict[str, Any]], person: dict[str, Any], company: dict[str, Any] | None, share: int
) -> None:
    raw = flag("f", *sets, multivariate=variants(control=share, test=100 - share))
    groups = {} if company is None else {0: Group("acme", company)}
    told: dict[str, Any] = {} if company is None else {"company": company}
    expected = _sdks_value(
        raw,
        "ada",
        person,
        bucketing_value="ada",
        group_type_mapping=TYPES,
        groups=dict.fromkeys(told, "acme"),
        group_properties=told,
    )
    assume(expected is not None)
    answer = decided(raw, "ada", person, groups=groups)
    assert (answer.variant or answer.enabled) == expected


def test_two_thousand_persons_get_the_sdks_value_of_a_flag_with_rollout_variants_and_holdout(seed: int) -> None:
    random = Random(seed)
    for number in range(VECTORS):
        who = "".join(random.choices("abcXYZ019-_.:é✓ ", k=random.randint(1, 24)))
        raw = flag(
            f"flag-{number % 40}",
            {"rollout_percentage": random.randint(0, 100)},
            {"rollout_percentage": random.randint(0, 100), "variant": "b"},
            multivariate=variants(a=33.3, b=33.3, c=33.4),
            holdout={"id": 3, "exclusion_percentage": 10},
        )
        expected = match_feature_flag_properties(raw, who, {}, bucketing_value=who)
        answer = decided(raw, who)
        assert (answer.variant or answer.enabled) == expected


def test_two_thousand_ids_fall_where_the_sdk_puts_them_for_a_holdout(seed: int) -> None:
    random = Random(seed)
    ids = ["".join(random.choices("abcXYZ019-é✓ ", k=random.randint(1, 24))) for _ in range(VECTORS)]
    assert [holdout_bucket(each) for each in ids] == [_holdout_hash(each) for each in ids]
