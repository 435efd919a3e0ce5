"""The demo's own parts: what it plays, what it shows, and when it fails."""

import json
from io import StringIO

import pytest
from rich.console import Console

from cohort_store.changes import Change
from processors.demo.__main__ import _judge
from processors.demo.display import Lines, final_tables, picture
from processors.demo.log import EVENTS, EventLog, load_log
from processors.demo.scenario import HERO, INSTANTS, Act, moments
from processors.demo.scene import Compared, Comparison, Scene

END_MS = 1_795_000_000_000
DAY_MS = 86_400_000
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


def test_the_scenario_compares_at_24_instants_spread_over_the_whole_log(log: EventLog) -> None:
    compared = [moment.at_ms for moment in moments(log) if moment.act is Act.COMPARE]
    assert len(compared) == INSTANTS == 24
    assert compared[-1] == log.last_ms
    gaps = [after - before for before, after in zip([log.first_ms, *compared], compared, strict=False)]
    assert max(gaps) < 2 * (log.last_ms - log.first_ms) / INSTANTS


def test_time_never_goes_back_in_the_scenario(log: EventLog) -> None:
    times = [moment.at_ms for moment in moments(log)]
    assert times == sorted(times)


def test_every_instant_of_comparison_is_the_very_time_of_an_event(log: EventLog) -> None:
    times = {event.time_ms for event in log.events}
    assert all(instant in times for instant in log.instants(INSTANTS))


def test_the_heros_flag_turns_by_an_event_and_back_by_time_alone(log: EventLog) -> None:
    at = {moment.act: moment.at_ms for moment in moments(log)}
    hers = [(event.time_ms, json.loads(event.raw)["event"]) for event in log.events if event.person == HERO]
    errors = [time_ms for time_ms, name in hers if name == "payment_error" and time_ms <= at[Act.FLAG_OFF]]
    assert at[Act.FLAG_BEFORE] < errors[-1] <= at[Act.FLAG_ON]
    assert at[Act.FLAG_OFF] == errors[-2] + DAY_MS
    assert at[Act.FLAG_STILL_ON] == at[Act.FLAG_OFF] - 1
    assert not any(errors[-1] < time_ms <= at[Act.FLAG_OFF] for time_ms, _ in hers)
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


def test_the_demo_fails_where_a_cohort_was_never_anything_but_empty() -> None:
    empty = Comparison(END_MS, {"buyers": Compared(frozenset(), frozenset())})
    assert _judge(console(), [empty], 1.0) == 1


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
