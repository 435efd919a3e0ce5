"""A commit as the arguments of ``commit.lua``. Frozen by a golden test."""

from __future__ import annotations

from collections.abc import Sequence

from cohort_store.ports import DistinctIdWrite, RecordWrite, ShardCommit
from cohort_store.redis.keys import pack_distinct_id, pack_member, pack_person, pack_position, pack_subject
from cohort_store.redis.link import Argument

_NEVER = "+inf"


def encode_commit(commit: ShardCommit) -> list[Argument]:
    """The script's arguments; their order stands at the head of the script.

    Why not one packed argument: the server's msgpack knows no binary strings, and arguments need no unpacking.
    """
    position = pack_position(commit.position)
    arguments: list[Argument] = [commit.expected or b"", len(position), *position]
    if commit.records:
        sets = _add_records(arguments, commit.records)
    else:
        sets = False
        arguments += (0, 0, 0, 0)
    people = _people([write for write in commit.distinct_ids if write.person])
    arguments += (len(people), *people, len(commit.changes), *commit.changes)
    unlisted = commit.unlisted if sets else ()
    arguments += (len(unlisted), *unlisted)
    nobodys = _nobodys([write for write in commit.distinct_ids if not write.person])
    if nobodys:
        arguments += (len(nobodys), *nobodys)
    return arguments


def _add_records(arguments: list[Argument], writes: tuple[RecordWrite, ...]) -> bool:
    """Add the sections about records; whether there are sets among them."""
    records: list[Argument] = []
    rearmed: list[Argument] = []
    sets: list[Argument] = []
    deleted: list[Argument] = []
    for subject, record, joined, departed, due_ms, rearm in writes:
        packed = pack_subject(subject)
        if record is None:
            deleted += (packed, pack_member(subject))
            continue
        section = rearmed if rearm else records
        section += (packed, record, _NEVER if due_ms is None else str(due_ms))
        if joined or departed:
            sets += (packed, pack_member(subject), len(joined), *joined, len(departed), *departed)
    for section in (records, rearmed, sets, deleted):
        arguments.append(len(section))
        arguments += section
    return bool(sets)


def _nobodys(writes: Sequence[DistinctIdWrite]) -> list[Argument]:
    nobodys: list[Argument] = []
    for write in writes:
        nobodys += (
            pack_distinct_id(write.team, write.distinct_id),
            pack_person(write.version, ""),
            max(1, write.kept_ms),
        )
    return nobodys


def _people(writes: Sequence[DistinctIdWrite]) -> list[bytes]:
    people: list[bytes] = []
    for write in writes:
        people += (pack_distinct_id(write.team, write.distinct_id), pack_person(write.version, write.person))
    return people
