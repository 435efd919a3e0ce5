"""Which events become entries of which selectors."""

from typing import Any

import pytest

from cohort_store.compiling import assign
from cohort_store.deltas import DeltaEntry
from cohort_store.errors import BadEvent
from cohort_store.event_values import Form, ValueOf
from cohort_store.plans import Plan, TeamPlan, compile_plan
from cohort_store.properties import PropertyTest
from cohort_store.registry import Registry
from cohort_store.selectors import Alternative, Selector
from processors.codecs.event import Event, Limits
from processors.codecs.plain import PlainCodec
from processors.codecs.posthog import PostHogCodec
from processors.router.routes import NO_ENTRIES, RouterPlan, TeamRoutes, compile_routes, entries_of
from tests.router.building import NOW_MS, event, routes

PRO = {"property": "plan", "value": "pro"}


def read(name: str, **changes: Any) -> Event:
    return PlainCodec(Limits()).decode(event(name, **changes), NOW_MS)


def selectors_of(plan: RouterPlan, name: str, tier: str = "") -> list[int]:
    bought = read(name, properties={"plan": tier})
    return [entry.selector for entry in entries_of(bought, plan.teams[1].of(name)).entries]


def test_only_the_names_that_a_selector_mentions_are_wanted() -> None:
    plan = routes({"event": "buy"}, {"any_of": [{"event": "sign"}, {"event": "schön"}]})
    assert plan.names == frozenset({"buy", "sign", "schön"})


def test_a_selector_of_any_event_makes_every_name_wanted() -> None:
    plan = routes({"event": "buy"}, {"event": "any"})
    assert plan.names is None
    assert len(selectors_of(plan, "buy")) == 2
    assert len(selectors_of(plan, "whatever")) == 1


def test_an_event_is_one_entry_for_each_selector_that_it_matches() -> None:
    plan = routes({"event": "buy"}, {"event": "buy", "where": [PRO]}, {"event": "sign"})
    assert len(selectors_of(plan, "buy", "pro")) == 2
    assert len(selectors_of(plan, "buy", "free")) == 1


def test_an_event_that_matches_two_alternatives_is_one_entry() -> None:
    plan = routes({"any_of": [{"event": "buy", "where": [PRO]}, {"event": "buy"}]})
    assert len(selectors_of(plan, "buy", "pro")) == 1


def test_of_an_event_with_filters_any_alternative_may_pass() -> None:
    free = {"property": "plan", "value": "free"}
    plan = routes({"any_of": [{"event": "buy", "where": [PRO]}, {"event": "buy", "where": [free]}]})
    assert [len(selectors_of(plan, "buy", each)) for each in ("pro", "free", "none")] == [1, 1, 0]


def test_an_entry_carries_the_events_time_and_tag() -> None:
    plan, bought = routes({"event": "buy"}), read("buy")
    (entry,) = entries_of(bought, plan.teams[1].of("buy")).entries
    assert entry == DeltaEntry(entry.selector, NOW_MS, bought.tag)


def test_a_team_that_has_defined_nothing_has_no_routes() -> None:
    assert list(routes({"event": "buy"}, team=3).teams) == [3]
    assert compile_routes(compile_plan(assign(Registry(), [], {}, applied="", now=0))).names == frozenset()


def test_properties_are_read_only_where_a_filter_asks_for_them() -> None:
    raw = b'{"event":"buy","team_id":1,"distinct_id":"d","uuid":"018f3b2a-7c1d-7e4a-9b0c-1d2e3f4a5b6c",'
    raw += b'"timestamp":"2025-06-15 15:06:40","properties":"{broken"}'
    unreadable = PostHogCodec(Limits()).decode(raw, NOW_MS)
    assert entries_of(unreadable, routes({"event": "buy"}).teams[1].of("buy")).entries
    with pytest.raises(BadEvent, match="bad_properties"):
        entries_of(unreadable, routes({"event": "buy", "where": [PRO]}).teams[1].of("buy"))


@pytest.mark.parametrize(
    ("amount", "value"),
    [(12.5, 12_500_000), ("3", 3_000_000), (-1, -1_000_000), (0.0000004, 0), (1e300, None), ("x", None), (True, None)],
)
def test_a_selector_of_a_value_takes_numbers_as_fixed_point_and_skips_the_rest(amount: Any, value: int | None) -> None:
    found = entries_of(read("buy", properties={"amount": amount}), values(Form.NUMBER).of("buy"))
    assert found.negative is None
    assert [entry.value for entry in found.entries] == ([] if value is None else [value])


def values(form: Form) -> TeamRoutes:
    selector = Selector((Alternative("buy", (PropertyTest(property="amount", op="is_set"),)),), ValueOf("amount", form))
    return compile_routes(Plan(1, {1: TeamPlan(1, selectors={5: selector})}, Registry())).teams[1]


@pytest.mark.parametrize(
    ("amount", "value", "refused"),
    [(0.5, 500_000, None), (0, 0, None), (-1, None, "amount"), ("x", None, None)],
)
def test_a_negative_number_has_no_entry_where_a_definition_says_that_there_is_none(
    amount: float | str, value: int | None, refused: str | None
) -> None:
    found = entries_of(read("buy", properties={"amount": amount}), values(Form.NON_NEGATIVE).of("buy"))
    assert [entry.value for entry in found.entries] == ([] if value is None else [value])
    assert found.negative == refused


def test_a_negative_number_is_refused_only_of_an_event_that_passes_the_filters() -> None:
    selector = Selector(
        (Alternative("buy", (PropertyTest(property="plan", value="pro"),)),), ValueOf("amount", Form.NON_NEGATIVE)
    )
    of_buy = compile_routes(Plan(1, {1: TeamPlan(1, selectors={5: selector})}, Registry())).teams[1].of("buy")
    assert entries_of(read("buy", properties={"amount": -1, "plan": "free"}), of_buy).negative is None
    assert entries_of(read("buy", properties={"amount": -1, "plan": "pro"}), of_buy).negative == "amount"


def test_a_text_goes_into_an_entry_as_its_hash() -> None:
    of_buy = values(Form.TEXT).of("buy")
    (first,) = entries_of(read("buy", properties={"amount": "sess_1"}), of_buy).entries
    (same,) = entries_of(read("buy", properties={"amount": "sess_1"}), of_buy).entries
    (other,) = entries_of(read("buy", properties={"amount": "sess_2"}), of_buy).entries
    assert first.value == same.value != other.value
    assert entries_of(read("buy", properties={"amount": None}), of_buy) == NO_ENTRIES
