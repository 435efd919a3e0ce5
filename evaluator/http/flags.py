"""POST /flags: every flag of a team for one distinct id, in PostHog's shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from random import getrandbits
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec

from cohort_store.errors import BadEvent
from cohort_store.freshness import data_age_ms
from cohort_store.subjects import ID_BYTES_MAX
from evaluator.catalog import TeamCatalog
from evaluator.condition_tree import properties_tested
from evaluator.evaluation import CohortAnswer, cohorts_asked, decide_all, describe
from evaluator.flag_quality import FlagQuality, flag_qualities
from evaluator.flags import CompiledFlag, FlagAnswer, Who
from evaluator.http.bodies import decode_body
from evaluator.http.messages import Request, Response, answer, invalid
from evaluator.http.person_reading import PersonRead, read_person
from evaluator.http.service import Service
from evaluator.person_properties import KeptProperty, described


class FlagsRequest(msgspec.Struct):
    """What an SDK sends. Fields that are not named here are ignored."""

    distinct_id: str | int
    """A number is the text of its digits, as PostHog takes it."""
    token: str | None = None
    api_key: str | None = None
    """Another name for `token`."""
    person_properties: dict[str, Any] | None = None
    flag_keys_to_evaluate: list[str] | None = None
    """Only these flags; keys that no flag has are left out of the answer."""


class FilledIn(KeptProperty, frozen=True, omit_defaults=True):
    """A property that the request did not bring, and the flags that test it."""

    flags: tuple[str, ...] = ()


class FlagsMuster(msgspec.Struct, frozen=True, omit_defaults=True):
    """How good the answer is; sent on `X-Muster: 1` or `?muster=1`."""

    registry_version: int
    definitions_from: str
    """mirror (Redis), topic (Kafka), or snapshot: no other source has answered since the start. Empty: none has any."""
    person: str | None = None
    """The person that the distinct id stands for; absent where nothing that is stored had to be asked."""
    data_age_ms: int | None = None
    """How far the person's roll is behind; absent where nothing could be read."""
    cohorts: dict[str, CohortAnswer] = {}
    """Every cohort that one of the flags may ask, by key."""
    filled_in: dict[str, FilledIn] = {}
    """The properties that the request did not bring and that flags were decided with, as Muster keeps them."""
    unread: list[str] = []
    """Those that it did not bring, that flags test, and that could not be read."""
    flags: dict[str, FlagQuality] = {}
    """How good each flag's answer is, and which of its tests held."""
    properties: list[str] = []
    """The person's properties that the request brought and that one of the flags tests."""
    from_cache: bool = False
    """Whether what was last known of the person stood by, since the store did not answer for every cohort."""
    refused: dict[str, str] = {}
    """Flags that this evaluator cannot read, with the reason."""


class FlagsAnswer(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """PostHog's answer, version 2."""

    flags: dict[str, FlagAnswer]
    errors_while_computing_flags: bool
    """True where a flag's `on_unavailable` answered, a flag is unreadable, or no definitions are loaded yet."""
    request_id: str
    evaluated_at: int
    """Milliseconds since 1970."""
    muster: FlagsMuster | None = None


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
    body = decode_body(request, _decoder)
    catalog = service.registry.catalog.team(service.team_of(*_token_of(body)))
    return answer(await answer_flags(service, catalog, body, wants_muster=request.wants("x-muster", "muster")))


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
    distinct_id = _checked(str(body.distinct_id))
    flags = _selected(catalog, body.flag_keys_to_evaluate)
    asked = await read_person(service, catalog, flags, distinct_id, body.person_properties or {})
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
    return FlagsMuster(
        registry_version=service.registry.catalog.version,
        definitions_from=service.registry.origin,
        person=read.person if read else None,
        data_age_ms=data_age_ms(membership, now) if membership and membership.ready is not None else None,
        cohorts=cohorts,
        filled_in=_filled_in(catalog, flags, of_person),
        unread=sorted(of_person.filled.unread),
        flags=flag_qualities(flags, trees, Who(person.distinct_id, person.properties, now), cohorts, answers),
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


def _token_of(body: FlagsRequest) -> tuple[str, str]:
    """The token, and the field that brought it."""
    if body.token:
        return body.token, "token"
    if body.api_key:
        return body.api_key, "api_key"
    raise invalid("token", "required", "token is required: the project's API token")


def _checked(distinct_id: str) -> str:
    if not distinct_id:
        raise invalid("distinct_id", "required", "distinct_id is empty; send the id of the person who asks")
    if len(distinct_id) > ID_BYTES_MAX or len(distinct_id.encode()) > ID_BYTES_MAX:
        raise invalid("distinct_id", "too_long", f"distinct_id is longer than {ID_BYTES_MAX} bytes; send a shorter id")
    return distinct_id
