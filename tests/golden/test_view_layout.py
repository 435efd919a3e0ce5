"""The view's keys and values, frozen byte for byte, as `tests/golden/test_formats.py` freezes what is in a record.

Bytes stand in the files as Python prints them. A layout that moved would part everybody from her record.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cohort_store.ports import DistinctIdWrite, Offset, Position, RecordWrite, ShardCommit
from cohort_store.redis import keys
from cohort_store.redis.commits import encode_commit
from cohort_store.redis.link import pack
from cohort_store.subjects import Subject

FOLDER = Path(__file__).parent
UUID = "0191d3c4-5b6a-7c8d-9e0f-112233445566"
POSITION = Position(
    commit_id=b"\x00:\xff new commit",
    partition=5,
    partitions=8,
    now_ms=1_768_222_800_000,
    ready=41,
    offsets={"muster.deltas": Offset(123_456, b"message \xfe"), "muster.seeds": Offset(0, b"")},
    sequence=1_768_222_800_000_000,
    changes_offset=77,
    stale=True,
    warm_from_ms=1_768_000_000_000,
)
COMMIT = ShardCommit(
    shard=5,
    expected=b"old commit",
    position=POSITION,
    records=(
        RecordWrite(Subject(1, 0, UUID), b"\x01 record", joined=(7, 300), departed=(8,), due_ms=1_768_222_900_000),
        RecordWrite(Subject(1, 0, "text id"), b"\x01"),
        RecordWrite(Subject(1, 1, "acme"), b"\x01", due_ms=1_768_222_900_001, rearm=True),
        RecordWrite(Subject(1, 15, "d:1"), b"\x01", rearm=True),
        RecordWrite(Subject(1, 0, "gone"), None, departed=(7,)),
    ),
    distinct_ids=(DistinctIdWrite(1, "d:1", UUID, 3),),
    changes=(b"change 1", b"change 2"),
    unlisted=frozenset({8}),
)


def golden(name: str) -> Any:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def written(value: bytes) -> str:
    return repr(value)[2:-1]


def read(text: str) -> bytes:
    return text.encode("ascii").decode("unicode_escape").encode("latin-1")


@pytest.mark.parametrize("row", golden("view_subjects.json"), ids=lambda row: row["subject"])
def test_a_subject_is_written_and_read_as_these_very_bytes(row: dict[str, Any]) -> None:
    subject = Subject(row["team"], row["kind"], row["id"])
    shard = keys.ShardKeys("m", 5)
    assert written(keys.pack_subject(subject)) == row["packed"]
    assert written(keys.pack_member(subject)) == row["member"]
    assert written(shard.record(subject)) == "{m:5}:p:" + row["packed"]
    assert written(shard.memberships(subject)) == "{m:5}:u:" + row["packed"]
    team, _, packed_id = row["packed"].split(":", 2)
    assert written(shard.person(subject.team, subject.id)) == f"{{m:5}}:d:{team}:{packed_id}"
    assert written(shard.hash_keys(subject)) == "{m:5}:h:" + row["packed"]
    assert keys.unpack_subject(read(row["packed"])) == subject
    assert keys.unpack_member(read(row["member"])) == subject.id


def test_no_two_members_of_different_subjects_are_the_same_bytes() -> None:
    members = [row["member"] for row in golden("view_subjects.json")]
    assert len(set(members)) == len(members)


def test_a_shard_has_these_keys_under_one_hash_tag() -> None:
    shard = keys.Layout("m")[5]
    single = [shard.prefix, shard.pos, shard.timers, shard.outbox, shard.counts, shard.bucket(300, 12)]
    assert single == [b"{m:5}:", b"{m:5}:pos", b"{m:5}:timers", b"{m:5}:outbox", b"{m:5}:n", b"{m:5}:c:300:12"]


def test_a_position_is_a_hash_of_these_fields() -> None:
    fields = keys.pack_position(POSITION)
    held = dict(zip(map(written, fields[::2]), map(written, fields[1::2]), strict=True))
    assert held == golden("view_position.json")
    assert (
        keys.unpack_position([read(text) for pair in golden("view_position.json").items() for text in pair]) == POSITION
    )
    assert fields[0] == b"commit"


def test_a_position_from_which_something_was_let_go_has_one_field_more() -> None:
    position = POSITION._replace(readers_from=7)
    fields = keys.pack_position(position)
    pairs = set(zip(fields[::2], fields[1::2], strict=True))
    former = keys.pack_position(POSITION)
    assert pairs - set(zip(former[::2], former[1::2], strict=True)) == {(b"readers_from", b"7")}
    assert keys.unpack_position(fields) == position


def test_a_persons_version_is_in_front_of_her_id_in_an_order_that_bytes_keep() -> None:
    assert keys.pack_person(3, "p:é") == b"\x80\x00\x00\x00\x00\x00\x00\x03p:\xc3\xa9"
    assert keys.unpack_person(b"\x80\x00\x00\x00\x00\x00\x00\x03p:\xc3\xa9") == "p:é"
    versions = [-(2**63), -1, 0, 1, 255, 256, 2**53 + 1, 2**63 - 1]
    packed = [keys.pack_person(version, "p") for version in versions]
    assert packed == sorted(packed)


def test_a_distinct_id_that_is_nobodys_has_a_version_alone_and_a_section_behind_all_others() -> None:
    assert keys.unpack_person(keys.pack_person(6, "")) is None
    nobodys = COMMIT._replace(distinct_ids=(*COMMIT.distinct_ids, DistinctIdWrite(1, "d:2", "", 6, kept_ms=1_000)))
    arguments = [written(argument_bytes(argument)) for argument in encode_commit(nobodys)]
    packed = r"\x80\x00\x00\x00\x00\x00\x00\x06"
    assert arguments == [*golden("view_commit.json"), "3", "1:d:2", packed, "1000"]


@pytest.mark.parametrize("version", [-(2**63) - 1, 2**63])
def test_a_version_beyond_64_bits_is_refused_by_name(version: int) -> None:
    with pytest.raises(ValueError, match=f"version {version} of person 'p' does not fit into 64 bits"):
        keys.pack_person(version, "p")


def test_a_commit_becomes_these_arguments_in_this_order() -> None:
    assert [written(argument_bytes(argument)) for argument in encode_commit(COMMIT)] == golden("view_commit.json")


def test_an_empty_commit_is_its_position_and_empty_sections() -> None:
    position = POSITION._replace(offsets={})
    arguments = encode_commit(ShardCommit(5, None, position))
    assert arguments == [b"", 18, *keys.pack_position(position), 0, 0, 0, 0, 0, 0, 0]


def argument_bytes(argument: bytes | str | int) -> bytes:
    """As it goes over the wire."""
    return pack(argument).split(b"\r\n", 2)[2].removesuffix(b"\r\n")
