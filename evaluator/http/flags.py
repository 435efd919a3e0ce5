"""POST /flags and POST /decide: every flag of a team for one distinct id, in PostHog's shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from random import getrandbits
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec

from cohort_store.errors import BadEvent
from cohort_store.freshness import data_age_ms
from evaluator.deciding.condition_sets import Who
from evaluator.deciding.condition_tree import properties_tested
from evaluator.deciding.evaluation import cohorts_asked, decide_all, describe
from evaluator.deciding.flag_quality import flag_qualities
from evaluator.deciding.flags import CompiledFlag, FlagAnswer
from evaluator.definitions.catalog import TeamCatalog
from evaluator.http.bodies import decode_body
from evaluator.http.flag_request import FlagsRequest, anonymous_of, checked_id, device_of, groups_of, token_of
from evaluator.http.flag_versions import FilledIn, FlagsAnswer, FlagsMuster, shape_of, shaped
from evaluator.http.messages import Request, Response, answer, invalid
from evaluator.http.person_reading import PersonRead, read_person
from evaluator.http.service import Service
from evaluator.reading.person_properties import described


class Asked(NamedTuple):
    """Whom an answer is about, which properties the request brought, and what the flags answered."""

    person: PersonRead
    brought: Mapping[str, Any]
    answers: Mapping[str, FlagAnswer]


class Evaluated(NamedTuple):
    """An answer without the block on its quality, and what that block is made of."""

    answer: FlagsAnswer
    flags: Sequence[CompiledFlag]
    asked: Asked


_decoder = msgspec.json.Decoder(FlagsRequest)
_PROCESS = str(uuid4())[:24]
_requests = count(getrandbits(48))


async def post_flags(service: Service, request: Request) -> Response:
    found = await _answer(service, request)
    return answer(shaped(found, shape_of(request)))


async def post_decide(service: Service, request: Request) -> Response:
    found = await _answer(service, request)
    return answer(shaped(found, shape_of(request, decide=True), decide=True))


async def _answer(service: Service, request: Request) -> FlagsAnswer:
    body = decode_body(request, _decoder)
    catalog = service.registry.catalog.team(service.team_of(*token_of(body)))
    return await answer_flags(service, catalog, body, wants_muster=request.wants("x-muster", "muster"))


async def answer_flags(
    service: Service, catalog: TeamCatalog, body: FlagsRequest, *, wants_muster: bool
) -> FlagsAnswer:
    """The answer to a request whose team is known. Raises Problem."""
    found, flags, asked = await evaluate(service, catalog, body)
    if not wants_muster:
        return found
    block = _quality(service, flags, catalog, asked, found.evaluated_at)
    return msgspec.structs.replace(found, muster=block)


async def evaluate(service: Service, catalog: TeamCatalog, body: FlagsRequest) -> Evaluated:
    """The flags of a request whose team is known, for every API that asks about flags. Raises Problem."""
    distinct_id = checked_id(str(body.distinct_id))
    flags = () if body.disable_flags else _selected(catalog, body.flag_keys_to_evaluate)
    asked = await read_person(service, catalog, flags, distinct_id, body.person_properties or {})
    asked = await with_what_else_was_brought(service, catalog, flags, body, asked)
    now = service.clock.now_ms()
    try:
        answers, unavailable = decide_all(flags, asked.person, now)
    except BadEvent as error:
        raise invalid("person_properties", error.reason, f"{error.detail}; send flat properties") from None
    service.metrics.flags_answered(len(answers), unavailable)
    service.tally.count(catalog.team, answers.values())
    found = FlagsAnswer(
        flags=answers,
        errors_while_computing_flags=bool(unavailable or catalog.refused) or not service.registry.loaded,
        request_id=_request_id(),
        evaluated_at=now,
    )
    return Evaluated(found, flags, Asked(asked, body.person_properties or {}, answers))


async def with_what_else_was_brought(
    service: Service, catalog: TeamCatalog, flags: Sequence[CompiledFlag], body: FlagsRequest, asked: PersonRead
) -> PersonRead:
    """Her groups and device, and in whose place she came, where one of the flags must know that."""
    person, groups, device_id = asked.person, groups_of(body, catalog.group_types), device_of(body)
    if groups or device_id:
        person = person._replace(groups=groups, device_id=device_id)
    if asked.read is not None and catalog.continuous and any(flag.continuous for flag in flags):
        anonymous = anonymous_of(body)
        # Where the store did not answer it is not asked again: that would only take its time once more.
        hash_keys = None
        if asked.read.membership is not None:
            hash_keys = await service.continuity.hash_keys(
                catalog.team, person.distinct_id, asked.read.person, anonymous, catalog.continuous
            )
        person = person._replace(hash_keys=hash_keys)
    return asked if person is asked.person else asked._replace(person=person)


def _quality(
    service: Service, flags: Sequence[CompiledFlag], catalog: TeamCatalog, asked: Asked, now: int
) -> FlagsMuster:
    of_person, brought, answers = asked
    person, read = of_person.person, of_person.read
    membership, known = person.membership, person.known
    cohorts = {
        key: describe(cohort, membership, service.stale_after_ms, now, known)
        for key, cohort in cohorts_asked(flags).items()
    }
    trees = {flag.key: catalog.trees.get(flag.key, ()) for flag in flags}
    who = Who(person.distinct_id, person.properties, now, person.groups, person.device_id, person.hash_keys)
    return FlagsMuster(
        registry_version=service.registry.catalog.version,
        definitions_from=service.registry.origin,
        person=read.person if read else None,
        data_age_ms=data_age_ms(membership, now) if membership and membership.ready is not None else None,
        cohorts=cohorts,
        filled_in=_filled_in(catalog, flags, of_person),
        unread=sorted(of_person.filled.unread),
        flags=flag_qualities(flags, trees, who, cohorts, answers),
        properties=sorted(properties_tested(trees.values()) & brought.keys()),
        from_cache=known is not None,
        refused=dict(catalog.refused),
    )


def _filled_in(catalog: TeamCatalog, flags: Sequence[CompiledFlag], asked: PersonRead) -> dict[str, FilledIn]:
    registers = (asked.read.registers if asked.read else None) or {}
    return {
        name: FilledIn(
            flags=tuple(flag.key for flag in flags if name in catalog.tested.get(flag.key, ())),
            **msgspec.structs.asdict(kept),
        )
        for name, kept in described(registers, asked.filled.names).items()
    }


def _selected(catalog: TeamCatalog, keys: list[str] | None) -> Sequence[CompiledFlag]:
    if keys is None:
        return tuple(catalog.flags.values())
    return [catalog.flags[key] for key in dict.fromkeys(keys) if key in catalog.flags]


def _request_id() -> str:
    # In the form of a UUID of version 4, random once a process and counted from there: it is no secret, but what joins
    # an answer with an SDK's report of it.
    return f"{_PROCESS}{next(_requests) & 0xFFFFFFFFFFFF:012x}"
