"""What others parse, and what is stored, frozen byte for byte.

A record, a message, a change or a registry written by one version of Muster is read by the next; a hash or a canonical
text that moved would part people from their records. So none of these files changes, but for rows that are added.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka.partitioner import murmur2 as kafka_murmur2

from cohort_store.changes import Change, decode_change, encode_change
from cohort_store.compiling import activate, assign, drop_retired
from cohort_store.conditions.performed import Performed
from cohort_store.definitions import parse_cohort, to_plain
from cohort_store.deltas import (
    Delta,
    DeltaEntry,
    DeltaMessage,
    Erasure,
    Mark,
    RegisterWrite,
    Restored,
    ShardDeltas,
    Stretch,
    decode_message,
    encode_message,
)
from cohort_store.errors import BadRecord, Crash, Reject
from cohort_store.flag_evaluations import FlagEvaluations, decode_evaluations, encode_evaluations
from cohort_store.plans import conditions_of
from cohort_store.records import Forgotten, Record, decode_record, decode_registers, encode_record
from cohort_store.registry import Registry, TeamRegistry, decode_registry, encode_registry
from cohort_store.subjects import Subject, murmur2, shard_of
from cohort_store.timelines import tag_of

FOLDER = Path(__file__).parent


def rows(name: str) -> Any:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def cases(name: str, title: str) -> list[Any]:
    return [pytest.param(row, id=row[title]) for row in rows(name)]


@pytest.mark.parametrize("row", cases("records.json", "record"))
def test_a_record_is_written_and_read_as_these_very_bytes(row: dict[str, Any]) -> None:
    record = Record(
        frozenset(row["memberships"]),
        {int(selector): tuple(map(tuple, line)) for selector, line in row["timelines"].items()},
        {name: (version, value) for name, (version, value) in row["registers"].items()},
        tuple((time_ms, selector, tag) for time_ms, selector, tag in row["ahead"]),
        {int(selector): lost_ms for selector, lost_ms in row["inexact"].items()},
        Forgotten(*row["forgotten"]) if "forgotten" in row else None,
    )
    assert encode_record(record).hex() == row["hex"]
    assert decode_record(bytes.fromhex(row["hex"])) == record
    assert decode_registers(bytes.fromhex(row["hex"])) == record.registers


@pytest.mark.parametrize("row", cases("deltas.json", "message"))
def test_a_delta_message_is_written_and_read_as_these_very_bytes(row: dict[str, Any]) -> None:
    message = DeltaMessage(
        bytes.fromhex(row["id"]),
        row["registry_version"],
        tuple(ShardDeltas(shard, tuple(map(_delta, deltas))) for shard, deltas in row["shards"]),
        tuple(Mark(*mark) for mark in row.get("marks", ())),
        is_seeds="restored" in row,
        restored=tuple(Restored(*each) for each in row.get("restored", ())),
        mended=Stretch(*row["mended"]) if "mended" in row else None,
        erasure=Erasure(*row["erasure"]) if "erasure" in row else None,
    )
    assert encode_message(message).hex() == row["hex"]
    assert decode_message(bytes.fromhex(row["hex"])) == message


def _delta(raw: dict[str, Any]) -> Delta:
    return Delta(
        Subject(*raw["subject"]),
        tuple(DeltaEntry(*entry) for entry in raw["entries"]),
        tuple(RegisterWrite(*write) for write in raw["registers"]),
        raw["arrival_ms"],
    )


@pytest.mark.parametrize("row", cases("changes.json", "change"))
def test_a_change_is_written_and_read_as_this_very_json(row: dict[str, Any]) -> None:
    change = Change(**row["fields"])
    assert encode_change(change).decode() == row["json"]
    assert decode_change(row["json"].encode()) == change


def test_a_change_begins_with_the_five_fields_of_posthogs_wire_format() -> None:
    for row in rows("changes.json"):
        names = list(json.loads(row["json"]))
        assert names[:5] == ["person_id", "team_id", "cohort_id", "status", "last_updated"]


@pytest.mark.parametrize("row", cases("evaluations.json", "evaluations"))
def test_counted_evaluations_are_written_and_read_as_this_very_json(row: dict[str, Any]) -> None:
    evaluations = FlagEvaluations(**row["fields"])
    assert encode_evaluations(evaluations).decode() == row["json"]
    assert decode_evaluations(row["json"].encode()) == evaluations


@pytest.mark.parametrize("row", cases("registry.json", "registry"))
def test_a_registry_is_read_and_written_as_this_very_json(row: dict[str, Any]) -> None:
    assert encode_registry(decode_registry(row["json"].encode())).decode() == row["json"]


def test_a_teams_group_types_stand_behind_its_flags() -> None:
    made = Registry(1, teams={1: TeamRegistry(1, group_types={"company": 0})})
    assert encode_registry(made) == b'{"version":1,"teams":{"1":{"team":1,"group_types":{"company":0}}}}'
    assert decode_registry(encode_registry(made)) == made


def test_the_example_definitions_compile_to_these_very_registries() -> None:
    empty, first, second, third, fourth = (row["json"] for row in rows("registry.json")[:5])
    written = [row["written"] for row in rows("definitions.json")]
    edited = [{**written[0], "when": {**written[0]["when"], "n": 4}}, *written[1:]]
    flags = {1: ({"key": "beta", "active": True},)}
    now = 1_700_000_000_000
    assert encode_registry(Registry()).decode() == empty
    made = assign(Registry(), [parse_cohort(each) for each in written], flags, applied="a1", now=now)
    made = msgspec.structs.replace(made, sources={"muster.events": (0, 1)})
    assert encode_registry(made).decode() == first
    made = assign(made, [parse_cohort(each) for each in edited], flags, applied="a2", now=now + 1)
    assert encode_registry(made).decode() == second
    made = activate(made, made.version)
    assert encode_registry(made).decode() == third
    assert encode_registry(drop_retired(made, made.version)).decode() == fourth


@pytest.mark.parametrize("row", rows("definitions.json"), ids=lambda row: str(row["written"]["key"]))
def test_a_definition_has_this_canonical_form_and_keeps_it(row: dict[str, Any]) -> None:
    canonical = to_plain(parse_cohort(row["written"]))
    assert json.dumps(canonical) == json.dumps(row["canonical"])
    assert to_plain(parse_cohort(canonical)) == canonical


@pytest.mark.parametrize("row", rows("selectors.json"), ids=lambda row: str(row["canonical"]))
def test_a_selector_has_this_canonical_text(row: dict[str, Any]) -> None:
    leaf = {"kind": "performed", "within": "1d", **row["selection"]}
    (condition,) = conditions_of(parse_cohort({"key": "c", "when": leaf}).when)
    assert isinstance(condition, Performed)
    assert condition.selectors[0].canonical() == row["canonical"]


@pytest.mark.parametrize("row", rows("hashes.json")["murmur2"], ids=lambda row: str(row["text"]))
def test_a_text_has_kafkas_murmur2_and_a_subject_its_shard(row: dict[str, Any]) -> None:
    raw = row["text"].encode()
    assert murmur2(raw) == row["murmur2"] == kafka_murmur2(raw) % 2**32
    if row["shard_of_256"] is not None:
        assert shard_of(Subject.parse(row["text"]), 256) == row["shard_of_256"]
        assert str(Subject.parse(row["text"])) == row["text"]


def test_murmur2_gives_the_values_that_kafkas_own_tests_give() -> None:
    """Source: org.apache.kafka.common.utils.UtilsTest, testMurmur2; there the numbers are signed."""
    published = {
        b"21": -973932308,
        b"foobar": -790332482,
        b"a-little-bit-long-string": -985981536,
        b"a-little-bit-longer-string": -1486304829,
        b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
        b"abc": 479470107,
    }
    assert {text: murmur2(text) for text in published} == {text: value % 2**32 for text, value in published.items()}


@pytest.mark.parametrize("row", rows("hashes.json")["tags"], ids=lambda row: str(row["uuid"]))
def test_a_uuid_has_this_tag_whatever_its_case(row: dict[str, Any]) -> None:
    assert tag_of(row["uuid"]) == tag_of(row["uuid"].lower()) == row["tag"]


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\x01",
        b"\x02\x95\x90\x90\x90\x90\x90",
        b"\x01\x94\x90\x90\x90\x90",
        b"\x01\x95\x90\x91\x91\x02\x90\x90\x90",
        b"\x01\x95\x90\x91\x92\x02\x09\x90\x90\x90",
        b"\x01\x95\x90\x91\x93\x02\x02\x01\x90\x90\x90",
        b"\x01\x95\x90\x90\x90\x91\x01\x90",
        b"\x01\x95\x90\x90\x90\x90\x91\x01",
        b"\x01\x95\x91\xa1x\x90\x90\x90\x90",
        b"not a record",
    ],
)
def test_bytes_that_are_no_record_are_said_to_be_none(damaged: bytes) -> None:
    with pytest.raises(BadRecord):
        decode_record(damaged)


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\x01",
        b"\x03\x94\xc4\x00\x01\x90\x90",
        b"\x02\x94\xc4\x00\x01\x90\x91\xa1x",
        b"\x01\x93\xc4\x00\x01\x90",
        b"\x01\x94\xc4\x00\x01\x91\x92\x07\x91\x94\x93\x01\x00\xa1p\x91\x92\x02\x03\x90\xc0\x90",
        b"\x01\x94\xc4\x00\x01\x91\x92\x07\x91\x94\x93\x01\x00\xa1p\x91\x94\x02\xc0\x04\xc0\x90\xc0\x90",
        b"\x01\x94\xc4\x00\x01\x91\x94\x93\xa11\x00\xa1p\x90\x90\xc0\x90",
        b"\x01\x94\xc4\x00\x01\x91\x92\x07\x91\x94\x93\x01\x00\xa1p\x90\x91\x93\x01\x02\x03\xc0\x90",
        b"\x01\x94\xc4\x00\x01\x91\x92\x07\x91\x94\x93\x01\x00\xa1p\x91\x95\x02\x03\x04\xc0\xc0\x90\xc0\x90",
        b'{"id": 1}',
    ],
)
def test_bytes_that_are_no_delta_message_are_rejected(damaged: bytes) -> None:
    with pytest.raises(Reject):
        decode_message(damaged)


def test_a_timeline_that_mixes_entries_with_and_without_values_is_never_written() -> None:
    with pytest.raises(Crash, match="selector 4"):
        encode_record(Record(timelines={4: ((1, 1), (2, 2, 5))}))
