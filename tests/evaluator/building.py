"""What the evaluator's tests are written with: definitions, a registry of them, and a store with people in it."""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cohort_store.compiling import assign
from cohort_store.definitions import parse_cohort
from cohort_store.flags import parse_flag, plain_flag
from cohort_store.freshness import CohortView
from cohort_store.ports import DistinctIdWrite, Membership, MembershipStore, Position, RecordWrite, ShardCommit
from cohort_store.records import Record, Register, encode_record
from cohort_store.registry import Registry
from cohort_store.subjects import DISTINCT_ID, PERSON, Subject, shard_of
from cohort_store.timelines import Timeline
from cohort_store.warming import WarmUp
from evaluator.deciding.condition_sets import Who
from evaluator.deciding.flags import CompiledFlag, FlagAnswer, compile_flag
from evaluator.definitions.catalog import cohorts_by_name

SHARDS = 8
NOW_MS = 1_768_222_800_000
DAY_MS = 86_400_000

BUYERS = {"key": "buyers", "name": "Buyers", "when": {"kind": "performed", "event": "purchase", "within": "7d"}}
SLEEPERS = {"key": "sleepers", "when": {"not": {"kind": "performed", "event": "open", "within": "30d"}}}
UNLISTED = {"key": "unlisted", "listed": False, "when": {"kind": "performed", "event": "open", "within": "1d"}}
COHORTS = (BUYERS, SLEEPERS, UNLISTED)


def person_is(key: str, operator: str, value: Any = None) -> dict[str, Any]:
    return {"type": "person", "key": key, "operator": operator, "value": value}


def in_cohort(value: int | str, operator: str = "in") -> dict[str, Any]:
    return {"type": "cohort", "key": "id", "operator": operator, "value": value}


def flag(key: str, *groups: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """A flag's JSON: condition sets, then filters' other keys, then the flag's own."""
    own: dict[str, Any] = {
        name: fields.pop(name) for name in ("active", "muster", "name", "id", "version") if name in fields
    }
    return {"key": key, "filters": {"groups": list(groups), **fields}, **own}


def variants(**percentages: float) -> dict[str, Any]:
    return {"variants": [{"key": key, "rollout_percentage": share} for key, share in percentages.items()]}


def registry_of(
    flags: Iterable[Mapping[str, Any]] = (),
    cohorts: Sequence[Mapping[str, Any]] = COHORTS,
    before: Registry | None = None,
    *,
    now: int = NOW_MS,
    group_types: Mapping[str, int] | None = None,
) -> Registry:
    """The registry in which these are in force, for team 1."""
    plain = [plain_flag(parse_flag(each)) for each in flags]
    parsed = [parse_cohort(each) for each in cohorts]
    types = {1: group_types or {}}
    return assign(before or Registry(), parsed, {1: plain}, applied="test", now=now, group_types=types)


def cohort_view(key: str = "buyers", number: int = 1, **fields: Any) -> CohortView:
    """A cohort whose active version came with registry version 5, warm after a day."""
    usual: dict[str, Any] = {
        "id": number,
        "key": key,
        "name": "",
        "listed": True,
        "handle": 10 + number,
        "number": 1,
        "complemented": False,
        "registry_version": 5,
        "known_in": 5,
        "activated_ms": NOW_MS,
        "warm_up": WarmUp(DAY_MS),
    }
    return CohortView(**usual | fields)


def membership(*handles: int, **fields: Any) -> Membership:
    """What a shard that has folded registry version 5, and is warm, says."""
    usual: dict[str, Any] = {"ready": 5, "now_ms": NOW_MS + DAY_MS, "stale": False, "warm_from_ms": 0}
    return Membership(handles=frozenset(handles), **usual | fields)


def compiled(raw: Mapping[str, Any], *cohorts: CohortView) -> CompiledFlag:
    return compile_flag(parse_flag(raw), cohorts_by_name(cohorts))


def decided(
    raw: Mapping[str, Any],
    distinct_id: str = "ada",
    properties: Mapping[str, Any] | None = None,
    members: Mapping[CohortView, bool | None] | None = None,
    now: int = NOW_MS,
    **more: Any,
) -> FlagAnswer:
    """The flag's answer at `now` where each cohort says what `members` says of it. `more` are fields of `Who`."""
    asked = dict(members or {})
    who = Who(distinct_id, properties or {}, now, **more)
    return compiled(raw, *asked).decide(who, asked.__getitem__, lambda c: f"{c.key} is away")


async def store_people(
    store: MembershipStore,
    people: Mapping[str, Iterable[int]],
    *,
    lines: Mapping[str, Mapping[int, Timeline]] | None = None,
    registers: Mapping[str, Mapping[str, Register]] | None = None,
    shards: int = SHARDS,
    pairs: Mapping[str, str] | None = None,
    position: Mapping[str, Any] | None = None,
    unlisted: Iterable[int] = (),
) -> None:
    """Commit, once a shard, people with the handles they are stored in, and distinct ids with their persons.

    `lines` has timelines, and `registers` properties, of those who have some.
    """
    standing = {"partition": 0, "partitions": 8, "now_ms": NOW_MS, "ready": 1} | dict(position or {})
    held = await store.positions(range(shards))
    for shard in range(shards):
        records = tuple(
            RecordWrite(
                subject,
                encode_record(
                    Record(frozenset(handles), (lines or {}).get(subject.id, {}), (registers or {}).get(subject.id, {}))
                ),
                joined=tuple(handles),
            )
            for subject, handles in ((Subject(1, PERSON, person), tuple(stored)) for person, stored in people.items())
            if shard_of(subject, shards) == shard
        )
        writes = tuple(
            DistinctIdWrite(1, distinct_id, person, NOW_MS)
            for distinct_id, person in (pairs or {}).items()
            if shard_of(Subject(1, DISTINCT_ID, distinct_id), shards) == shard
        )
        expected = held[shard].commit_id if shard in held else None
        now = Position(os.urandom(16), **standing)
        await store.commit([ShardCommit(shard, expected, now, records, writes, unlisted=frozenset(unlisted))])
