"""The SQL itself: every kind has its own, its text is frozen, and nothing that people write gets out of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from cohort_store.conditions import kinds
from cohort_store.definitions import parse_cohort, parse_tree
from cohort_store.errors import Crash
from cohort_store.plans import conditions_of
from processors.clickhouse.translation.conditions import translation_of, translations
from processors.clickhouse.translation.sources import EVENTS_SQL, events_of
from processors.clickhouse.translation.statements import memberships, reduction
from processors.clickhouse.translation.timelines import Bound
from processors.embedded.chdb_memory import Memory
from tests.domain.roll import plan_of

LISTS = "SELECT digest, person_id FROM lists"
FOLDER = Path(__file__).with_name("golden")
SELECTION = {"event": "purchase", "where": [{"property": "plan", "value": ["pro", "team"]}]}
GOLDEN: dict[str, dict[str, Any]] = {
    "performed": {"kind": "performed", "event": "purchase", "within": "30d"},
    "performed_since": {"kind": "performed", **SELECTION, "since": "2026-01-12", "until": "2026-02-12T12:00:00Z"},
    "count": {"kind": "count", "event": "any", "op": "eq", "n": 3, "within": "7d"},
    "first_time": {"kind": "first_time", **SELECTION, "within": "30d"},
    "stopped": {"kind": "stopped", "event": "search", "within": "90d", "recent": "30d"},
    "restarted": {"kind": "restarted", "event": "login", "within": "30d", "recent": "7d"},
    "regularly": {"kind": "regularly", "event": "login", "period": "7d", "periods": 4, "min_periods": 3, "times": 2},
    "sequence": {
        "kind": "sequence",
        "first": {"event": "signup"},
        "then": {"event": "upgrade"},
        "then_within": "2d",
        "within": "30d",
    },
    "sequence_of_one": {
        "kind": "sequence",
        "first": {"event": "login"},
        "then": {"event": "login"},
        "then_within": "2d",
        "since": "2026-01-12",
        "until": "2026-02-12",
    },
    "person_property": {"kind": "person_property", "property": "plan", "op": "is_date_before", "value": "-7d"},
    "static_list": {"kind": "static_list", "list": "0123456789abcdef", "count": 2},
    "aggregate": {
        "kind": "aggregate",
        "event": "purchase",
        "property": "price",
        "fn": "sum",
        "value": 500.5,
        "non_negative": True,
        "within": "30d",
    },
    "aggregate_distinct": {
        "kind": "aggregate",
        "event": "any",
        "property": "country",
        "fn": "distinct",
        "op": "lt",
        "value": 3,
        "since": "2026-01-12",
    },
    "aggregate_average": {
        "kind": "aggregate",
        "event": "purchase",
        "property": "price",
        "fn": "avg",
        "op": "gt",
        "value": -10,
        "within": "30d",
    },
    "aggregate_maximum": {
        "kind": "aggregate",
        "event": "purchase",
        "property": "price",
        "fn": "max",
        "op": "ne",
        "value": 10,
        "within": "30d",
    },
    "tree": {
        "all": [
            {"not": {"kind": "performed", "event": "refund", "within": "30d"}},
            {
                "any": [
                    {"kind": "count", "event": "purchase", "n": 3, "within": "90d"},
                    {
                        "kind": "performed",
                        "any_of": [
                            {"event": "upgrade"},
                            {"event": "any", "where": [{"property": "vip", "op": "is_set"}]},
                        ],
                        "within": "1d",
                    },
                ]
            },
        ]
    },
}


def both(when: dict[str, Any]) -> str:
    """The two statements of a cohort, as a golden file has them."""
    tree, source = parse_tree(when), events_of("log")
    bound = Bound.numbered(conditions_of(tree))
    names = [each.register for each in bound.registers]
    kept = reduction(bound.conditions, bound.selectors, source, names)
    return f"{kept};\n{memberships({'somebody': tree}, source, lists='' if 'list' not in when else LISTS)}"


def test_every_kind_of_condition_has_its_sql() -> None:
    assert set(translations()) == {kind.kind_name() for kind in kinds()}


def test_every_kind_of_condition_has_a_golden_file() -> None:
    assert {kind.kind_name() for kind in kinds()} <= set(GOLDEN)
    assert {path.stem for path in FOLDER.glob("*.sql")} == set(GOLDEN)


@pytest.mark.parametrize("name", GOLDEN)
def test_the_statements_of_a_definition_are_these(name: str) -> None:
    """Written anew, after a change that is meant, by `python -m tests.translation.test_statements`."""
    assert both(GOLDEN[name]) == (FOLDER / f"{name}.sql").read_text(encoding="utf-8")


def test_a_condition_of_an_unknown_kind_is_a_crash_that_says_where_its_sql_belongs() -> None:
    with pytest.raises(Crash, match=r"no SQL for Unknown; add a module to processors\.clickhouse\.translation"):
        translation_of(Unknown())  # type: ignore[arg-type]  # it is none, and that is the point


class Unknown:
    """No condition that anybody translated."""


NASTY = (
    *(
        "'",
        "\\",
        "\\'",
        "''",
        "'); DROP TABLE log; --",
        "' OR 1 = 1 --",
        "{now:Int64}",
        "}{",
        "%(now)s",
        "%s",
        "?",
        "$1",
    ),
    *(
        "/*",
        "*/",
        "--",
        "#",
        "\n",
        "\r\n",
        "\t",
        "`",
        '"',
        "\u2028",
        "é",
        "日本",
        "👍",
        "\x1b",
        "\x7f",
        "\\x27",
        "\\0",
        "a" * 200,
    ),
)


@pytest.mark.parametrize("name", NASTY)
def test_whatever_an_event_a_property_or_a_value_is_called_it_means_itself_and_nothing_else(
    memory: Memory, name: str
) -> None:
    memory.command("DROP TABLE IF EXISTS log")
    memory.command(EVENTS_SQL.format(table="log"))
    rows = [
        {"person_id": person, "event": event, "uuid": person, "time_ms": 1_000, "properties": properties}
        for person, event, properties in (
            ("her", name, msgspec.json.encode({name: name}).decode()),
            ("other event", f"{name}x", msgspec.json.encode({name: name}).decode()),
            ("other value", name, msgspec.json.encode({name: f"{name}x"}).decode()),
            ("other name", name, msgspec.json.encode({f"{name}x": name}).decode()),
        )
    ]
    memory.insert("log", rows)
    when = {"kind": "performed", "event": name, "where": [{"property": name, "value": name}], "within": "1d"}
    plan = plan_of([{"key": "c", "when": when}])
    answers = memberships({name: parse_cohort({"key": "c", "when": when}).when}, events_of("log"))
    assert memory.query(answers, {"now": 2_000}) == [[name, "her"]]
    kept = memory.query(reduction(plan.conditions, plan.selectors, events_of("log")), {"now": 2_000})
    assert [row[0] for row in kept] == ["her"]


def test_a_person_is_named_once_however_many_events_she_has(memory: Memory) -> None:
    memory.command("DROP TABLE IF EXISTS log")
    memory.command(EVENTS_SQL.format(table="log"))
    event = {"person_id": "her", "event": "purchase", "time_ms": 1_000, "properties": "{}"}
    memory.insert("log", ({**event, "uuid": str(number)} for number in range(3)))
    when = parse_cohort({"key": "c", "when": GOLDEN["performed"]}).when
    for persons in ("", "SELECT 'her'"):
        sql = memberships({"c": when}, events_of("log"), persons)
        assert memory.query(sql, {"now": 2_000}) == [["c", "her"]]


def test_who_is_named_in_a_static_list_is_in_it_with_no_event_at_all(memory: Memory) -> None:
    memory.command("DROP TABLE IF EXISTS log")
    memory.command(EVENTS_SQL.format(table="log"))
    digest = str(GOLDEN["static_list"]["list"])
    lists = f"SELECT '{digest}' AS digest, 'her' AS person_id UNION ALL SELECT 'another list', 'him'"
    leaf = parse_tree(GOLDEN["static_list"])
    others = parse_tree({"not": GOLDEN["static_list"]})
    sql = memberships({"in": leaf, "out": others}, events_of("log"), "SELECT arrayJoin(['her', 'him'])", lists)
    assert sorted(memory.query(sql, {"now": 2_000})) == [["in", "her"], ["out", "him"]]


def test_a_condition_that_two_cohorts_share_is_worked_out_once() -> None:
    when = parse_cohort({"key": "c", "when": GOLDEN["count"]}).when
    assert len(list(conditions_of(when))) == 1
    sql = memberships({"a": when, "b": when}, events_of("log"))
    assert "AS c0" in sql
    assert "AS c1" not in sql


if __name__ == "__main__":
    for title, written in GOLDEN.items():
        (FOLDER / f"{title}.sql").write_text(both(written), encoding="utf-8")
