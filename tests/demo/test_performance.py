"""The demo's own parts: what it plays, what it shows, and when it fails."""

import json
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from cohort_store.changes import Change
from cohort_store.durations import format_instant
from cohort_store.settings import Settings
from processors.backfill.ports import FillingStatus
from processors.demo.__main__ import _judge
from processors.demo.display import Drawn, Lines, bar_of, final_tables, picture
from processors.demo.history import HISTORY_TOPIC, history_rows
from processors.demo.log import COHORTS, EVENTS, EventLog, load_log, moved_definitions
from processors.demo.scenario import (
    EDITED_COHORT,
    EDITED_WITHIN,
    HERO,
    INSTANTS,
    Act,
    Chapter,
    begins_ms,
    edited,
    first_ms,
    history_of,
    moments,
)
from processors.demo.scene import Compared, Comparison, Scene

END_MS = 1_795_000_000_000
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
ANN, BOB = frozenset({"ann"}), frozenset({"bob"})


@pytest.fixture(scope="module")
def log() -> EventLog:
    return load_log(EVENTS, END_MS)


def shown(*renderables: object, width: int = 100) -> str:
    console = Console(file=StringIO(), width=width)
    for each in renderables:
        console.print(each)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def console() -> Console:
    return Console(file=StringIO(), width=100)


def test_five_months_of_the_log_are_history_and_the_sixth_is_live(log: EventLog) -> None:
    as_shipped = log.events[history_of(log) - 1].time_ms - log.shift_ms, log.events[history_of(log)].time_ms
    assert format_instant(as_shipped[0]).startswith("2024-05-31")
    assert begins_ms(log) < first_ms(log) < as_shipped[1], "nothing happens before the first comparison"
    assert min(moment.at_ms for moment in moments(log)) > first_ms(log)


def test_the_scenario_compares_at_24_instants_spread_over_the_sixth_month(log: EventLog) -> None:
    compared = [moment.at_ms for moment in moments(log) if moment.act is Act.COMPARE]
    assert len(compared) == INSTANTS == 24
    assert compared[-1] == log.last_ms
    gaps = [after - before for before, after in zip([first_ms(log), *compared], compared, strict=False)]
    assert max(gaps) < 2 * (log.last_ms - first_ms(log)) / INSTANTS


def test_time_never_goes_back_in_the_scenario(log: EventLog) -> None:
    times = [moment.at_ms for moment in moments(log)]
    assert times == sorted(times)


def test_every_instant_of_comparison_is_the_very_time_of_an_event(log: EventLog) -> None:
    times = {event.time_ms for event in log.events}
    assert all(instant in times for instant in log.instants(INSTANTS, first_ms(log)))


def test_the_heros_flag_turns_by_an_event_and_back_by_time_alone(log: EventLog) -> None:
    at = {moment.act: moment.at_ms for moment in moments(log)}
    hers = [(event.time_ms, json.loads(event.raw)["event"]) for event in log.events if event.person == HERO]
    errors = [time_ms for time_ms, name in hers if name == "payment_error" and time_ms <= at[Act.FLAG_OFF]]
    assert at[Act.FLAG_BEFORE] < errors[-1] <= at[Act.FLAG_ON]
    assert at[Act.FLAG_OFF] == errors[-2] + DAY_MS
    assert at[Act.FLAG_STILL_ON] == at[Act.FLAG_OFF] - 1
    assert max(time_ms for time_ms, _ in hers if time_ms <= at[Act.FLAG_OFF]) < at[Act.FLAG_OFF] - 23 * HOUR_MS
    assert errors[-2] > first_ms(log), "both of them are live"
    assert not any(
        name == "purchase" and time_ms > errors[-2] - DAY_MS for time_ms, name in hers if time_ms <= at[Act.FLAG_OFF]
    )


def test_the_final_tables_show_both_sizes_of_every_cohort_at_every_instant() -> None:
    comparisons = [
        Comparison(END_MS, {"buyers": Compared(ANN, ANN), "all-the-others": Compared(ANN | BOB, ANN | BOB)}),
        Comparison(
            END_MS + DAY_MS, {"buyers": Compared(frozenset(), frozenset()), "all-the-others": Compared(BOB, BOB)}
        ),
    ]
    text = shown(*final_tables(comparisons), width=80)
    for cell in ("buyers", "all-", "1 = 1", "2 = 2", "0 = 0", "2026-11-18", "2026-11-19"):
        assert cell in text


def test_sets_of_one_size_that_differ_are_shown_as_different() -> None:
    text = shown(*final_tables([Comparison(END_MS, {"buyers": Compared(ANN, BOB)})]))
    assert "1 ≠ 1" in text


def test_the_demo_fails_where_a_single_set_differs() -> None:
    equal = Comparison(END_MS, {"buyers": Compared(ANN, ANN)})
    assert _judge(console(), [equal, equal], 1.0) == 0
    assert _judge(console(), [equal, Comparison(END_MS, {"buyers": Compared(ANN, BOB)})], 1.0) == 1


@pytest.mark.parametrize("chapter", list(Chapter))
def test_the_demo_fails_where_sets_differ_in_any_chapter_and_says_in_which(chapter: Chapter) -> None:
    comparisons = [Comparison(END_MS, {"buyers": Compared(ANN, ANN)}, each) for each in Chapter]
    comparisons.append(Comparison(END_MS, {"buyers": Compared(ANN, BOB)}, chapter))
    where = console()
    assert _judge(where, comparisons, 1.0) == 1
    assert isinstance(where.file, StringIO)
    said = [" ".join(line.split()) for line in where.file.getvalue().splitlines()]
    for each in Chapter:
        assert f"{each} {'1 of 2' if each is chapter else '1 of 1'} sets equal" in said


def test_the_demo_fails_where_a_cohort_was_never_anything_but_empty_while_events_came() -> None:
    empty = Comparison(END_MS, {"buyers": Compared(frozenset(), frozenset())})
    assert _judge(console(), [empty], 1.0) == 1
    before = Comparison(END_MS, {"buyers": Compared(ANN, ANN)}, Chapter.HISTORY)
    assert _judge(console(), [before, empty], 1.0) == 1


def test_the_tables_name_the_chapter_where_it_is_not_the_live_one() -> None:
    cohorts = {"buyers": Compared(ANN, ANN)}
    text = shown(*final_tables([Comparison(END_MS, cohorts, each) for each in Chapter]), width=80)
    assert [line.split()[0] for line in text.splitlines() if "=" in line] == ["history", "2026-11-18", "edit", "after"]


def test_the_edit_widens_one_cohorts_window_and_changes_nothing_else() -> None:
    before = moved_definitions(COHORTS, 0)
    after = edited(before)
    changed = [(old, new) for old, new in zip(before["cohorts"], after["cohorts"], strict=True) if old != new]
    ((old, new),) = changed
    assert old["key"] == new["key"] == EDITED_COHORT
    assert {**old["when"], "within": EDITED_WITHIN} == new["when"] != old["when"]


def test_every_event_of_the_history_has_a_row_at_a_place_that_no_source_has(log: EventLog) -> None:
    rows: list[dict[str, Any]] = [json.loads(row) for row in history_rows(log.events[:2_000])]
    assert len({(row["_topic"], row["_partition"], row["_offset"]) for row in rows}) == len(rows) == 2_000
    assert {row["_topic"] for row in rows} == {HISTORY_TOPIC}
    assert HISTORY_TOPIC not in Settings().sources
    first = json.loads(log.events[0].raw)
    assert (rows[0]["uuid"], rows[0]["person_id"], rows[0]["event"]) == (
        first["uuid"],
        first["person_id"],
        first["event"],
    )
    assert rows[0]["timestamp"] == rows[0]["_timestamp"] == f"{log.first_ms / 1_000:.3f}"


def test_the_bar_grows_with_the_parts_and_ends_full() -> None:
    parts = [FillingStatus(1, (1, 2), team=1, part=part, parts=4, persons=9 * part) for part in (0, 1, 4)]
    assert [bar_of(each).split()[0].count("█") for each in parts] == [0, 5, 20]
    assert bar_of(parts[1]).endswith("  Filling in the history of 2 versions: team 1, 1 of 4 parts, 9 persons so far.")
    waiting = bar_of(FillingStatus(1, (1,), waits_for="the archive"))
    assert "█" not in waiting
    assert waiting.endswith("waiting for the archive.")


def test_without_a_terminal_each_state_of_a_filling_in_is_told_once() -> None:
    where = console()
    lines = Lines(where)
    for sentence in ("one", "one", "two", "", "", "one"):
        lines.filling(sentence)
    assert isinstance(where.file, StringIO)
    assert where.file.getvalue().split() == ["one", "two", "one"]


def test_the_picture_shows_clock_sizes_changes_and_the_story() -> None:
    scene = Scene(100, frozenset({"rarely"}), clock_ms=END_MS, sent=50)
    scene.add_sizes({"buyers": 3, "rarely": 4})
    scene.add_sizes({"buyers": 5, "rarely": 2})
    scene.changes.append(Change("ann", 1, 1, "entered", "2026-11-18 00:00:00.000000", "buyers", 1, "event", 0, 1))
    scene.story.append("ON, 12 ms after")
    text = shown(picture(scene))
    for words in ("2026-11-18", "50 of 100 events", "buyers", "all but 2", "ann", "entered buyers", "ON, 12 ms after"):
        assert words in text


def test_without_a_terminal_every_comparison_is_one_plain_line() -> None:
    where = console()
    lines = Lines(where)
    lines.compared(Comparison(END_MS, {"buyers": Compared(ANN, ANN), "none": Compared(frozenset(), frozenset())}))
    lines.compared(Comparison(END_MS, {"buyers": Compared(ANN, BOB)}))
    assert isinstance(where.file, StringIO)
    first, second = where.file.getvalue().splitlines()
    assert first.endswith("equal: buyers 1")
    assert "DIFFERENT" in second


def test_in_a_terminal_the_bar_stands_under_the_picture_while_there_is_one() -> None:
    scene = Scene(100, clock_ms=END_MS, sent=50)
    terminal = Console(file=StringIO(), force_terminal=True, width=100)
    with Drawn(terminal) as drawn:
        drawn.update(scene)
        drawn.filling("one of two parts")
    assert isinstance(terminal.file, StringIO)
    text = terminal.file.getvalue()
    assert 0 < text.index("50 of 100 events") < text.index("one of two parts")
