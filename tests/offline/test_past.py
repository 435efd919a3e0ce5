"""A person at an instant that is past: ClickHouse's history beside a file of the same events."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from cohort_store.clickhouse.client import connect
from cohort_store.records import EMPTY
from processors.clickhouse.events import EventsTable
from processors.offline.definitions import Asked, read_asked
from processors.offline.log import Log, LogFiles
from processors.offline.past import NoHistory, record_at
from processors.offline.timelines_engine import records_of
from processors.row_files import BadLine
from tests.offline.commands import cohorts_file, jsonl
from tests.services.fixtures import ClickHouse

START = 1_768_219_200_000
PERSONS, DEVICES = (None, "ann", "bob"), (None, "d1", "d2", "ann")
SELECTED = {"event": "a", "where": [{"property": "p", "value": "x"}]}
COHORTS = [{"key": "c", "when": {"kind": "count", "n": 2, "within": "1d", **SELECTED}}]
LOGS = 6


def _log(drawn: random.Random) -> list[dict[str, Any]]:
    lines = []
    for number in range(drawn.randrange(8, 14)):
        ids = {"person_id": drawn.choice(PERSONS), "distinct_id": drawn.choice(DEVICES)}
        if any(ids.values()):
            line = {name: value for name, value in ids.items() if value}
            uuid = f"00000000-0000-0000-0000-{drawn.choice((number, 1)):012}"
            properties = {"p": drawn.choice(("x", "y"))}
            lines.append({"event": "a", "timestamp": START + drawn.randrange(6), "uuid": uuid, **line})
            lines[-1]["properties"] = properties
    return lines


def _row(line: dict[str, Any], place: int) -> bytes:
    seconds = f"{line['timestamp'] // 1000}.{line['timestamp'] % 1000:03}"
    return json.dumps(
        {
            "person_id": "",
            "distinct_id": "",
            **line,
            "team_id": 1,
            "timestamp": seconds,
            "properties": json.dumps(line["properties"]),
            "_topic": "t",
            "_partition": 0,
            "_offset": place,
            "_timestamp": seconds,
        }
    ).encode()


def _refuse(path: Path, line: BadLine) -> None:
    raise AssertionError(f"{path}:{line.number}: {line.problem}")


@pytest.mark.slow
async def test_what_was_known_of_a_person_is_what_a_file_of_the_same_events_tells(
    clickhouse: ClickHouse, tmp_path: Path, seed: int
) -> None:
    url = f"http://{clickhouse.host}:{clickhouse.port}/{clickhouse.database}"
    drawn = random.Random(seed)
    seen: set[int] = set()
    for number in range(LOGS):
        asked = _asked(tmp_path, team=1)
        lines = _log(drawn)
        table = EventsTable(url)
        await table.insert([_row(line, place) for place, line in enumerate([*lines, *lines])])
        path = jsonl(tmp_path / f"{number}.jsonl", lines)
        for at in (START + 1, START + 3, START + 5):
            log = Log(LogFiles((path,), (), 1), at, _refuse)
            expected = records_of(asked, log)
            for person in ("ann", "bob", "d1"):
                if lines and min(line["timestamp"] for line in lines) <= at:
                    found = await record_at(url, asked, person, at)
                    assert found.timelines == expected.get(person, EMPTY).timelines
                    seen.add(len(found.timelines))
        await _emptied(url)
        await table.close()
    assert 1 in seen


async def _emptied(url: str) -> None:
    client = await connect(url)
    await client.command("TRUNCATE TABLE events")
    await client.close()


def _asked(folder: Path, team: int) -> Asked:
    return read_asked([cohorts_file(folder / "cohorts.json", COHORTS)], team)


async def test_without_a_history_of_that_time_the_past_is_refused(clickhouse: ClickHouse, tmp_path: Path) -> None:
    url = f"http://{clickhouse.host}:{clickhouse.port}/{clickhouse.database}"
    asked = _asked(tmp_path, team=1)
    with pytest.raises(NoHistory, match="MUSTER_CLICKHOUSE"):
        await record_at("", asked, "ann", START)
    with pytest.raises(NoHistory, match="holds none of team 1"):
        await record_at(url, asked, "ann", START)
    table = EventsTable(url)
    line = {"event": "a", "timestamp": START, "uuid": "00000000-0000-0000-0000-000000000001", "person_id": "ann"}
    await table.insert([_row({**line, "properties": {"p": "x"}}, 0)])
    await table.close()
    with pytest.raises(NoHistory, match="the history begins at"):
        await record_at(url, asked, "ann", START - 1)
    assert (await record_at(url, asked, "ann", START)).timelines
