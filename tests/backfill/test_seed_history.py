"""The history as ClickHouse tells it: all of it, and what was at or after an instant."""

from __future__ import annotations

from typing import Any

from cohort_store.clickhouse.client import connect
from cohort_store.registry import Registry
from processors.backfill.ports import Part, Reading
from processors.backfill.wanted import Wanted, wanted
from processors.clickhouse.events import CREATE_SQL
from processors.clickhouse.seed_history import SeedHistory
from tests.domain.roll import registry_of
from tests.services.fixtures import ClickHouse

DAY_MS = 86_400_000
NOW = 1_700_000_000_000
TIMES = (NOW - 3 * DAY_MS, NOW - DAY_MS - 1, NOW - DAY_MS, NOW - DAY_MS + 1)
_ROW = "(1, '{event}', generateUUIDv4(), '{distinct_id}', '{person}', fromUnixTimestamp64Milli({time}), '{{}}')"


async def filled(clickhouse: ClickHouse, rows: list[dict[str, Any]]) -> SeedHistory:
    url = f"http://{clickhouse.host}:{clickhouse.port}/{clickhouse.database}"
    client = await connect(url)
    await client.command(CREATE_SQL)
    columns = "team_id, event, uuid, distinct_id, person_id, timestamp, properties"
    values = ", ".join(_ROW.format(**{"event": "buy", "distinct_id": "", "person": "", **row}) for row in rows)
    await client.command(f"INSERT INTO events ({columns}) VALUES {values}")
    await client.close()
    return SeedHistory(url, 1, 2**30)


def of_buyers() -> Wanted:
    cohort = {"key": "buyers", "when": {"kind": "count", "event": "buy", "n": 9, "within": "30d"}}
    (found,) = wanted(registry_of([cohort], Registry()))
    return found


async def seeded(history: Any) -> dict[str, list[int]]:
    blocks = [block async for block in history.seeds(of_buyers(), NOW, Part(0, 1))]
    return {seed.person: [entry.time_ms for entry in seed.entries] for block in blocks for seed in block}


async def test_since_an_instant_nothing_before_is_read_and_what_is_at_it_is(clickhouse: ClickHouse) -> None:
    rows = [*({"person": "ann", "time": time} for time in TIMES), {"person": "bob", "time": TIMES[0]}]
    history = await filled(clickhouse, rows)
    assert await seeded(history) == {"ann": list(TIMES), "bob": [TIMES[0]]}
    part = history.read_as(Reading(since_ms=NOW - DAY_MS))
    assert await seeded(part) == {"ann": list(TIMES[2:])}
    assert (await history.persons(1), await part.persons(1)) == (2, 1)
    assert await part.begins_ms(1) == TIMES[0], "the history begins where it does"
    assert "since" in (await part.plan(of_buyers(), NOW, Part(0, 1))).sql


async def test_persons_come_in_order_of_their_places_and_from_one_on_it_is_those_behind(clickhouse: ClickHouse) -> None:
    history = await filled(clickhouse, [{"person": f"p{number}", "time": TIMES[3]} for number in range(300)])
    whole = await placed(history, Part(0, 1))
    assert len(whole) == 300
    assert whole == sorted(whole)
    assert max(whole)[0] > 2**63, "all of 64 bits"
    middle = whole[100][0]
    assert await placed(history, Part(0, 1, middle)) == whole[100:]
    halves = [await placed(history, Part(number, 2, middle)) for number in range(2)]
    assert sorted(halves[0] + halves[1]) == whole[100:]


async def placed(history: SeedHistory, part: Part) -> list[tuple[int, str]]:
    """Who comes, each with her place."""
    blocks = [block async for block in history.seeds(of_buyers(), NOW, part)]
    return [(seed.place, seed.person) for block in blocks for seed in block]


async def test_whose_a_distinct_id_is_may_have_been_said_before_that_instant(clickhouse: ClickHouse) -> None:
    rows = [
        {"person": "ann", "distinct_id": "d", "event": "look", "time": TIMES[0]},
        {"distinct_id": "d", "time": TIMES[3]},
    ]
    history = await filled(clickhouse, rows)
    assert await seeded(history.read_as(Reading(since_ms=NOW - DAY_MS))) == {"ann": [TIMES[3]]}


async def test_clickhouse_reads_no_faster_than_is_configured_but_where_it_hurries(clickhouse: ClickHouse) -> None:
    url = f"http://{clickhouse.host}:{clickhouse.port}/{clickhouse.database}"
    history = SeedHistory(url, 1, 2**30, rows_per_s=5_000)
    assert await bounds_of(history) == [5_000, 0.0], "from the first row on"
    assert await bounds_of(history.read_as(Reading(max_threads=3))) == [5_000, 0.0]
    assert (await bounds_of(history.read_as(Reading(hurries=True))))[0] == 0


async def bounds_of(history: SeedHistory) -> list[float]:
    """What holds a statement of its: rows a second, and from which second on."""
    names = ("max_execution_speed", "timeout_before_checking_execution_speed")
    sql = f"SELECT {', '.join(f'toFloat64(getSetting({name!r}))' for name in names)}"
    ((found,),) = [rows async for rows in history.rows(sql, {}, list[float])]
    return found


async def test_a_run_may_take_other_threads_than_are_configured(clickhouse: ClickHouse) -> None:
    history = (await filled(clickhouse, [{"person": "ann", "time": TIMES[3]}])).read_as(Reading(max_threads=3))
    assert await seeded(history) == {"ann": [TIMES[3]]}
