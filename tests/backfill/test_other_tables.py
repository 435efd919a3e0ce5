"""History from other tables than the archive's: nothing is missed however late rows come, and what is bad is named."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cohort_store.clickhouse.client import connected
from cohort_store.definitions import parse_tree
from cohort_store.errors import Retry
from cohort_store.settings import Settings
from processors.backfill import filling_in
from processors.backfill.filling_in import FillingIn, FillingParts, noted_status
from processors.backfill.ports import FillingStatus, Part
from processors.backfill.wanted import wanted
from processors.cli.application import run
from processors.cli.status import sentence_of
from processors.clickhouse.history_check import BadHistory, check_history
from processors.clickhouse.history_coverage import HistoryCoverage
from processors.clickhouse.history_source import HistorySource, mapped_source, source_of
from processors.clickhouse.person_history import person_history
from processors.clickhouse.persons import count_persons
from processors.clickhouse.preview import Asked, preview
from processors.clickhouse.seed_history import SeedHistory
from processors.control import wiring
from tests.backfill.test_archived import PLACES
from tests.backfill.test_filling_in import BUYERS, PARTITIONS, SHARDS, SOURCE, World
from tests.cli.test_application import _no_settings_but_ours  # noqa: F401 - the same autouse fixture
from tests.domain.roll import registry_of
from tests.domain.strategies import LAST, START
from tests.services.fixtures import ClickHouse
from tests.translation.tables import (
    MAPPING,
    NOBODY,
    OWN,
    OWN_PERSONS,
    OWN_STATES,
    OWN_TABLE,
    POSTHOG,
    own_states,
    own_tables,
    posthog_event,
)

DEADLINE_S = 60.0
SETTLE = 1_800_000
MEMORY = 268_435_456
BUY = {"kind": "count", "event": "buy", "n": 2, "within": "1d"}
PRO = {"kind": "person_property", "property": "plan", "value": "pro"}


@pytest.fixture
def url(clickhouse: ClickHouse) -> str:
    return f"http://{clickhouse.host}:{clickhouse.port}/{clickhouse.database}"


async def tell(url: str, table: str, *rows: dict[str, Any]) -> None:
    async with connected(url) as client:
        await client.raw_insert(
            f"`{table}`", insert_block=b"\n".join(json.dumps(row).encode() for row in rows), fmt="JSONEachRow"
        )


async def command(url: str, *statements: str) -> None:
    async with connected(url) as client:
        for statement in statements:
            await client.command(statement)


def bought(person: str, behind_ms: int, **places: Any) -> dict[str, Any]:
    at = datetime.fromtimestamp(START // 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    row = {"tenant": "t1", "what": "A", "who": person, "timestamp": f"{at}.{START % 1_000 + behind_ms:03}"}
    return {**row, "id": f"{person} {behind_ms}", "kind": "track", **places}


class Slow:
    """A filling in whose history is a table that somebody feeds; the log and the owner are those of a World."""

    def __init__(self, url: str, source: HistorySource) -> None:
        self.world = World(BUYERS, [])
        self._url, self._source = url, source

    def filling_in(self) -> FillingIn:
        world = self.world
        coverage = HistoryCoverage(self._url, self._source, [SOURCE.topic], settle_ms=SETTLE, clock=world.wall)
        history = SeedHistory(self._url, 1, MEMORY, self._source)
        return FillingIn(
            FillingParts(history, world, coverage, world, world.notes, world.store, world.wall, SHARDS, PARTITIONS, 1)
        )

    async def until(self, said: str) -> FillingStatus:
        """What is noted once it waits for that."""
        async with asyncio.timeout(DEADLINE_S):
            while (status := await noted_status(self.world.notes)) is None or said not in status.waits_for:
                await asyncio.sleep(0.01)
        return status


@pytest.fixture
async def slow(url: str, clickhouse: ClickHouse, monkeypatch: pytest.MonkeyPatch) -> Slow:
    monkeypatch.setattr(filling_in, "LOOK_S", 0.01)
    await command(url, OWN)
    slow = Slow(url, mapped_source(own_tables(), clickhouse.database))
    await slow.world.adopt()
    return slow


async def test_events_that_reach_clickhouse_one_by_one_after_the_activation_are_in_the_cohort(
    slow: Slow, url: str
) -> None:
    await command(url, f"ALTER TABLE `{OWN_TABLE}` {PLACES}")
    filling = asyncio.create_task(slow.filling_in().fill(slow.world.registry))
    for offset in range(10):
        status = await slow.until(f"of muster.events/0, {10 - offset} messages behind")
        assert "ClickHouse's table track-log: its rows" in sentence_of(status)
        person = f"person-{offset % 3}"
        await tell(url, OWN_TABLE, bought(person, 15 + offset, _topic=SOURCE.topic, _partition=0, _offset=offset))
    assert (await asyncio.wait_for(filling, DEADLINE_S)).begins_ms == {2: START + 15}
    assert [await slow.world.members(number) for number in range(4)] == [{"buyers": True}] * 3 + [{"buyers": False}]


async def test_events_that_reach_a_table_without_places_while_it_settles_are_in_the_cohort(
    slow: Slow, url: str
) -> None:
    wall = slow.world.wall
    began = wall.now_ms()
    first = asyncio.create_task(slow.filling_in().fill(slow.world.registry))
    assert (await slow.until("to settle")).since_ms == began
    await tell(url, OWN_TABLE, bought("person-0", 20))
    # The process ends; what it waited for by then is not waited for anew.
    first.cancel()
    await asyncio.wait([first])
    wall.set(began + SETTLE - 1)
    second = asyncio.create_task(slow.filling_in().fill(slow.world.registry))
    assert "to settle (history.settle, 30m) at" in sentence_of(await slow.until("to settle"))
    await tell(url, OWN_TABLE, bought("person-0", 21), bought("person-1", 21))
    wall.set(began + SETTLE)
    assert (await asyncio.wait_for(second, DEADLINE_S)).begins_ms == {2: START + 20}
    assert [await slow.world.members(number) for number in range(2)] == [{"buyers": True}, {"buyers": False}]


async def test_posthogs_tables_are_previewed_planned_counted_and_seeded_by_one_description(url: str) -> None:
    await command(url, *POSTHOG)
    one, two, gone = (f"00000000-0000-4000-9000-{number:012}" for number in (1, 2, 3))
    common = {"properties": '{"$set":{"plan":"free"}}', "person_properties": '{"plan":"pro"}'}
    await tell(
        url,
        "events",
        posthog_event(person_id=one, distinct_id="d1", time_ms=START + 1),
        posthog_event(person_id=gone, distinct_id="merged", time_ms=START + 2, **common),
        posthog_event(person_id=two, distinct_id="split", time_ms=START + 3),
        posthog_event(person_id=NOBODY, distinct_id="d1", time_ms=START + 4),
    )
    override = {"team_id": 1, "person_id": one, "version": 1, "is_deleted": 0}
    await tell(url, "person_distinct_id_overrides", override | {"distinct_id": "merged"})
    await tell(url, "person_distinct_id_overrides", override | {"distinct_id": "split"})
    await tell(url, "person_distinct_id_overrides", override | {"distinct_id": "split", "version": 2, "is_deleted": 1})
    person = {"team_id": 1, "created_at": "2024-01-01 00:00:00", "version": 1, "properties": '{"plan":"pro"}'}
    await tell(url, "person", person | {"id": two}, person | {"id": gone, "version": 100, "is_deleted": 1})
    told = {"clickhouse_events_json": "posthog"}
    trees = {"buyers": parse_tree(BUY), "pro": parse_tree(PRO)}
    for sources, pro in ((told, []), (told | {"clickhouse_person": "posthog_person"}, [two])):
        settings = Settings.model_validate({"clickhouse": url, "history": {"schema": "posthog"}, "sources": sources})
        source = source_of(settings)
        found = await preview(url, source, Asked(1, trees, {}), START + LAST, 5)
        assert {key: list(each.some) for key, each in found.cohorts.items()} == {"buyers": [one], "pro": pro}
        assert found.begins_ms == START + 1
        assert await count_persons(url, 1, source) == 2
        history = SeedHistory(url, 1, MEMORY, source)
        assert await history.is_there()
        assert (await history.begins_ms(1), await history.persons(1)) == (START + 1, 2)
        ((asked),) = wanted(registry_of([{"key": "c", "when": {"all": [BUY, PRO]}}]))
        seeds = [seed async for block in history.seeds(asked, START + LAST, Part(0, 1)) for seed in block]
        halves = [
            seed
            for number in (0, 1)
            async for block in history.seeds(asked, START + LAST, Part(number, 2))
            for seed in block
        ]
        assert sorted(halves) == sorted(seeds)
        assert {seed.person: len(seed.entries) for seed in seeds if seed.entries} == {one: 2, two: 1}
        assert {seed.person for seed in seeds if seed.registers} == ({two, gone} if pro else {one})
        pairs = [pair async for block in history.pairs(1) for pair in block]
        assert sorted(pairs) == [("d1", one, START + 1), ("merged", one, START + 2), ("split", two, START + 3)]
        hers = await person_history(url, source, 1, one, START + 4)
        assert (hers.begins_ms, sorted(event.time_ms for event in hers.events)) == (
            START + 1,
            [START + 1, START + 2, START + 4],
        )
        assert not (await person_history(url, source, 1, gone, START + 4)).events
        planned = await history.plan(asked, START + LAST, Part(0, 1))
        assert planned.rows >= 4
        assert planned.bytes > 0


BAD = [
    ("table", "no_such_table", "no_such_table"),
    ("table", "no_such_database.events", "no_such_database"),
    ("team", "tennant", "tennant"),
    ("team", "[1]", "ILLEGAL_TYPE_OF_ARGUMENT"),
    ("event", "lower(1, 2)", "NUMBER_OF_ARGUMENTS"),
    ("person", "no_function(who)", "no_function"),
    ("distinct_id", "device device", "Syntax error"),
    ("time", "timestamp", "it is a String; write a DateTime or DateTime64"),
    ("time", "toDateTime64(stamp, 3)", "stamp"),
    ("uuid", "uid", "uid"),
    ("properties", "props", "props"),
    ("person_properties", "props", "props"),
    ("filter", "kind = track", "track"),
    ("persons.table", "nobody", "nobody"),
    ("persons.id", "ident", "ident"),
    ("persons.version", "updated_at", "updated_at"),
    ("persons.deleted", "lost", "lost"),
    ("persons.created_at", "attributes", "it is a String"),
]


@pytest.mark.parametrize(("field", "expression", "said"), BAD)
async def test_a_mapping_that_clickhouse_refuses_is_named_by_its_field(
    url: str, clickhouse: ClickHouse, field: str, expression: str, said: str
) -> None:
    await command(url, OWN, OWN_PERSONS)
    await check_history(url, mapped_source(own_states(), clickhouse.database))
    *persons, name = field.split(".")
    states = OWN_STATES | ({name: expression} if persons else {})
    changed = {} if persons else {name: expression}
    source = mapped_source(own_tables(persons=states, **changed), clickhouse.database)
    with pytest.raises(BadHistory) as refused:
        await check_history(url, source)
    assert str(refused.value).startswith(f"history.{field} = {expression!r} does not fit ClickHouse: ")
    assert said in str(refused.value)


def test_control_does_not_begin_with_such_a_mapping_and_a_preview_says_so_too(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asyncio.run(command(url, OWN))
    history = {**MAPPING, "uuid": "uid"}
    settings = Settings.model_validate(
        {"clickhouse": url, "kafka": "127.0.0.1:1", "history": history, "data_dir": str(tmp_path)}
    )
    with pytest.raises(BadHistory, match=r"history\.uuid = 'uid'"):
        asyncio.run(wiring.serve(settings))
    monkeypatch.setenv("MUSTER_CLICKHOUSE", url)
    monkeypatch.setenv("MUSTER_HISTORY", json.dumps(history))
    file = tmp_path / "cohorts.json"
    file.write_text(json.dumps({"cohorts": [{"key": "buyers", "when": BUY}]}))
    assert run(["preview", str(file)]) == 1
    assert "history.uuid = 'uid' does not fit ClickHouse" in " ".join(capsys.readouterr().err.split())


async def test_a_clickhouse_that_does_not_answer_is_no_bad_mapping() -> None:
    with pytest.raises(Retry):
        await check_history("http://127.0.0.1:1", mapped_source(own_tables(), "default"))


def test_the_default_is_the_archives_table() -> None:
    assert source_of(Settings(clickhouse="http://a")).is_archive
