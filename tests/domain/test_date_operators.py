"""Date operators: what is a date, on which side of another it lies, and when that changes by time alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cohort_store.definitions import parse_cohort
from cohort_store.durations import format_instant, parse_instant_ms
from cohort_store.errors import BadDefinition, Crash
from cohort_store.properties import PropertyTest, compile_dated_test, compile_test
from cohort_store.property_dates import instant_of
from tests.examples import aside
from tests.oracle import operators as oracle

NOON = parse_instant_ms("2026-01-12T12:00:00Z")
DAY_MS = 86_400_000
OPERATORS = ("is_date_before", "is_date_exact", "is_date_after")


def verdicts(value: Any, present: Any, now: int = NOON) -> tuple[bool, bool, bool]:
    """Whether the property's date lies before, at and after the value, by product and oracle alike."""
    found = []
    for op in OPERATORS:
        plain = {"property": "p", "op": op, "value": value}
        holds = compile_dated_test(PropertyTest.model_validate(plain)).holds({"p": present}, now)
        assert oracle.passes(plain, {"p": present}, now) is holds, (plain, present)
        found.append(holds)
    before, at, after = found
    return before, at, after


BEFORE, AT, AFTER, NEVER = (True, False, False), (False, True, False), (False, False, True), (False, False, False)


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ("2026-01-12T11:59:59.999Z", BEFORE),
        ("2026-01-12T12:00:00.000Z", AT),
        ("2026-01-12T12:00:00.001Z", AFTER),
        ("2026-01-12T12:00:00", AT),
        ("2026-01-12 12:00", AT),
        ("2026-01-12T12:00Z", AT),
        ("2026-01-12T13:00:00+01:00", AT),
        ("2026-01-12T13:00:00+0100", AT),
        ("2026-01-12T04:30:00-07:30", AT),
        ("2026-01-12T13:00:00+01", AT),
        ("2026-01-12T12:00:00+01:00", BEFORE),
        ("2026-01-12T12:00:00.0009999", AT),
        ("2026-01-12T12:00:00.999999999", AFTER),
        ("2026-01-12", BEFORE),
        ("2026-01-13", AFTER),
        (1768219199, BEFORE),
        (1768219199.999, BEFORE),
        (1768219200, AT),
        ("1768219200", AT),
        (1768219200.0004, AT),
        (1768219200.001, AFTER),
        (0, BEFORE),
        (-1, BEFORE),
        ("0001-01-01", BEFORE),
        ("9999-12-31T23:59:59.999Z", AFTER),
    ],
)
def test_a_date_is_compared_as_an_instant_to_the_millisecond(present: Any, expected: tuple[bool, ...]) -> None:
    for limit in ("2026-01-12T12:00:00Z", "2026-01-12T13:00+01:00", 1768219200, "1768219200.0"):
        assert verdicts(limit, present) == expected


@pytest.mark.parametrize(
    "present",
    [
        None,
        "",
        "soon",
        "2026",
        "2026-1-12",
        "2026-02-30",
        "2026-02-29",
        "2026-00-12",
        "2026-13-12",
        "2026-01-00",
        "2026-01-32",
        "2026-01-12T",
        "2026-01-12T12",
        "2026-01-12T24:00:00",
        "2026-01-12T12:60",
        "2026-01-12T12:00:60",
        "2026-01-12T12:00.5",
        "2026-01-12T12:00:00.",
        "2026-01-12T12:00:00.1234567891",
        "2026-01-12T12:00:00,5",
        "2026-01-12T12:00:00 Z",
        "2026-01-12T12:00:00z",
        "2026-01-12t12:00:00",
        "2026-01-12T12:00:00+24:00",
        "2026-01-12T12:00:00+01:60",
        "2026-01-12Z",
        "2026-01-12  12:00",
        " 2026-01-12",
        "2026-01-12\n",
        "20260112T120000Z",
        "2026-W03-1",
        "2026-012",
        "12/01/2026",
        "0000-01-01",
        "10000-01-01",
        "-001-01-01",
        "\u0662\u0660\u0662\u0666-01-12",
        1768219200000,
        -62135596801,
        253402300800,
        10**30,
        True,
        [],
        ["2026-01-12"],
        {},
    ],
)
def test_what_is_no_date_lies_nowhere(present: Any) -> None:
    if present != "2026":  # a number is seconds since 1970, four digits of it too
        assert instant_of(present) is None
        assert verdicts("2026-01-12T12:00:00Z", present) == NEVER
    assert oracle.instant(present) == instant_of(present)


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ("2026-01-11T23:59:59.999Z", BEFORE),
        ("2026-01-12T00:00:00.000Z", AT),
        ("2026-01-12", AT),
        ("2026-01-12T00:00:00.001Z", AFTER),
        ("2026-01-12T23:59:59.999Z", AFTER),
    ],
)
def test_a_date_without_a_time_is_its_midnight_in_utc_and_no_whole_day(present: Any, expected: Any) -> None:
    assert verdicts("2026-01-12", present) == expected


@pytest.mark.parametrize(
    ("asked_at", "expected"), [(NOON - 1, AFTER), (NOON, AT), (NOON + 1, BEFORE), (NOON + 365 * DAY_MS, BEFORE)]
)
@pytest.mark.parametrize("value", ["-7d", "-1w", "-168h", "-6d24h"])
def test_a_relative_value_is_counted_back_from_the_instant_of_the_question(
    value: str, asked_at: int, expected: Any
) -> None:
    assert verdicts(value, format_instant(NOON - 7 * DAY_MS), asked_at) == expected


@pytest.mark.parametrize(("value", "back"), [("-1m", 60_000), ("-1mo", 30 * DAY_MS), ("-1y", 365 * DAY_MS)])
def test_m_is_a_minute_mo_thirty_days_and_y_365(value: str, back: int) -> None:
    assert verdicts(value, format_instant(NOON - back)) == AT


def test_a_date_yet_to_come_is_after_any_relative_value_until_its_time_has_come() -> None:
    test = compile_dated_test(PropertyTest(property="p", op="is_date_after", value="-7d"))
    coming = {"p": format_instant(NOON + DAY_MS)}
    assert test.holds(coming, NOON)
    assert test.next_change(coming, NOON) == NOON + 8 * DAY_MS


@pytest.mark.parametrize(("op", "turns"), [("is_date_before", [1]), ("is_date_exact", [0, 1]), ("is_date_after", [0])])
def test_the_next_change_is_the_very_instant_of_the_flip(op: str, turns: list[int]) -> None:
    test = compile_dated_test(PropertyTest(property="p", op=op, value="-7d"))
    then = {"p": format_instant(NOON - 7 * DAY_MS)}
    now, found = NOON - 10, []
    while (instant := test.next_change(then, now)) is not None:
        assert test.holds(then, instant - 1) is not test.holds(then, instant)
        found.append(instant - NOON)
        now = instant
    assert found == turns


dates = st.one_of(
    st.integers(-20, 20).map(lambda step: format_instant(NOON + step)),
    st.integers(-3, 3).map(lambda day: format_instant(NOON + day * DAY_MS)[:10]),
    st.sampled_from([None, "soon", True, NOON // 1000, "1768219200.004"]),
)


@given(st.sampled_from(OPERATORS), st.integers(0, 12), dates, st.integers(-30, 30))
def test_between_two_next_changes_the_verdict_stays(op: str, back: int, present: Any, start: int) -> None:
    plain = {"property": "p", "op": op, "value": f"-{back}ms"}
    test, properties = compile_dated_test(PropertyTest.model_validate(plain)), {"p": present}
    held = test.holds(properties, NOON + start)
    upcoming = test.next_change(properties, NOON + start)
    for now in range(NOON + start, NOON + 60):
        if now == upcoming:
            held = not held
            upcoming = test.next_change(properties, now)
        assert test.holds(properties, now) is held is oracle.passes(plain, properties, now)
    assert upcoming is None or upcoming >= NOON + 60


iso_like = st.from_regex(
    r"[0-2][0-9]{3}-[01][0-9]-[0-3][0-9]([T ][0-2][0-9]:[0-6][0-9](:[0-6][0-9](\.[0-9]{1,10})?)?"
    r"(Z|[+-][0-2][0-9](:?[0-6][0-9])?)?)?",
    fullmatch=True,
)


@given(iso_like | st.text(alphabet="0123456789-:.+TZ ", max_size=30))
def test_a_text_is_the_date_that_the_oracle_finds(text: str) -> None:
    assert instant_of(text) == oracle.instant(text)


@given(st.floats(-7e10, 3e11) | st.integers(-(10**11), 10**12))
def test_a_number_is_the_date_that_the_oracle_finds(value: float) -> None:
    assert instant_of(value) == oracle.instant(value)


@aside()
@given(st.datetimes())
def test_every_instant_reads_back_from_text_and_from_a_number_of_seconds(when: datetime) -> None:
    instant_ms = parse_instant_ms(when.isoformat())
    assert instant_of(when.isoformat()) == instant_ms
    # Up to the year 2242; seconds behind it, as floats, are further apart than a microsecond.
    if abs(instant_ms) < 2**33 * 1_000:
        assert instant_of(instant_ms / 1000) == instant_ms
    assert instant_of(when.replace(tzinfo=UTC).isoformat(timespec="milliseconds")) == instant_ms


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("tomorrow", "2026-01-12T10:30:00Z"),
        ("2026-02-30", "is no date"),
        ("7d", "(-7d)"),
        ("-7", "is a number"),
        ("-7 days", "like 7d"),
        ("--7d", "like 7d"),
        ("-201y", "200 years"),
        (True, "is no date"),
        (["2026-01-12"], "is no date"),
        (1768219200000, "seconds since 1970"),
    ],
)
def test_a_value_that_is_no_date_is_refused_with_the_forms_that_are(value: Any, told: str) -> None:
    if told == "is a number":
        assert verdicts(value, -7) == AT
        return
    with pytest.raises(ValidationError, match=r"value") as refused:
        PropertyTest.model_validate({"property": "p", "op": "is_date_after", "value": value})
    assert told in str(refused.value)


def test_a_relative_date_on_an_events_property_is_refused_with_a_way_out() -> None:
    where = [{"property": "due", "op": "is_date_after", "value": "-7d"}]
    for selection in ({"event": "e", "where": where}, {"any_of": [{"event": "e", "where": where}]}):
        with pytest.raises(BadDefinition, match=r"'-7d' on an event's property .* a property of the person") as refused:
            parse_cohort({"key": "c", "when": {"kind": "performed", "within": "1d", **selection}})
        assert refused.value.path.endswith("where[0]")


def test_a_test_that_needs_an_instant_is_not_compiled_without_one() -> None:
    test = PropertyTest(property="p", op="is_date_after", value="-7d")
    assert test.is_relative()
    with pytest.raises(Crash, match="needs an instant"):
        compile_test(test)


def test_values_that_mean_the_same_instant_have_one_canonical_form() -> None:
    forms = ["2026-01-12T12:00:00Z", "2026-01-12 13:00+01:00", 1768219200, "1768219200"]
    found = [PropertyTest.model_validate({"property": "p", "op": "is_date_after", "value": each}) for each in forms]
    assert {tuple(test.canonical()) for test in found} == {("p", "is_date_after", NOON)}
    relative = [PropertyTest(property="p", op="is_date_after", value=each) for each in ("-7d", "-1w")]
    assert {tuple(test.canonical()) for test in relative} == {("p", "is_date_after", f"-{7 * DAY_MS}ms")}
