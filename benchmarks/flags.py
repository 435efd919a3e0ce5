"""Flags over HTTP: `POST /flags?v=2` and OFREP, beside the same server's empty handler, and what flags' number costs.

The server has one core; 64 connections and Valkey share the other. Both servers run at once and are loaded in
turns, so that the machine's noise meets both. CPU is the server's process alone: on a core of its own, a million
microseconds divided by it is the rate.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import uvloop

from benchmarks.http_load import CONNECTIONS, Question, Round, exchange, http_request, load, until_served
from benchmarks.parts import TOKEN, Bench, embedded
from benchmarks.processes import SERVER_CORE, Role
from cohort_store.compiling import assign
from cohort_store.definitions import parse_cohort
from cohort_store.flags import parse_flag, plain_flag
from cohort_store.ports import Position, RecordWrite, ShardCommit
from cohort_store.records import Record, encode_record
from cohort_store.redis.wiring import connect_mirror, connect_store
from cohort_store.registry import Registry, encode_registry
from cohort_store.subjects import PERSON, Subject, shard_of
from processors.embedded.child import choose_port

ROUNDS = 5
SECONDS_A_ROUND = 2.0
PERSONS = 1_024
"""Half of them are in as many cohorts as the middle one of MEMBERSHIPS, the others in none."""
CROWDED = 64
"""Further persons, each in as many cohorts as the last one of MEMBERSHIPS."""
FLAGS = 20
ON_COHORTS = 5
"""Of 20 flags. The others are on a property, a rollout or variants."""
FLAG_COUNTS = (1, 20, 200, 2_000)
TEAMS = tuple(enumerate(sorted(FLAG_COUNTS, key=lambda count: count != FLAGS), 1))
"""Each number of flags has a team; team 1, whose the owner's key is, has FLAGS."""
MEMBERSHIPS = (0, 10, 1_000)
OTHER_COHORTS = 1_000
"""Cohorts that no flag asks, of which persons may be members all the same."""
GOAL_RATE = 10_000
GOAL_P99_MS = 5.0
OFREP = "/ofrep/v1/evaluate/flags"
SECRET = "mus_0123456789_the-key-of-the-flags-benchmark-0000000000000"
"""The owner's key, for team 1."""


class Result(NamedTuple):
    """The rounds by name; `empty` is the floor. `half` was asked at half of what `flags` took."""

    flags: list[Round]
    empty: list[Round]
    half: Round
    others: dict[str, list[Round]]
    by_flags: dict[int, Round]
    by_memberships: dict[int, Round]


async def measure() -> Result:
    """Start both servers on the view, check answers, then load them in turns."""
    ports = choose_port(None), choose_port(None)
    tokens = {_token(count): team for team, count in TEAMS}
    with embedded({"evaluator_port": ports[0], "tokens": tokens}, broker=None) as bench:
        await _fill(bench)
        empty = {**bench.environment, "MUSTER_EVALUATOR_PORT": str(ports[1])}
        (bench.folder / "secret-key").write_text(SECRET)
        served = {**bench.environment, "MUSTER_SECRET_KEY_FILE": str(bench.folder / "secret-key")}
        servers = [
            Role(["-m", "processors.cli", "evaluator"], served, SERVER_CORE, bench.folder / "flags.log"),
            Role(["-m", "benchmarks.empty_server"], empty, SERVER_CORE, bench.folder / "empty.log"),
        ]
        try:
            for port, path in ((ports[0], "/ready"), (ports[1], "/")):
                await until_served(port, path)
            await _check(ports[0])
            return await _measure(ports, (servers[0].pid, servers[1].pid))
        finally:
            for server in servers:
                server.stop()


async def questions(port: int) -> list[Question]:
    """What is asked beside `POST /flags`: a further endpoint of the evaluator is measured by a line here."""
    bulk, single = [_ofrep(number) for number in range(PERSONS)], f"{OFREP}/flag-0"
    etags = [await _etag(port, request) for request in bulk[:CONNECTIONS]]
    definitions = _definitions()
    known = _definitions(if_none_match=await _etag(port, definitions))
    return [
        Question("OFREP, all 20", bulk),
        Question("OFREP, not modified", [_ofrep(n, if_none_match=etag) for n, etag in enumerate(etags)], 304),
        Question("OFREP, one flag", [_ofrep(number, single) for number in range(PERSONS)]),
        Question("definitions", [definitions]),
        Question("definitions, not modified", [known], 304),
    ]


def _definitions(**headers: str) -> bytes:
    return http_request("GET", "/flags/definitions?send_cohorts", b"", authorization=f"Bearer {SECRET}", **headers)


async def _etag(port: int, request: bytes) -> str:
    head = (await exchange(port, request))[0].decode()
    return next(line[6:] for line in head.splitlines() if line.lower().startswith("etag: "))


async def _measure(ports: tuple[int, int], pids: tuple[int, int]) -> Result:
    flags = Question("POST /flags?v=2", [_flags(number) for number in range(PERSONS)])
    rounds: dict[str, list[Round]] = {}
    for _ in range(ROUNDS):
        for server in range(2):
            name = "flags" if server == 0 else "empty"
            rounds.setdefault(name, []).append(await load(ports[server], pids[server], flags, SECONDS_A_ROUND))
        for other in await questions(ports[0]):
            rounds.setdefault(other.name, []).append(await load(ports[0], pids[0], other, SECONDS_A_ROUND))
    taken = statistics.median(each.rate for each in rounds["flags"])
    half = await load(ports[0], pids[0], flags, SECONDS_A_ROUND, rate=min(taken, GOAL_RATE) / 2)
    by_flags, by_memberships = {}, {}
    for count in FLAG_COUNTS:
        asked = Question(f"{count} flags", [_flags(number, _token(count)) for number in range(PERSONS)])
        by_flags[count] = await load(ports[0], pids[0], asked, SECONDS_A_ROUND)
    for count in MEMBERSHIPS:
        numbers = [number for number in range(PERSONS + CROWDED) if _memberships(number) == count]
        asked = Question(f"{count} memberships", [_flags(number) for number in numbers])
        by_memberships[count] = await load(ports[0], pids[0], asked, SECONDS_A_ROUND)
    return Result(rounds.pop("flags"), rounds.pop("empty"), half, rounds, by_flags, by_memberships)


def _memberships(number: int) -> int:
    """In how many cohorts that person is."""
    return MEMBERSHIPS[2] if number >= PERSONS else MEMBERSHIPS[number % 2]


def _token(flags: int) -> str:
    """The token of the team that has so many flags."""
    return TOKEN if flags == FLAGS else f"{TOKEN}_{flags}"


def _flag(number: int, count: int) -> dict[str, Any]:
    """One of the usual 20 and so on: a quarter on cohorts, the others on properties, rollouts and variants."""
    asked = [{"type": "cohort", "key": "id", "operator": "in", "value": f"cohort-{number % ON_COHORTS}"}]
    on_property = [{"type": "person", "key": "plan", "operator": "exact", "value": ["pro", "team"]}]
    halves = {"variants": [{"key": key, "rollout_percentage": 50} for key in ("control", "test")]}
    kinds: tuple[dict[str, Any], ...] = (
        {"groups": [{"properties": asked}]},
        {"groups": [{"properties": on_property}]},
        {"groups": [{"rollout_percentage": 30}]},
        {"groups": [{"properties": on_property, "rollout_percentage": 50}, {}], "multivariate": halves},
    )
    kind = 0 if count == 1 else number % FLAGS // ON_COHORTS
    return plain_flag(parse_flag({"key": f"flag-{number}", "filters": kinds[kind]}))


async def _fill(bench: Bench) -> None:
    """A team for each number of flags, each with the five cohorts that flags ask.

    The team with 20 flags has so many others that persons can be in all of MEMBERSHIPS.
    """
    cohorts = [
        parse_cohort({"key": key, "team": team, "when": {"kind": "performed", "event": "purchase", "within": "7d"}})
        for team, count in TEAMS
        for key in _cohort_keys(OTHER_COHORTS if count == FLAGS else 0)
    ]
    flags = {team: [_flag(number, count) for number in range(count)] for team, count in TEAMS}
    registry = assign(Registry(), cohorts, flags, applied="bench", now=0)
    await _commit_persons(bench, registry)
    mirror = connect_mirror(bench.settings)
    await mirror.publish(encode_registry(registry), registry.version)
    await mirror.aclose()


def _cohort_keys(others: int) -> Iterable[str]:
    return (*(f"cohort-{number}" for number in range(ON_COHORTS)), *(f"other-{number}" for number in range(others)))


async def _commit_persons(bench: Bench, registry: Registry) -> None:
    settings, now = bench.settings, time.time_ns() // 1_000_000
    store = connect_store(settings)
    writes: dict[int, list[RecordWrite]] = {shard: [] for shard in range(settings.shards)}
    for team, of_team in registry.teams.items():
        handles = [cohort.versions[0].handle for cohort in of_team.cohorts]
        selector = next(iter(of_team.selectors.values()))
        for number in range(PERSONS + CROWDED):
            count = _memberships(number)
            if not count:
                continue
            subject, joined = Subject(team, PERSON, f"person-{number}"), tuple(handles[:count])
            record = encode_record(Record(frozenset(joined), {selector: ((now, number),)}))
            writes[shard_of(subject, settings.shards)].append(RecordWrite(subject, record, joined))
    for shard, of_shard in writes.items():
        position = Position(b"bench", shard % settings.partitions, settings.partitions, now, registry.version)
        await store.commit([ShardCommit(shard, None, position, tuple(of_shard))])
    await store.aclose()


def _flags(number: int, token: str = TOKEN) -> bytes:
    body = {"token": token, "distinct_id": f"person-{number}", "person_properties": {"plan": "pro", "age": number % 90}}
    return http_request("POST", "/flags?v=2", json.dumps(body).encode())


def _ofrep(number: int, path: str = OFREP, **headers: str) -> bytes:
    context = {"targetingKey": f"person-{number}", "plan": "pro", "age": number % 90}
    body = json.dumps({"context": context}).encode()
    return http_request("POST", path, body, authorization=f"Bearer {TOKEN}", **headers)


async def _check(port: int) -> None:
    """Every member's flags on cohorts are on, others' are off, in either API."""
    for number in (0, 1, PERSONS):
        flags = json.loads((await exchange(port, _flags(number)))[1])["flags"]
        ofrep = {each["key"]: each for each in json.loads((await exchange(port, _ofrep(number)))[1])["flags"]}
        on = {key for key in list(flags)[:ON_COHORTS] if flags[key]["enabled"] and ofrep[key]["value"] is True}
        if len(flags) != FLAGS or len(on) != (ON_COHORTS if _memberships(number) else 0):
            raise RuntimeError(f"person-{number} is answered wrongly: {flags}")


def report(found: Result) -> None:
    """The figures, as they are quoted."""
    print(f"flags: {FLAGS}, {ON_COHORTS} of them on cohorts, {CONNECTIONS} connections; server on one core, load and")
    print("Valkey on the other. CPU µs are the server's: 1,000,000 divided by them is what a core takes")
    named: Mapping[str, Sequence[Round]] = {
        "POST /flags?v=2": found.flags,
        **found.others,
        "empty handler": found.empty,
    }
    for name, rounds in named.items():
        rate, cpu, _, p99 = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"  {name:<20} {rate:>9,.0f} requests/s  {cpu:6.1f} CPU µs/request  p99 {p99:6.1f} ms")
    ratios = [flags.rate / empty.rate for flags, empty in zip(found.flags, found.empty, strict=True)]
    costs = [empty.cpu_us / flags.cpu_us for flags, empty in zip(found.flags, found.empty, strict=True)]
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    print(f"  ratio of rates to the empty handler's {statistics.median(ratios):.2f} ({spread}), ", end="")
    print(f"of CPU {statistics.median(costs):.2f}; goal {GOAL_RATE:,}/s")
    half = found.half
    print(f"  at {half.rate:,.0f}/s: p50 {half.p50_ms:.1f} ms, p99 {half.p99_ms:.1f} ms; goal {GOAL_P99_MS:g} ms")
    for what, costs_by in (("flags", found.by_flags), ("memberships", found.by_memberships)):
        figures = ", ".join(f"{count:,}: {each.cpu_us:,.0f}" for count, each in costs_by.items())
        print(f"  CPU µs by {what}: {figures}")


if __name__ == "__main__":
    report(uvloop.run(measure()))
