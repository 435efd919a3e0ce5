"""Why somebody is a member: the explanation beside the oracle, and what it says in named cases."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cohort_store.conditions.aggregate import ENTRIES_MAX as AVERAGED_MAX
from cohort_store.explaining import TIMES_MAX, Reason, Why, explain
from cohort_store.folding import Folded, fold
from cohort_store.plans import compile_team
from cohort_store.records import EMPTY, Record, Register
from cohort_store.registry import TeamRegistry
from tests.domain.roll import delta_of, registry_of
from tests.domain.strategies import HORIZON, LAST, START, Cohorts, cohort_sets, histories, iso
from tests.examples import aside
from tests.oracle.membership import Event, is_member, turning_points

UUID = "00000000-0000-0000-0000-00000000000"


def whole_record(team: TeamRegistry, events: list[Event]) -> Record:
    lines: dict[int, set[tuple[int, ...]]] = {}
    delta = delta_of(compile_team(team), events)
    for selector, *entry in delta.entries:
        lines.setdefault(selector, set()).add(tuple(number for number in entry if number is not None))
    registers: dict[str, Register] = {}
    for name, version, value in sorted(delta.registers):
        registers[name] = (version, value)
    return Record(timelines={selector: tuple(sorted(line)) for selector, line in lines.items()}, registers=registers)


def why(cohorts: Cohorts, events: list[Event], now: int, *, pruned: bool = False) -> Why:
    """Of the last of the cohorts."""
    team = registry_of(cohorts).team(1)
    record = whole_record(team, events)
    if pruned:
        plan = compile_team(team)
        outcome = fold(EMPTY, [delta_of(plan, events)], plan, now)
        record = outcome.record if isinstance(outcome, Folded) else EMPTY
    cohort = team.cohorts[-1]
    assert cohort.active
    return explain(record, team, cohort, cohort.active, now)


@given(cohort_sets(), histories(), st.integers(START - 1, START + LAST + 3), st.booleans())
def test_an_explanation_says_what_the_oracle_says_and_when_that_ends(
    cohorts: Cohorts, events: list[Event], now: int, pruned: bool
) -> None:
    past = [event for event in events if event.time_ms <= now]
    found = why(cohorts, past, now, pruned=pruned)
    cohort = cohorts[-1]
    assert found.member is is_member(cohort, past, now, cohorts)
    turns = [t for t in turning_points(cohorts, past) if now < t <= HORIZON]
    flips = (t for t in turns if is_member(cohort, past, t, cohorts) is not found.member)
    flip = next(flips, None)
    assert found.changes_at == (None if flip is None else iso(flip))


@aside()
@given(cohort_sets(), histories(), st.integers(START - 1, START + LAST + 3))
def test_a_branch_says_what_its_parts_come_to(cohorts: Cohorts, events: list[Event], now: int) -> None:
    check_branches(why(cohorts, events, now).reason)


def check_branches(reason: Reason) -> None:
    parts = [part.holds for part in reason.parts]
    for part in reason.parts:
        check_branches(part)
    if reason.kind in ("all", "any", "not"):
        assert reason.holds is {"all": all(parts), "any": any(parts), "not": not parts[0]}[reason.kind]
    else:
        assert reason.condition is not None
        assert parts == []


def test_an_explanation_shows_a_property_of_the_person_and_when_its_date_turns() -> None:
    trial = {"kind": "person_property", "property": "trial_ends", "op": "is_date_after", "value": "-1h"}
    told = Event(f"{UUID}0", "seen", START, {"$set": {"trial_ends": iso(START)}})
    found = why([{"key": "c", "when": trial}], [told], START + 1).reason
    assert (found.holds, found.present, found.changes_at) == (True, f'"{iso(START)}"', iso(START + 3_600_000))
    unknown = why([{"key": "c", "when": trial}], [], START + 1).reason
    assert (unknown.holds, unknown.present, unknown.changes_at) == (False, "null", None)


def bought(*minutes: int) -> list[Event]:
    return [Event(f"{UUID}{index}", "purchase", START + 60_000 * minute) for index, minute in enumerate(minutes)]


def count(n: int, op: str = "gte") -> dict[str, Any]:
    return {"kind": "count", "event": "purchase", "op": op, "n": n, "within": "60m"}


def test_the_events_that_decide_a_count_are_the_latest_n() -> None:
    found = why([{"key": "c", "when": count(2)}], bought(0, 10, 20), START + 30 * 60_000)
    assert found.member
    assert found.changes_at == iso(START + 70 * 60_000)
    assert found.reason.condition == {"event": "purchase", "n": 2, "within": "60m"}
    (deciding,) = found.reason.decided_by
    assert deciding.events == "purchase"
    assert deciding.times == [iso(START + 10 * 60_000), iso(START + 20 * 60_000)]


def test_where_nothing_decides_the_latest_event_that_does_not_is_named() -> None:
    found = why([{"key": "c", "when": count(1)}], bought(0, 10), START + 70 * 60_000)
    assert not found.member
    (deciding,) = found.reason.decided_by
    assert (deciding.times, deciding.other) == ([], iso(START + 10 * 60_000))


def test_an_event_dated_later_is_none_of_those_that_decide_and_is_waited_for() -> None:
    found = why([{"key": "c", "when": count(1)}], bought(10), START)
    (deciding,) = found.reason.decided_by
    assert (found.member, deciding.times, deciding.other) == (False, [], None)
    assert found.changes_at == iso(START + 10 * 60_000)


def test_a_referenced_cohort_is_named_where_its_tree_stands() -> None:
    cohorts = [
        {"key": "buyers", "when": count(1)},
        {"key": "often", "when": {"all": [{"kind": "in_cohort", "cohort": "buyers"}, count(2)]}},
        {"key": "rare", "when": {"all": [{"kind": "in_cohort", "cohort": "buyers"}, {"not": _in("often")}]}},
    ]
    reason = why(cohorts, bought(0), START).reason
    buyers, not_often = reason.parts
    (often,) = not_often.parts
    assert (reason.cohort, buyers.cohort, buyers.kind) == (None, "buyers", "count")
    assert (often.cohort, often.kind, [part.cohort for part in often.parts]) == ("often", "all", ["buyers", None])


def _in(key: str) -> dict[str, str]:
    return {"kind": "in_cohort", "cohort": key}


def test_of_very_many_deciding_events_the_latest_are_named_and_the_others_counted() -> None:
    found = why([{"key": "c", "when": count(200)}], bought(*range(-TIMES_MAX - 7, 0)), START)
    (deciding,) = found.reason.decided_by
    assert (len(deciding.times), deciding.more, deciding.times[-1]) == (TIMES_MAX, 7, iso(START - 60_000))


AVERAGE = {
    "kind": "aggregate",
    "event": "buy",
    "property": "price",
    "fn": "avg",
    "op": "gte",
    "value": 5,
    "within": "1d",
}
DAY_MS = 86_400_000


def sold(count: int) -> list[Event]:
    """One a minute, from START on."""
    return [Event(f"uuid {i}", "buy", START + 60_000 * i, {"price": 7}) for i in range(count)]


def test_a_condition_whose_events_were_lost_at_a_cap_is_unknown_and_says_from_when_on_it_is_not() -> None:
    events = sold(AVERAGED_MAX + 2)
    lost_ms, now = events[1].time_ms, events[-1].time_ms
    found = why([{"key": "c", "when": AVERAGE}], events, now, pruned=True)
    assert (found.member, found.reason.holds) == (None, None)
    assert found.changes_at == iso(lost_ms + DAY_MS)
    whole = why([{"key": "c", "when": AVERAGE}], events, now)
    assert (whole.member, whole.reason.holds) == (True, True)


def test_what_does_not_depend_on_an_unknown_part_is_known_beside_it() -> None:
    events = sold(AVERAGED_MAX + 2)
    bought_once = {"kind": "performed", "event": "buy", "within": "1d"}
    found = why([{"key": "c", "when": {"any": [AVERAGE, bought_once]}}], events, events[-1].time_ms, pruned=True)
    assert found.member is True
    assert [part.holds for part in found.reason.parts] == [None, True]
