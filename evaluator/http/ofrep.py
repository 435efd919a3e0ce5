"""POST /ofrep/v1/evaluate/flags and .../{key}: the same answers as /flags, for any OpenFeature provider of OFREP.

The context's `targetingKey` is the distinct id. `groups` and `groupProperties`, where they are objects, and
`$anon_distinct_id` are what they are in `POST /flags`; every other attribute is a property of the person.

A failure has OFREP's body, so that a provider's log says what is wrong. What is refused for who asks (401, 403, 429:
OFREP leaves their bodies open) or before a handler sees it (a body that is too long) has the body of all other APIs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from enum import StrEnum
from hashlib import blake2b
from typing import Annotated, Any

import msgspec

from cohort_store.freshness import Status, status_of
from evaluator.deciding.resolution import worst
from evaluator.definitions.catalog import TeamCatalog
from evaluator.http.bodies import plain_body
from evaluator.http.flag_request import FlagsRequest
from evaluator.http.flags import Evaluated, evaluate
from evaluator.http.messages import Problem, Request, Response, answer, unauthorized
from evaluator.http.service import Service

ETAG_BYTES = 12

ACCESS = (401, 403, 429)
"""Refusals that are counted and told where every API's are."""


class ErrorCode(StrEnum):
    """OpenFeature's error codes, those that a service can find."""

    PARSE_ERROR = "PARSE_ERROR"
    """The body is no JSON."""
    TARGETING_KEY_MISSING = "TARGETING_KEY_MISSING"
    INVALID_CONTEXT = "INVALID_CONTEXT"
    FLAG_NOT_FOUND = "FLAG_NOT_FOUND"
    GENERAL = "GENERAL"
    """Everything else: above all, flags that this evaluator cannot read."""


class EvaluationRequest(msgspec.Struct):
    """What a provider sends, for one flag or for all of them."""

    context: dict[str, Any]
    """`targetingKey`, a text, and the attributes of the person."""


class EvaluationFailure(msgspec.Struct, frozen=True, rename="camel"):
    """Why there is no value. `key` is absent where no flag was asked for."""

    error_code: ErrorCode
    error_details: str
    key: str | msgspec.UnsetType = msgspec.UNSET


_RESOLUTION_OR_FAILURE = msgspec.Meta(
    extra_json_schema={
        "anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("Resolution", "EvaluationFailure")]
    }
)


class BulkAnswer(msgspec.Struct, frozen=True):
    """Every flag of the team, and those that cannot be read."""

    flags: list[Annotated[Any, _RESOLUTION_OR_FAILURE]]


class Refused(Exception):
    """A request without a value to answer it with."""

    def __init__(self, status: int, code: ErrorCode, details: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(details)
        self.status = status
        self.code = code
        self.headers = headers


async def post_bulk(service: Service, request: Request) -> Response:
    """All flags. The ETag covers every byte of the answer, so 304 says that none of them changed."""
    return await _answered(_bulk(service, request))


async def post_single(service: Service, request: Request) -> Response:
    return await _answered(_single(service, request), request.path["key"])


async def _bulk(service: Service, request: Request) -> Response:
    catalog = _catalog(service, request)
    found = await _evaluate(service, catalog, _flags_request(request))
    flags: list[msgspec.Raw | EvaluationFailure] = [*_told(service, catalog, found)]
    flags += [_unreadable(key, why) for key, why in catalog.refused.items()]
    response = answer(BulkAnswer(flags))
    etag = f'"{blake2b(response.body, digest_size=ETAG_BYTES).hexdigest()}"'
    headers = (("etag", etag),)
    if _matches(request.headers.get("if-none-match"), etag):
        return Response(304, b"", headers=headers)
    return msgspec.structs.replace(response, headers=headers)


async def _single(service: Service, request: Request) -> Response:
    catalog = _catalog(service, request)
    key = request.path["key"]
    if key in catalog.refused:
        return answer(_unreadable(key, catalog.refused[key]), 400)
    if key not in catalog.flags:
        raise Refused(404, ErrorCode.FLAG_NOT_FOUND, f"no flag has the key {key[:80]!r}; it is case-sensitive")
    found = await _evaluate(service, catalog, _flags_request(request, [key]))
    return Response(200, bytes(_told(service, catalog, found)[0]))


async def _evaluate(service: Service, catalog: TeamCatalog, asked: FlagsRequest) -> Evaluated:
    try:
        return await evaluate(service, catalog, asked)
    except Problem as problem:
        if problem.status != 400:
            raise
        raise Refused(400, ErrorCode.INVALID_CONTEXT, problem.body.detail) from None


async def _answered(evaluating: Awaitable[Response], key: str | None = None) -> Response:
    """The response, or the failure in OFREP's shape."""
    try:
        return await evaluating
    except Refused as refused:
        status, code, details, headers = refused.status, refused.code, str(refused), refused.headers
    except Problem as problem:
        if problem.status in ACCESS:
            raise
        status, code, details, headers = problem.status, ErrorCode.GENERAL, problem.body.detail, problem.headers
    failure = EvaluationFailure(code, details, msgspec.UNSET if key is None else key)
    return msgspec.structs.replace(answer(failure, status), headers=headers)


def _catalog(service: Service, request: Request) -> TeamCatalog:
    """The catalog of the token's team: a bearer's, or of X-API-Key. Raises Problem as `team_of` does."""
    scheme, _, bearer = (request.headers.get("authorization") or "").partition(" ")
    attr, token = "authorization", bearer.strip() if scheme.lower() == "bearer" else ""
    if not token:
        attr, token = "x-api-key", (request.headers.get("x-api-key") or "").strip()
    if not token:
        raise unauthorized("authorization", "not_authenticated", "send Authorization: Bearer <token>, or X-API-Key")
    team = service.team_of(token, attr)
    if not service.registry.loaded:
        details = "no definitions are loaded yet; ask again, or see GET /ready"
        raise Refused(503, ErrorCode.GENERAL, details, (("retry-after", "1"),))
    return service.registry.catalog.team(team)


_decoder = msgspec.json.Decoder(EvaluationRequest)
_ANONYMOUS = "$anon_distinct_id"
_GROUP_ATTRIBUTES = {"groups": "groups", "groupProperties": "group_properties", "group_properties": "group_properties"}


def _flags_request(request: Request, keys: list[str] | None = None) -> FlagsRequest:
    try:
        context = _decoder.decode(plain_body(request))
    except msgspec.ValidationError as error:
        details = f'the body is {{"context": {{"targetingKey": "...", ...}}}}: {error}'
        raise Refused(400, ErrorCode.INVALID_CONTEXT, details) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(400, ErrorCode.PARSE_ERROR, f"the body is not JSON: {error}") from None
    except RecursionError:
        details = "the body is nested too deeply; send flat attributes"
        raise Refused(400, ErrorCode.INVALID_CONTEXT, details) from None
    return _translated(context.context, keys)


def _translated(context: Mapping[str, Any], keys: list[str] | None) -> FlagsRequest:
    distinct_id = context.get("targetingKey")
    if distinct_id is None or distinct_id == "":
        details = "targetingKey is required: the distinct id of the person who asks"
        raise Refused(400, ErrorCode.TARGETING_KEY_MISSING, details)
    if not isinstance(distinct_id, str):
        details = f"targetingKey is {str(distinct_id)[:40]}, which is no text; send the distinct id in quotes"
        raise Refused(400, ErrorCode.INVALID_CONTEXT, details)
    properties: dict[str, Any] = {}
    asked: dict[str, Any] = {"distinct_id": distinct_id, "person_properties": properties, "flag_keys_to_evaluate": keys}
    for name, value in context.items():
        if name in _GROUP_ATTRIBUTES and isinstance(value, dict):
            asked[_GROUP_ATTRIBUTES[name]] = value
        elif name == _ANONYMOUS and isinstance(value, str):
            asked[name] = value
        elif name != "targetingKey":
            properties[name] = value
    try:
        return msgspec.convert(asked, FlagsRequest)
    except msgspec.ValidationError as error:
        raise Refused(400, ErrorCode.INVALID_CONTEXT, f"the context's groups: {error}") from None


def _told(service: Service, catalog: TeamCatalog, found: Evaluated) -> list[msgspec.Raw]:
    """Every answer in OFREP's words, each with the status of the cohorts that its flag asks."""
    membership, now = found.asked.person.person.membership, found.answer.evaluated_at
    statuses: dict[str, Status] = {}
    told = []
    for flag in found.flags:
        for cohort in flag.cohorts:
            if cohort.key not in statuses:
                statuses[cohort.key] = status_of(cohort, membership, service.stale_after_ms, now)
        status = worst([statuses[cohort.key] for cohort in flag.cohorts]) if flag.cohorts else Status.OK
        told.append(catalog.resolvers[flag.key].told(found.answer.flags[flag.key], status))
    return told


def _unreadable(key: str, why: str) -> EvaluationFailure:
    return EvaluationFailure(ErrorCode.GENERAL, f"this flag cannot be read: {why}", key)


def _matches(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has this answer; a proxy may have made its tag a weak one."""
    if not if_none_match:
        return False
    return any(each.strip().removeprefix("W/") in (etag, "*") for each in if_none_match.split(","))
