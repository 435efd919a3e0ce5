"""`muster members` on the example shop's log, beside SQL over the same events, written by hand."""

import json

from cohort_store.clickhouse.client import connect
from cohort_store.durations import format_instant, parse_instant_ms
from processors.demo.log import COHORTS, EVENTS, FLAGS, EventLog, LoggedEvent, load_log
from processors.demo.reference import ARTICLE_FROM, ARTICLE_TO, KNOWN, Reference
from tests.offline.commands import command
from tests.services.fixtures import ClickHouse

ANY_END_MS = parse_instant_ms("2024-06-30T00:00:00Z")
INSTANTS = 5
HOLDING_FOR_NOBODY = {"unassisted", "rarely-searching"}


async def test_members_of_the_shops_log_are_those_of_hand_written_sql(clickhouse: ClickHouse) -> None:
    log = _as_shipped()
    client = await connect(f"http://{clickhouse.host}:{clickhouse.port}/{clickhouse.database}")
    try:
        await client.command(
            "CREATE TABLE events (team_id UInt32, event String, uuid UUID, person_id String, "
            "timestamp DateTime64(3, 'UTC'), properties String) ENGINE = Memory"
        )
        await client.raw_insert(
            "events",
            insert_block="\n".join(map(_row, log.events)).encode(),
            fmt="JSONEachRow",
            settings={"date_time_input_format": "best_effort"},
        )
        reference = Reference(client, (parse_instant_ms(ARTICLE_FROM), parse_instant_ms(ARTICLE_TO)))
        everybody = {event.person for event in log.events}
        seen: set[str] = set()
        for instant in log.instants(INSTANTS):
            expected = await reference.members(instant)
            unknown = everybody - expected.pop(KNOWN)
            found = {key: frozenset(ids) for key, ids in _members(instant).items()}
            assert {key: ids - unknown for key, ids in found.items()} == expected
            assert {key: ids & unknown for key, ids in found.items()} == {
                key: unknown if key in HOLDING_FOR_NOBODY else frozenset() for key in found
            }
            seen |= {key for key, ids in expected.items() if ids}
        assert len(seen) >= 14
    finally:
        await client.close()


def _members(instant: int) -> dict[str, list[str]]:
    found: dict[str, list[str]] = command(
        *("members", "--definitions", COHORTS, FLAGS, "--events", EVENTS),
        *("--now", format_instant(instant), "--strict", "--json"),
    ).json
    return found


def _as_shipped() -> EventLog:
    moved = load_log(EVENTS, ANY_END_MS)
    return load_log(EVENTS, ANY_END_MS - moved.shift_ms)


def _row(event: LoggedEvent) -> str:
    line = json.loads(event.raw)
    return json.dumps({**line, "team_id": 1, "properties": json.dumps(line["properties"])})
