"""`muster send` against a real broker."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition

from cohort_store.kafka import clients
from cohort_store.kafka.ends import end_offsets
from cohort_store.settings import Settings
from processors.cli.application import run
from tests.services.fixtures import FreshTopic

HOUR_MS = 3_600_000


@pytest.fixture
def topic(broker: str, fresh_topic: FreshTopic, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    name = asyncio.run(_made(fresh_topic))
    for field in Settings.model_fields:
        monkeypatch.delenv(f"MUSTER_{field.upper()}", raising=False)
    monkeypatch.setenv("MUSTER_KAFKA", broker)
    monkeypatch.setenv("MUSTER_SOURCES", json.dumps({name: "plain"}))
    monkeypatch.chdir(tmp_path)
    return name


async def _made(fresh_topic: FreshTopic) -> str:
    return await fresh_topic(partitions=1)


def received(broker: str, topic: str) -> list[Any]:
    async def read() -> list[Any]:
        partition = TopicPartition(topic, 0)
        consumer = clients.partition_consumer(broker)
        await consumer.start()
        try:
            consumer.assign([partition])
            await consumer.seek_to_beginning(partition)
            end = (await end_offsets(broker, [partition]))[partition]
            found: list[Any] = []
            async with asyncio.timeout(20):
                while len(found) < end:
                    found += (await consumer.getmany(timeout_ms=200)).get(partition, [])
            return found
        finally:
            await consumer.stop()

    return asyncio.run(read())


def write(path: Path, *events: dict[str, Any] | str) -> str:
    path.write_text("".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in events))
    return str(path)


def event(time_ms: int, person: str = "ann") -> dict[str, Any]:
    return {"event": "purchase", "person_id": person, "timestamp": time_ms}


def test_every_event_of_a_file_arrives_under_its_persons_key(
    broker: str, topic: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "events.jsonl", event(1_768_219_200_000), event(1_768_219_200_001, "bob"))
    assert run(["send", file, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["sent"], answer["refused"], answer["shift_ms"]) == (2, 0, 0)
    messages = received(broker, topic)
    assert [message.key for message in messages] == [b"ann", b"bob"]
    assert json.loads(messages[0].value) == event(1_768_219_200_000)


def test_a_bad_line_is_reported_by_its_number_and_the_rest_is_sent(
    broker: str, topic: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "events.jsonl", event(1_768_219_200_000), "nonsense", event(1_768_219_200_001))
    assert run(["send", file]) == 0
    assert f"{file}:2: " in capsys.readouterr().err.replace("\n", "")
    assert len(received(broker, topic)) == 2


@pytest.mark.usefixtures("topic")
def test_a_bad_line_fails_the_command_only_where_that_is_asked_for(tmp_path: Path) -> None:
    file = write(tmp_path / "events.jsonl", "nonsense", event(1_768_219_200_000))
    assert run(["send", file, "--strict"]) == 1
    assert run(["send", file]) == 0


def test_times_are_moved_as_a_whole_so_that_the_last_is_the_given_instant(
    broker: str, topic: str, tmp_path: Path
) -> None:
    file = write(tmp_path / "events.jsonl", event(1_768_219_200_000 + HOUR_MS), event(1_768_219_200_000))
    assert run(["send", file, "--end", "2026-03-01T00:00:00Z"]) == 0
    times = [json.loads(message.value)["timestamp"] for message in received(broker, topic)]
    assert times == [1_772_323_200_000, 1_772_323_200_000 - HOUR_MS]


def test_a_record_is_stamped_with_its_arrival_and_not_with_the_events_time(
    broker: str, topic: str, tmp_path: Path
) -> None:
    file = write(tmp_path / "events.jsonl", event(1_000_000_000_000))
    assert run(["send", file]) == 0
    (message,) = received(broker, topic)
    assert message.timestamp > 1_000_000_000_000 + HOUR_MS


@pytest.mark.usefixtures("topic")
def test_a_codec_that_is_not_the_topics_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "events.jsonl", event(1_768_219_200_000))
    assert run(["send", file, "--codec", "posthog"]) == 1
    assert "posthog" in capsys.readouterr().err


def test_a_broker_that_is_away_ends_with_status_one_and_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUSTER_KAFKA", "127.0.0.1:1")
    file = write(tmp_path / "events.jsonl", event(1_768_219_200_000))
    assert run(["send", file]) == 1
    assert "127.0.0.1:1" in capsys.readouterr().err
