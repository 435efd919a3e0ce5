"""Events from SDKs: /batch and its older names, and /i/v1/analytics/events with an answer for each event.

A request is answered when Kafka has acknowledged its events. Where Kafka takes none, or too much waits for it
already, the answer is 503 with Retry-After, and SDKs send the same events again.

Where some events of a request are bad, the others are kept, and the answer names the bad ones; a request of bad events
alone is refused with the first one's problem. SDKs drop what is refused for good, so each bad event is kept as a
dead letter too.
"""

from __future__ import annotations

import asyncio
import binascii
import json
from base64 import b64decode
from collections.abc import Sequence
from typing import Any, Literal
from urllib.parse import parse_qsl

import msgspec

from cohort_store.access_keys import Right
from cohort_store.errors import Retry
from evaluator.capture.capturing import Capturing, Verdict
from evaluator.http.bodies import decode_body, inflated, plain_body, too_large
from evaluator.http.messages import Problem, ProblemBody, Request, Response, answer, invalid, misconfigured
from evaluator.http.service import Service

BATCH_BYTES_MAX = 6_291_456
"""Of a body as sent, and again once it is unpacked: SDKs send up to 5 MiB at once."""

INLINE_BYTES_MAX = 65_536
"""Of a body that is unpacked at once; a longer one would keep other requests waiting."""

EVENTS_MAX = 5_000
"""Of one request."""

_FORM = "application/x-www-form-urlencoded"


class _Properties(msgspec.Struct):
    token: str | None = None


class EventsRequest(msgspec.Struct):
    """Events with the project's token; or one event with the token in it. A list of such events is taken too."""

    api_key: str | None = None
    token: str | None = None
    """Another name for `api_key`."""
    batch: list[Any] | None = None
    """Events: `event`, `distinct_id`, and as they like `uuid`, `timestamp`, `properties`. Absent: the body is one."""


class BatchRequest(msgspec.Struct):
    """Events of the project whose token is the bearer."""

    batch: list[Any]


class RefusedEvent(msgspec.Struct, frozen=True):
    """An event that was not taken."""

    index: int
    """Its place in the request."""
    uuid: str | None
    code: str
    """A stable word for programs."""
    detail: str


class EventsTaken(msgspec.Struct, frozen=True, omit_defaults=True):
    """All events are kept, but those named."""

    status: Literal["Ok"]
    refused: list[RefusedEvent] = []


class EventResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one event."""

    result: Literal["ok", "drop"]
    details: str | None = None


class EventResults(msgspec.Struct, frozen=True):
    """What became of each, by uuid; of one without, by its place in the request."""

    results: dict[str, EventResult]


class _Envelope(msgspec.Struct):
    api_key: str | None = None
    token: str | None = None
    batch: list[msgspec.Raw] | None = None
    properties: _Properties | None = None


class _Batch(msgspec.Struct):
    batch: list[msgspec.Raw]


_either = msgspec.json.Decoder(_Envelope | list[msgspec.Raw])
_envelope = msgspec.json.Decoder(_Envelope)
_batch = msgspec.json.Decoder(_Batch)
_skip = msgspec.json.Decoder(msgspec.Raw).decode


async def post_legacy(service: Service, request: Request) -> Response:
    body = await _plain(request)
    found = decode_body(body, _either)
    if isinstance(found, list):
        raws = found
        first = msgspec.structs.replace(body, body=bytes(raws[0])) if raws else body
        token = _token_of(decode_body(first, _envelope)) if raws else ""
    else:
        raws = [msgspec.Raw(body.body)] if found.batch is None else found.batch
        token = _token_of(found)
    if not token:
        raise invalid("api_key", "required", "api_key is required: the project's API token")
    verdicts = await _take(service, raws, service.team_of(token, "api_key", Right.CAPTURE), "/batch")
    refused = [
        RefusedEvent(index, each.uuid, each.problem.reason, each.problem.detail)
        for index, each in enumerate(verdicts)
        if each.problem is not None
    ]
    if refused and len(refused) == len(verdicts):
        raise invalid(f"batch[{refused[0].index}]", refused[0].code, refused[0].detail)
    return answer(EventsTaken("Ok", refused))


async def post_events(service: Service, request: Request) -> Response:
    team = service.authorized(request).team
    body = await _plain(request)
    verdicts = await _take(service, decode_body(body, _batch).batch, team, "/i/v1/analytics/events")
    return answer(
        EventResults(
            {
                each.uuid or str(index): EventResult("ok")
                if each.problem is None
                else EventResult("drop", each.problem.detail)
                for index, each in enumerate(verdicts)
            }
        )
    )


async def _take(service: Service, raws: Sequence[msgspec.Raw], team: int, path: str) -> list[Verdict]:
    if len(raws) > EVENTS_MAX:
        raise invalid("batch", "too_many", f"{len(raws)} events in one request; send at most {EVENTS_MAX}", 413)
    try:
        verdicts = await _capturing(service).take(raws, team, service.clock.now_ms(), path)
    except Retry as error:
        service.metrics.capture.answered("turned_away", len(raws))
        problem = ProblemBody(
            "unavailable", "events_not_taken", f"the events were not taken, send them again: {error}", None
        )
        raise Problem(503, problem, (("retry-after", "1"),)) from None
    refused = sum(each.problem is not None for each in verdicts)
    service.metrics.capture.answered("refused", refused)
    service.metrics.capture.answered("kept", len(verdicts) - refused)
    return verdicts


def _capturing(service: Service) -> Capturing:
    if service.capturing is None:
        raise misconfigured("no source of events is configured; name one in the setting MUSTER_SOURCES")
    return service.capturing


def _token_of(found: _Envelope) -> str:
    return found.api_key or found.token or (found.properties.token if found.properties else None) or ""


async def _plain(request: Request) -> Request:
    """The request with its body unpacked; a long one off the event loop."""
    is_long = len(request.body) > INLINE_BYTES_MAX
    body = await asyncio.to_thread(_json_of, request) if is_long else _json_of(request)
    return msgspec.structs.replace(request, body=body, headers={}, query_string="")


def _json_of(request: Request) -> bytes:
    """The unpacked body; numbers that JSON has not (`NaN`, `Infinity`), as some SDKs write them, are null."""
    body = _unwrapped(request)
    if b"NaN" not in body and b"Infinity" not in body:
        return body
    try:
        _skip(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        try:
            return msgspec.json.encode(json.loads(body, parse_constant=lambda _: None))
        except (ValueError, OverflowError, RecursionError):
            pass  # refused by the decoder, which says why
    except RecursionError:
        pass  # as above
    return body


def _unwrapped(request: Request) -> bytes:
    """The JSON of a body that may be packed, or stand in a form's field `data`. Raises Problem."""
    compression = request.query.get("compression", "").lower()
    if (request.headers.get("content-type") or "").partition(";")[0].strip().lower() == _FORM:
        fields = dict(parse_qsl(request.body.decode(errors="replace"), keep_blank_values=True))
        data = fields.get("data", "").encode()
        compression = fields.get("compression", compression).lower()
        if compression not in ("gzip", "gzip-js"):
            return data if data[:1] in (b"{", b"[") else _from_base64(data)
        return inflated(_from_base64(data), BATCH_BYTES_MAX)
    if compression == "base64":
        return _from_base64(request.body)
    return plain_body(request, BATCH_BYTES_MAX)


def _from_base64(data: bytes) -> bytes:
    if len(data) > BATCH_BYTES_MAX:
        raise too_large(BATCH_BYTES_MAX)
    try:
        return b64decode(data.replace(b" ", b"+"), validate=True)
    except binascii.Error as error:
        raise invalid("data", "malformed_base64", f"the data are not base64: {error}") from None
