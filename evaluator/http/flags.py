"""POST /flags and POST /decide: every flag of a team for one distinct id, in PostHog's shapes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from random import getrandbits
from uuid import uuid4

import msgspec

from cohort_store.errors import BadEvent
from cohort_store.freshness import data_age_ms
from cohort_store.hash_keys import HashKeys
from cohort_store.ports import Membership
from evaluator.catalog import TeamCatalog
from evaluator.coalescing import Read
from evaluator.evaluation import Person, cohorts_asked, decide_all, describe
from evaluator.flags import CompiledFlag
from evaluator.http.bodies import decode_body
from evaluator.http.flag_request import FlagsRequest, anonymous_of, checked_id, device_of, groups_of, token_of
from evaluator.http.flag_versions import FlagsMuster, shape_of, shaped
from evaluator.http.messages import Request, Response, answer, invalid
from evaluator.http.service import Service

_decoder = msgspec.json.Decoder(FlagsRequest)
_PROCESS = str(uuid4())[:24]
_requests = count(getrandbits(48))


async def post_flags(service: Service, request: Request) -> Response:
    return await _answer(service, request)


async def post_decide(service: Service, request: Request) -> Response:
    return await _answer(service, request, decide=True)


async def _answer(service: Service, request: Request, *, decide: bool = False) -> Response:
    body = decode_body(request, _decoder)
    catalog = service.registry.catalog.team(service.team_of(*token_of(body)))
    distinct_id = checked_id(str(body.distinct_id))
    flags = () if body.disable_flags else _selected(catalog, body.flag_keys_to_evaluate)
    is_continuous = any(flag.continuous for flag in flags)
    read: Read | None = None
    if is_continuous or any(flag.cohorts for flag in flags):
        read = await service.reads.read(catalog.team, distinct_id)
    person = Person(
        distinct_id,
        body.person_properties or {},
        read.membership if read else None,
        groups_of(body, catalog.group_types),
        device_of(body),
    )
    if is_continuous and read is not None:
        person = person._replace(hash_keys=await _hash_keys(service, catalog, body, distinct_id, read))
    now = service.clock.now_ms()
    try:
        answers, unavailable = decide_all(flags, person, now)
    except BadEvent as error:
        raise invalid("person_properties", error.reason, f"{error.detail}; send flat properties") from None
    service.metrics.flags_answered(len(answers), unavailable)
    service.tally.count(catalog.team, answers.values())
    wants_muster = request.wants("x-muster", "muster")
    return answer(
        shaped(
            shape_of(request, decide=decide),
            answers,
            decide=decide,
            errors_while_computing_flags=bool(unavailable or catalog.refused) or not service.registry.loaded,
            request_id=_request_id(),
            evaluated_at=now,
            muster=_quality(service, flags, catalog, read, now) if wants_muster else None,
        )
    )


async def _hash_keys(
    service: Service, catalog: TeamCatalog, body: FlagsRequest, distinct_id: str, read: Read
) -> HashKeys | None:
    anonymous = anonymous_of(body)
    if read.membership is None:
        # The store did not answer: to ask it again would only take its time once more.
        return None
    return await service.continuity.hash_keys(catalog.team, distinct_id, read.person, anonymous, catalog.continuous)


def _quality(
    service: Service, flags: Sequence[CompiledFlag], catalog: TeamCatalog, read: Read | None, now: int
) -> FlagsMuster:
    membership: Membership | None = read.membership if read else None
    cohorts = cohorts_asked(flags)
    return FlagsMuster(
        registry_version=service.registry.catalog.version,
        person=read.person if read else None,
        data_age_ms=data_age_ms(membership, now) if membership and membership.ready is not None else None,
        cohorts={key: describe(cohort, membership, service.stale_after_ms, now) for key, cohort in cohorts.items()},
        refused=dict(catalog.refused),
    )


def _selected(catalog: TeamCatalog, keys: list[str] | None) -> Sequence[CompiledFlag]:
    if keys is None:
        return tuple(catalog.flags.values())
    return [catalog.flags[key] for key in dict.fromkeys(keys) if key in catalog.flags]


def _request_id() -> str:
    # In the form of a UUID of version 4, random once a process and counted from there: it is no secret, but what joins
    # an answer with an SDK's report of it.
    return f"{_PROCESS}{next(_requests) & 0xFFFFFFFFFFFF:012x}"
