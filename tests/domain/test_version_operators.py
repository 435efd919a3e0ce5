"""Semantic versions: what is one, which comes first, and which lie in a range."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cohort_store.properties import PropertyTest, compile_test
from cohort_store.semantic_versions import version_of
from tests.oracle import operators as oracle

# The examples of semver.org, 11, and more of each kind, in ascending order.
ASCENDING = [
    "0.0.0-0",
    "0.0.0",
    "0.9.0",
    "0.10.0",
    "1.0.0-0",
    "1.0.0-1",
    "1.0.0-2",
    "1.0.0-10",
    "1.0.0--",
    "1.0.0-0a",
    "1.0.0-10a",
    "1.0.0-Alpha",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.1.0",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.1",
    "1.1.0",
    "1.10.0",
    "2.0.0",
    "10.0.0",
    "999999999999999999.0.0",
]
NO_VERSIONS = [
    "",
    "1",
    "1.2",
    "1.2.3.4",
    "v1.2.3",
    " 1.2.3",
    "1.2.3\n",
    "01.2.3",
    "1.02.3",
    "1.2.3-",
    "1.2.3-01",
    "1.2.3-a..b",
    "1.2.3+",
    "1.2.3+a+b",
    "1.2.3-ä",
    "-1.2.3",
    "a.b.c",
    "1.2.x",
    "1.2.*",
    "\u0661.2.3",
    "1000000000000000000.0.0",
    "1.0.0-" + "a" * 251,
    1.2,
    123,
    True,
    ["1.2.3"],
    {},
]


def passes(op: str, value: str, present: Any) -> bool:
    """By product and oracle alike."""
    plain = {"property": "p", "op": f"semver_{op}", "value": value}
    found = compile_test(PropertyTest.model_validate(plain))({"p": present})
    assert oracle.passes(plain, {"p": present}) is found, (plain, present)
    return found


@pytest.mark.parametrize(("lower", "higher"), list(pairwise(ASCENDING)))
def test_versions_are_in_the_order_of_semver_org(lower: str, higher: str) -> None:
    for op, below, at, above in [
        ("lt", True, False, False),
        ("lte", True, True, False),
        ("eq", False, True, False),
        ("neq", True, False, True),
        ("gte", False, True, True),
        ("gt", False, False, True),
    ]:
        assert passes(op, higher, lower) is below
        assert passes(op, lower, lower) is at
        assert passes(op, lower, higher) is above


@pytest.mark.parametrize("op", ["eq", "neq", "gt", "gte", "lt", "lte", "tilde", "caret"])
@pytest.mark.parametrize("present", NO_VERSIONS)
def test_what_is_no_version_passes_no_operator(op: str, present: Any) -> None:
    assert passes(op, "1.2.3", present) is False
    assert passes("wildcard", "*", present) is False


def test_build_metadata_counts_for_nothing() -> None:
    assert passes("eq", "1.0.0+linux", "1.0.0+mac.1")
    assert passes("eq", "1.0.0-rc.1", "1.0.0-rc.1+001")
    assert not passes("gt", "1.0.0", "1.0.0+z")


@pytest.mark.parametrize(
    ("op", "value", "below", "lowest", "highest", "above"),
    [
        ("tilde", "1.2.3", "1.2.2", "1.2.3", "1.2.999", "1.3.0"),
        ("tilde", "0.0.0", "0.0.0-rc", "0.0.0", "0.0.9", "0.1.0"),
        ("tilde", "1.2.3-beta", "1.2.3-alpha", "1.2.3-beta", "1.2.4-alpha", "1.3.0-alpha"),
        ("caret", "1.2.3", "1.2.2", "1.2.3", "1.99.0", "2.0.0"),
        ("caret", "1.2.3", "1.2.3-rc.1", "1.2.3+build", "1.99.0-rc.1", "2.0.0-rc.1"),
        ("caret", "0.2.3", "0.2.2", "0.2.3", "0.2.9", "0.3.0"),
        ("caret", "0.0.3", "0.0.2", "0.0.3", "0.0.3+b", "0.0.4"),
        ("caret", "0.0.0", "0.0.0-rc", "0.0.0", "0.0.0+b", "0.0.1-rc"),
        ("wildcard", "1.2.*", "1.2.0-rc.1", "1.2.0", "1.2.99", "1.3.0-rc.1"),
        ("wildcard", "1.*", "0.99.0", "1.0.0", "1.99.99", "2.0.0"),
        ("wildcard", "1.*.*", "1.0.0-rc", "1.0.0", "1.99.99", "2.0.0-rc"),
        ("wildcard", "*", "0.0.0-rc", "0.0.0", "5.0.0-rc", "no version"),
    ],
)
def test_a_range_has_its_lower_end_in_and_its_upper_end_with_all_its_prereleases_out(
    op: str, value: str, below: str, lowest: str, highest: str, above: str
) -> None:
    assert [passes(op, value, each) for each in (below, lowest, highest, above)] == [False, True, True, False]


numbers = st.integers(0, 12).map(str) | st.sampled_from(["0", "00", "01", "999999999999999999", "1000000000000000000"])
words = st.text(alphabet="0129aZ-", max_size=3) | numbers


def written(core: list[str], prerelease: list[str], build: list[str]) -> str:
    ends = (f"{sign}{'.'.join(words)}" for sign, words in (("-", prerelease), ("+", build)) if words)
    return "".join((".".join(core), *ends))


version_like = st.builds(
    written,
    st.lists(numbers, min_size=3, max_size=3) | st.lists(numbers, max_size=4),
    st.lists(words, max_size=3),
    st.lists(words, max_size=2),
)
sound_numbers = st.integers(0, 12).map(str) | st.just("999999999999999999")
sound_words = st.text(alphabet="0129aZ-", min_size=1, max_size=3)
versions = st.builds(
    written,
    st.lists(sound_numbers, min_size=3, max_size=3),
    st.lists(sound_words.filter(lambda word: not (word.isdigit() and word[0] == "0")) | sound_numbers, max_size=3),
    st.lists(sound_words, max_size=2),
)


@given(version_like)
def test_a_text_is_a_version_exactly_when_the_oracle_says_so(text: str) -> None:
    assert (version_of(text) is None) is (oracle.version(text) is None)


@given(versions, versions)
def test_any_two_versions_compare_and_range_as_the_oracle_has_them(one: str, other: str) -> None:
    for op in ("eq", "neq", "gt", "gte", "lt", "lte", "tilde", "caret"):
        passes(op, one, other)


@pytest.mark.parametrize(
    ("op", "value", "told"),
    [
        ("semver_gt", "1.2", "'1.2.0'"),
        ("semver_gt", 1.2, "in quotes"),
        ("semver_tilde", "v1.2.3", "no semantic version"),
        ("semver_caret", ["1.2.3"], "no semantic version"),
        ("semver_wildcard", "1.2.3", "'1.2.*'"),
        ("semver_wildcard", "1.*.3", "'1.2.*'"),
        ("semver_wildcard", "1.2.3.*", "'1.2.*'"),
    ],
)
def test_a_value_that_is_no_version_is_refused_with_one_that_is(op: str, value: Any, told: str) -> None:
    with pytest.raises(ValidationError) as refused:
        PropertyTest.model_validate({"property": "p", "op": op, "value": value})
    assert told in str(refused.value)
