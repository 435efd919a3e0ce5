"""GET /flags/definitions and its older path: what SDKs decide flags with by themselves; and one flag's payload.

SDKs poll, and ask with the entity tag that they have: while nothing changed, that costs a comparison and an answer
without a body.
"""

from __future__ import annotations

import msgspec

from evaluator.definitions.local_evaluation import Reader
from evaluator.http.messages import JSON, Problem, ProblemBody, Request, Response, answer, not_found
from evaluator.http.service import Service

GO_1 = "posthog-go/1."
"""How the Go SDK's first version begins its User-Agent."""

CACHE_CONTROL = "private, max-age=0, must-revalidate"


class SdkConfig(msgspec.Struct, frozen=True, rename="camel"):
    """What an SDK asks at its start: nothing is recorded, and whether there are flags."""

    token: str
    has_feature_flags: bool
    supported_compression: tuple[str, ...] = ("gzip", "gzip-js", "base64")
    session_recording: bool = False
    surveys: bool = False
    heatmaps: bool = False
    capture_performance: bool = False
    error_tracking: bool = False


async def get_definitions(service: Service, request: Request) -> Response:
    return await _definitions(service, request, Reader.CURRENT)


async def get_local_evaluation(service: Service, request: Request) -> Response:
    agent: str = request.headers.get("user-agent") or ""
    return await _definitions(service, request, Reader.GO if agent.startswith(GO_1) else Reader.WHOLE)


async def get_remote_config(service: Service, request: Request) -> Response:
    """The payload of a flag that is on, as a JSON text that holds JSON; null where there is none."""
    catalog = service.authorized(request)
    key = request.path["key"]
    flag = catalog.flags.get(key)
    if flag is None:
        raise not_found("flag_not_found", f"flag {key[:100]!r} is not defined; apply it, or check its spelling", "key")
    return answer(flag.payloads.get("true"))


async def get_sdk_config(service: Service, request: Request) -> Response:
    token = request.path["token"]
    catalog = service.registry.catalog.team(service.team_of(token, "token"))
    return answer(SdkConfig(token, bool(catalog.flags)))


async def _definitions(service: Service, request: Request, reader: Reader) -> Response:
    catalog = service.authorized(request)
    if not service.registry.loaded:
        detail = "the definitions have not been read yet; ask again"
        raise Problem(503, ProblemBody("unavailable", "not_loaded", detail, None), (("retry-after", "1"),))
    asked = request.query.get("send_cohorts")
    with_cohorts = asked is not None and asked.lower() not in ("0", "false")
    document = await service.documents.of(catalog, with_cohorts=with_cohorts, reader=reader)
    headers = (("etag", document.etag), ("cache-control", CACHE_CONTROL))
    if _is_known(request.headers.get("if-none-match"), document.etag):
        return Response(304, b"", JSON, headers)
    return Response(200, document.body, JSON, headers)


def _is_known(known: str | None, etag: str) -> bool:
    """Whether one of the client's tags is this one; weakly, as caches compare."""
    if not known:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
    return "*" in tags or etag.removeprefix("W/") in tags
