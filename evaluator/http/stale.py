"""GET /flags/stale: flags that have had their day, each with evidence and a clean-up prompt."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

import msgspec

from cohort_store.durations import format_instant
from cohort_store.errors import BadDefinition, MusterError
from cohort_store.flag_evaluations import CallRecord, Calls
from cohort_store.flags import FlagDefinition, parse_flag
from cohort_store.freshness import Status
from evaluator.definitions.catalog import TeamCatalog
from evaluator.http.cohorts import CohortRow, cohort_rows
from evaluator.http.messages import Problem, Request, Response, answer
from evaluator.http.service import Service
from evaluator.usage.clean_up import prompt
from evaluator.usage.staleness import DAY_MS, QUIET_MS, Audience, Finding, FlagFacts, findings

HISTORY_DEADLINE_S = 10.0


class StaleFlag(msgspec.Struct, frozen=True, omit_defaults=True):
    """One flag, and what is stale about it."""

    key: str
    findings: list[Finding]
    """The most decisive first."""
    prompt: str
    """For a coding assistant: how to clean up after the first finding."""
    name: str = ""
    last_called: str | None = None
    calls: int | None = None
    """Within the last 30 days; absent where calls are not known."""
    unchanged_since: str | None = None


class StaleAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The team's stale flags, and what could not be looked at."""

    at: str
    registry_version: int
    flags: list[StaleFlag]
    looked_at: int
    """How many flags there are."""
    counted_from: str | None = None
    """Since when calls are counted."""
    unknown: list[str] = []
    """What is not known, and why; flags may be stale in that respect all the same."""


async def get_stale(service: Service, request: Request) -> Response:
    catalog = service.authorized(request)
    now = service.clock.now_ms()
    unknown: list[str] = []
    record = await _calls(service, catalog.team, now, unknown)
    sizes = await _sizes(service, catalog, unknown)
    # In a thread, since thousands of flags take longer than a request for flags may wait.
    flags, looked_at = await asyncio.to_thread(_stale_flags, catalog, record, sizes, now)
    unknown += [f"flag {key}, which this evaluator cannot read: {why}" for key, why in catalog.refused.items()]
    return answer(
        StaleAnswer(
            at=format_instant(now),
            registry_version=service.registry.catalog.version,
            flags=flags,
            looked_at=looked_at,
            counted_from=_instant(record.counted_from_ms if record else None),
            unknown=unknown,
        )
    )


def _stale_flags(
    catalog: TeamCatalog, record: CallRecord | None, sizes: Mapping[str, Audience], now: int
) -> tuple[list[StaleFlag], int]:
    """The flags that have findings, and how many were looked at."""
    calls: dict[str, list[Calls]] = {}
    for each in record.calls if record else ():
        calls.setdefault(each.flag, []).append(each)
    names = {*catalog.cohorts, *(str(view.id) for view in catalog.cohorts.values())}
    stale: list[StaleFlag] = []
    flags = list(_definitions(catalog))
    for flag in flags:
        facts = FlagFacts(
            flag=flag,
            changed_ms=catalog.registry.flags_changed_ms.get(flag.key),
            counted_from_ms=record.counted_from_ms if record else None,
            last_called_ms=record.last_called_ms.get(flag.key) if record else None,
            calls=calls.get(flag.key, ()),
            audiences=sizes,
            dropped=frozenset(flag.cohorts()) - names,
        )
        found = findings(facts, now)
        if found:
            stale.append(_stale(facts, found))
    return stale, len(flags)


def _stale(facts: FlagFacts, found: list[Finding]) -> StaleFlag:
    return StaleFlag(
        key=facts.flag.key,
        findings=found,
        prompt=prompt(facts.flag, found[0]),
        name=facts.flag.name,
        last_called=_instant(facts.last_called_ms),
        calls=None if facts.counted_from_ms is None else sum(each.total for each in facts.calls),
        unchanged_since=_instant(facts.unchanged_since_ms),
    )


async def _calls(service: Service, team: int, now: int, unknown: list[str]) -> CallRecord | None:
    """What is known of calls; None where nothing is, and why is said in `unknown`."""
    if service.book is None:
        unknown.append("whether anybody calls a flag: there is no ClickHouse to ask; name one in MUSTER_CLICKHOUSE")
        return None
    try:
        async with asyncio.timeout(HISTORY_DEADLINE_S):
            record = await service.book.calls(team, now - QUIET_MS)
    except (MusterError, TimeoutError) as error:
        unknown.append(f"whether anybody calls a flag: ClickHouse cannot be asked: {str(error) or 'it took too long'}")
        return None
    if record.counted_from_ms is None:
        unknown.append("whether anybody calls a flag: no call was counted yet; control writes counts to ClickHouse")
    elif now - record.counted_from_ms < QUIET_MS:
        days = (now - record.counted_from_ms) // DAY_MS
        unknown.append(f"who called flags more than {days} days ago: calls are counted from then on")
    return record


async def _sizes(service: Service, catalog: TeamCatalog, unknown: list[str]) -> dict[str, Audience]:
    """The cohorts whose size is known for sure, by key and, where that is no cohort's key, by id."""
    try:
        rows = await cohort_rows(service, catalog)
    except Problem as problem:
        unknown.append(f"how many are in cohorts: {problem.body.detail}")
        return {}
    unsure = [row.key for row in rows if not _is_sure(row)]
    if unsure:
        unknown.append(f"how many are in {len(unsure)} cohorts, which are not ready: {', '.join(unsure[:10])}")
    sure = {row.key: row for row in rows if _is_sure(row)}
    named = {str(row.id): row for row in rows if _is_sure(row) and str(row.id) not in catalog.cohorts} | sure
    return {name: _audience(row) for name, row in named.items()}


def _is_sure(row: CohortRow) -> bool:
    return row.status is Status.OK and row.unknown == 0 and row.stored is not None


def _audience(row: CohortRow) -> Audience:
    is_nobody_stored = row.stored == 0
    return Audience(
        is_empty=is_nobody_stored and not row.complemented, is_complete=is_nobody_stored and row.complemented
    )


def _definitions(catalog: TeamCatalog) -> Iterator[FlagDefinition]:
    for raw in catalog.registry.flags:
        try:
            yield parse_flag(raw)
        except BadDefinition:
            continue  # the catalog has it among those that it refused


def _instant(time_ms: int | None) -> str | None:
    return None if time_ms is None else format_instant(time_ms)
