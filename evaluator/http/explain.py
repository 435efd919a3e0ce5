"""POST /flags/explain: why flags answer what they do, for any person, with what-ifs, now, later or in the past."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from cohort_store.durations import format_instant, parse_instant_ms
from cohort_store.errors import BadEvent, MusterError
from cohort_store.explaining import explain
from cohort_store.flags import FlagDefinition, parse_flag
from cohort_store.freshness import CohortView, member_of, status_of, trouble_with
from cohort_store.ports import Membership
from cohort_store.records import EMPTY, Record, decode_record
from cohort_store.subjects import ID_BYTES_MAX, PERSON, Subject
from evaluator.deciding.explaining import (
    ExplainedCohort,
    ExplainedFlag,
    MembershipSource,
    Question,
    cohorts_of,
    explain_flag,
)
from evaluator.definitions.catalog import TeamCatalog, flags_by_name
from evaluator.http.bodies import decode_body
from evaluator.http.cohorts import cohort_named
from evaluator.http.flag_request import groups_among
from evaluator.http.messages import Problem, ProblemBody, Request, Response, answer, invalid, not_found
from evaluator.http.person_reading import wanted_properties
from evaluator.http.service import Service, within_deadline
from evaluator.reading.past import PastMemberships, Told
from evaluator.reading.person_properties import Filled, KeptProperty, described, fill_in

FLAGS_MAX = 100
"""Flags explained at once; a team that has more names those that it means."""
HISTORY_DEADLINE_S = 10.0


class ExplainRequest(msgspec.Struct):
    """Whom to explain flags for. Fields that are not named here are ignored."""

    distinct_id: str | int
    flag_keys_to_evaluate: list[str] | None = None
    """Only these flags; needed where the team has more than 100."""
    person_properties: dict[str, Any] = {}
    """As a request for flags would bring them."""
    groups: dict[str, Any] | None = None
    group_properties: dict[str, dict[str, Any] | None] | None = None
    device_id: str = ""
    memberships: dict[str, bool] = {}
    """What if: cohorts by key or id, each with whether the person is in it, in place of what is stored."""
    at: str | None = None
    """Another instant, ISO 8601. In the past: memberships out of ClickHouse's history, properties as given. Later: as
    it will be if nothing more is done."""


class ExplainAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Every flag that was asked about, and every cohort that one of them asks."""

    distinct_id: str
    person: str
    """The person that the distinct id stands for; memberships are hers, hashes are the distinct id's."""
    known: bool
    """Whether anything is stored of her."""
    at: str
    """The instant that flags are decided for."""
    source: MembershipSource
    """Where memberships come from that were not given."""
    registry_version: int
    flags: dict[str, ExplainedFlag]
    cohorts: dict[str, ExplainedCohort] = {}
    """By key."""
    properties: dict[str, Any] = {}
    """Those that the tests saw."""
    filled_in: dict[str, KeptProperty] = {}
    """Those of them that the question did not bring, as Muster keeps them. Of a past instant none is known."""
    unread: list[str] = []
    """Those that it did not bring, that flags test, and that could not be read."""
    refused: dict[str, str] = {}
    """Flags that this evaluator cannot read, with the reason."""


class _Standing(NamedTuple):
    """What is stored of the person, and when that is true."""

    person: str
    record: Record | None
    membership: Membership


async def post_explain(service: Service, request: Request) -> Response:
    catalog = service.authorized(request)
    body = decode_body(request, _decoder)
    distinct_id = _checked(str(body.distinct_id))
    flags = _definitions(catalog, body.flag_keys_to_evaluate)
    standing = await _standing(service, catalog.team, distinct_id)
    now = service.clock.now_ms()
    at, source = _instant(body.at, standing.membership, now)
    given = {cohort_named(catalog, key, f"memberships.{key}"[:100]).key: held for key, held in body.memberships.items()}
    asked = {key: view for flag in flags for key, view in cohorts_of(catalog.flags[flag.key]).items()}
    if source is MembershipSource.HISTORY and asked.keys() - given.keys():
        told = await _told(service.past, catalog.team, standing.person, at)
        found = {key: _by_history(view, told) for key, view in asked.items()}
    else:
        found = {key: _by_record(service, catalog, view, standing, at, source) for key, view in asked.items()}
    cohorts = {key: _given(asked[key], given[key]) if key in given else each for key, each in found.items()}
    filled = _filled(catalog, flags, body.person_properties, standing, source)
    question = Question(
        distinct_id,
        filled.properties,
        at,
        cohorts,
        filled.names,
        filled.unread,
        flags=flags_by_name(catalog.flags.values()),
        groups=groups_among(body.groups, body.group_properties, catalog.group_types),
        device_id=body.device_id,
        hash_keys=await _hash_keys(service, catalog, distinct_id, standing.person, flags),
    )
    return answer(
        ExplainAnswer(
            distinct_id=distinct_id,
            person=standing.person,
            known=standing.record is not None,
            at=format_instant(at),
            source=source,
            registry_version=service.registry.catalog.version,
            flags=_explained(catalog, flags, question),
            cohorts=cohorts,
            properties=dict(filled.properties),
            filled_in=described(standing.record.registers if standing.record else {}, filled.names),
            unread=sorted(filled.unread),
            refused=dict(catalog.refused),
        )
    )


_decoder = msgspec.json.Decoder(ExplainRequest)


def _filled(
    catalog: TeamCatalog,
    flags: Iterable[FlagDefinition],
    brought: Mapping[str, Any],
    standing: _Standing,
    source: MembershipSource,
) -> Filled:
    """What the tests see: as in a request for flags. What is kept says nothing of an instant that is past."""
    if source is MembershipSource.HISTORY:
        return Filled(brought)
    wanted = wanted_properties(catalog, [catalog.flags[flag.key] for flag in flags], brought)
    # A shard without a position has lost its records: that nothing is there says nothing of her then.
    is_known = standing.membership.ready is not None
    return fill_in(brought, wanted, (standing.record or EMPTY).registers if is_known else None)


async def _hash_keys(
    service: Service, catalog: TeamCatalog, distinct_id: str, person: str, flags: Iterable[FlagDefinition]
) -> Mapping[str, str] | None:
    """In whose place the person came, where a flag must know it. Nothing is kept for a question."""
    if not any(catalog.flags[flag.key].continuous for flag in flags):
        return {}
    return await service.continuity.hash_keys(catalog.team, distinct_id, person, None, catalog.continuous)


def _explained(catalog: TeamCatalog, flags: Iterable[FlagDefinition], question: Question) -> dict[str, ExplainedFlag]:
    changed = catalog.registry.flags_changed_ms
    try:
        return {
            flag.key: explain_flag(catalog.flags[flag.key], flag, question, changed.get(flag.key)) for flag in flags
        }
    except BadEvent as error:
        raise invalid("person_properties", error.reason, f"{error.detail}; send flat properties") from None


def _definitions(catalog: TeamCatalog, keys: list[str] | None) -> list[FlagDefinition]:
    wanted = list(catalog.flags) if keys is None else list(dict.fromkeys(keys))
    if len(wanted) > FLAGS_MAX:
        detail = f"{len(wanted)} flags; at most {FLAGS_MAX} are explained at once: name some in flag_keys_to_evaluate"
        raise invalid("flag_keys_to_evaluate", "too_many", detail)
    missing = next((key for key in wanted if key not in catalog.flags), None)
    if missing is not None:
        refused = catalog.refused.get(missing)
        detail = f"this evaluator cannot read it: {refused}" if refused else "no flag has that key"
        raise not_found("flag_not_found", f"flag {missing[:100]!r}: {detail}", "flag_keys_to_evaluate")
    chosen = set(wanted)
    raw = (each for each in catalog.registry.flags if isinstance(each, Mapping) and each.get("key") in chosen)
    return [parse_flag(each) for each in raw]


async def _standing(service: Service, team: int, distinct_id: str) -> _Standing:
    person = (await within_deadline(service.reader.persons([(team, distinct_id)])))[0] or distinct_id
    subject = Subject(team, PERSON, person)
    raw = (await within_deadline(service.reader.records([subject])))[0]
    # Read behind the record, so that the record is never of a later instant than the answer.
    membership = (await within_deadline(service.reader.memberships([subject])))[0]
    return _Standing(person, None if raw is None else decode_record(raw), membership)


def _instant(text: str | None, membership: Membership, now: int) -> tuple[int, MembershipSource]:
    """The instant of the question, and where it is answered from."""
    if text is None:
        return now, MembershipSource.STORE
    try:
        at = parse_instant_ms(text)
    except ValueError as error:
        raise invalid("at", "invalid_input", str(error)) from None
    return at, MembershipSource.HISTORY if at < membership.now_ms else MembershipSource.RECORD


def _by_record(
    service: Service, catalog: TeamCatalog, view: CohortView, standing: _Standing, at: int, source: MembershipSource
) -> ExplainedCohort:
    """A cohort's answer by what is stored of the person; with the reason where anything can be said."""
    membership = standing.membership
    member = member_of(view, membership)
    cohort = catalog.registry.cohort(view.key)
    why = None
    if member is not None and cohort is not None and cohort.active is not None:
        instant = membership.now_ms if source is MembershipSource.STORE else at
        why = explain(standing.record or EMPTY, catalog.registry, cohort, cohort.active, instant)
    return ExplainedCohort(
        key=view.key,
        id=view.id,
        version=view.number,
        source=source,
        member=member if source is MembershipSource.STORE or why is None else why.member,
        status=status_of(view, membership, service.stale_after_ms, service.clock.now_ms()),
        detail=trouble_with(view, membership) if member is None else None,
        why=why,
    )


def _by_history(view: CohortView, told: Told) -> ExplainedCohort:
    member = told.members.get(view.id)
    said = "entered" if member else "left"
    return ExplainedCohort(
        key=view.key,
        id=view.id,
        version=view.number,
        source=MembershipSource.HISTORY,
        member=view.complemented if member is None else member,
        detail="nothing was told of her by then" if member is None else f"what was told last by then: {said}",
    )


def _given(view: CohortView, member: bool) -> ExplainedCohort:
    return ExplainedCohort(view.key, view.id, view.number, MembershipSource.GIVEN, member)


async def _told(past: PastMemberships | None, team: int, person: str, at: int) -> Told:
    """The history's answer. Problem 409 where there is none for that instant, 503 where it cannot be asked."""
    if past is None:
        detail = (
            "what is stored answers for later instants only, and there is no ClickHouse to ask about the past: set "
            "MUSTER_CLICKHOUSE, or give every cohort that the flags ask in memberships"
        )
        raise Problem(409, ProblemBody("conflict", "past", detail, "at"))
    try:
        async with asyncio.timeout(HISTORY_DEADLINE_S):
            told = await past.told(team, person, at)
    except (MusterError, TimeoutError) as error:
        detail = f"ClickHouse cannot be asked about the past now: {str(error) or 'it took too long'}"
        raise Problem(503, ProblemBody("unavailable", "history_unreachable", detail, "at")) from None
    if told.begins_ms is None or at < told.begins_ms:
        known = (
            "none is written down" if told.begins_ms is None else f"the first is of {format_instant(told.begins_ms)}"
        )
        detail = f"changes of membership tell nothing of {format_instant(at)}: {known}; ask for a later instant"
        raise Problem(409, ProblemBody("conflict", "before_history", detail, "at"))
    return told


def _checked(distinct_id: str) -> str:
    if not distinct_id or len(distinct_id.encode(errors="surrogatepass")) > ID_BYTES_MAX:
        detail = f"distinct_id has {len(distinct_id)} characters; an id has 1 to {ID_BYTES_MAX} bytes"
        raise invalid("distinct_id", "invalid_input", detail)
    return distinct_id
