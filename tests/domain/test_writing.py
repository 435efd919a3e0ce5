"""Durations, instants, uuids and subjects: how they are written, and what is read from them."""

from __future__ import annotations

from datetime import timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cohort_store.durations import format_duration, format_instant, parse_duration_ms, parse_instant_ms
from cohort_store.subjects import Subject
from cohort_store.timelines import at_or_before, first_after, union
from tests.examples import aside
from tests.oracle.membership import duration_ms, instant_ms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1ms", 1),
        ("1s", 1_000),
        ("1m", 60_000),
        ("1h", 3_600_000),
        ("1d", 86_400_000),
        ("1w", 7 * 86_400_000),
        ("1mo", 30 * 86_400_000),
        ("1y", 365 * 86_400_000),
        ("1w2d", 9 * 86_400_000),
        ("2h30m", 9_000_000),
        ("90m", 5_400_000),
        ("1mo1m1ms", 30 * 86_400_000 + 60_001),
        ("0d", 0),
        ("007d", 7 * 86_400_000),
    ],
)
def test_a_duration_is_a_sum_of_numbers_with_units(text: str, expected: int) -> None:
    assert parse_duration_ms(text) == duration_ms(text) == expected


@pytest.mark.parametrize(
    "text", ["", "7", "d", "7 d", "-7d", "7D", "1.5h", "7days", "d7", "\u0667d", "7d ", "1" * 41 + "d"]
)
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a duration; write a number and a unit \(ms, s, .*\), like 7d or 36h"):
        parse_duration_ms(text)


@aside()
@given(st.integers(0, 730 * 86_400_000))
def test_a_duration_written_out_reads_back_as_itself(duration: int) -> None:
    assert parse_duration_ms(format_duration(duration)) == duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01", 0),
        ("2026-01-12T12:00:00Z", 1_768_219_200_000),
        ("2026-01-12T12:00:00", 1_768_219_200_000),
        ("2026-01-12T13:00:00+01:00", 1_768_219_200_000),
        ("2026-01-12T12:00:00.001999Z", 1_768_219_200_001),
        ("1969-12-31T23:59:59.9995Z", -1),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000),
    ],
)
def test_an_instant_is_floored_to_the_millisecond_and_utc_where_it_names_no_zone(text: str, expected: int) -> None:
    assert parse_instant_ms(text) == instant_ms(text) == expected


def test_an_instant_without_a_zone_is_in_the_zone_that_is_given() -> None:
    zone = timezone(timedelta(hours=2))
    assert parse_instant_ms("2026-01-12T12:00:00", zone) == parse_instant_ms("2026-01-12T10:00:00Z")
    assert parse_instant_ms("2026-01-12T12:00:00Z", zone) == parse_instant_ms("2026-01-12T12:00:00Z")


@pytest.mark.parametrize("text", ["", "now", "2026-13-01", "2026-02-30", "12:00", "1768219200", "2026-01-12T25:00:00Z"])
def test_what_is_no_instant_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is not an instant; write ISO 8601, like 2026-01-12T12:00:00Z"):
        parse_instant_ms(text)


@aside()
@given(st.integers(-(2**41), 2**41))
def test_an_instant_written_out_reads_back_as_itself(instant: int) -> None:
    assert parse_instant_ms(format_instant(instant)) == instant


@aside()
@given(st.integers(1, 2**31 - 1), st.integers(0, 15), st.text(max_size=20))
def test_a_subject_written_out_reads_back_as_itself_colons_in_its_id_included(team: int, kind: int, name: str) -> None:
    assert Subject.parse(str(Subject(team, kind, name))) == Subject(team, kind, name)


entries = st.tuples(st.integers(0, 9), st.integers(0, 2**32 - 1))
timelines = st.lists(entries, max_size=20).map(lambda found: tuple(sorted(set(found))))


@aside()
@given(timelines, st.lists(entries, max_size=20))
def test_a_union_holds_every_entry_of_both_once_and_in_order(
    left: tuple[tuple[int, int], ...], right: list[tuple[int, int]]
) -> None:
    both = union(left, right)
    assert both == tuple(sorted({*left, *right}))
    assert union(both, right) is both
    assert union(both, left) is both


@aside()
@given(timelines, st.integers(-1, 10))
def test_a_timeline_is_cut_behind_the_last_entry_of_the_instant(
    timeline: tuple[tuple[int, int], ...], instant: int
) -> None:
    index = at_or_before(timeline, instant)
    assert all(entry[0] <= instant for entry in timeline[:index])
    assert all(entry[0] > instant for entry in timeline[index:])
    assert first_after(timeline, instant) == (timeline[index][0] if index < len(timeline) else None)
