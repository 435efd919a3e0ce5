"""GET /sse/flags: changed flags as server-sent events; and the same in OFREP's words."""

from __future__ import annotations

from cohort_store.subjects import ID_BYTES_MAX
from evaluator.http.messages import Problem, ProblemBody, Request, invalid
from evaluator.http.service import Service
from evaluator.http.streaming import EventStream
from evaluator.push.events import Form, ofrep, plain
from evaluator.push.hub import Refusal, Refused
from evaluator.push.stream import Stream

LAST_ID_MAX = 100
"""Characters of a Last-Event-ID; a longer one is none of ours, and the whole state is sent."""

_RETRY_S = "5"


async def get_flag_changes(service: Service, request: Request) -> EventStream:
    """The team's definitions; with `distinct_id` the flags of one person."""
    return _open(service, request, request.query.get("distinct_id"), "distinct_id", plain)


async def get_ofrep_changes(service: Service, request: Request) -> EventStream:
    """That flags are to be asked for again: one person's with `targetingKey`, else the team's."""
    return _open(service, request, request.query.get("targetingKey"), "targetingKey", ofrep)


def _open(service: Service, request: Request, distinct_id: str | None, attr: str, form: Form) -> EventStream:
    team = service.authorized(request).team
    last_id = request.headers.get("last-event-id") or request.query.get("last_event_id") or ""
    last_id = last_id if len(last_id) <= LAST_ID_MAX else ""
    try:
        return EventStream(_stream(service, team, distinct_id, attr, last_id, form), service.push.left)
    except Refused as refused:
        raise _too_many(refused, attr) from None


def _stream(service: Service, team: int, distinct_id: str | None, attr: str, last_id: str, form: Form) -> Stream:
    if distinct_id is None:
        return service.push.listen_to_team(team, last_id, form)
    if not distinct_id:
        raise invalid(attr, "required", f"{attr} is empty; send the id of the person, or leave it out")
    if len(distinct_id.encode()) > ID_BYTES_MAX:
        raise invalid(attr, "too_long", f"{attr} is longer than {ID_BYTES_MAX} bytes; send a shorter id")
    return service.push.listen_to_person(team, distinct_id, last_id, form)


def _too_many(refused: Refused, attr: str) -> Problem:
    headers = (("retry-after", _RETRY_S),)
    if refused.why is Refusal.PERSON:
        detail = f"this {attr} has {refused.limit} streams, which is the limit; close one, or share it"
        return Problem(429, ProblemBody("throttled", "too_many_streams", detail, attr), headers)
    detail = f"this evaluator is at its limit of {refused.limit} {_WORDS[refused.why]}; {_REMEDIES[refused.why]}"
    return Problem(503, ProblemBody("unavailable", "too_many_streams", detail, None), headers)


_WORDS = {Refusal.STREAMS: "streams", Refusal.CHANNELS: "persons who are listened to"}
_REMEDIES = {
    Refusal.STREAMS: "ask another one, or raise MUSTER_PUSH_STREAMS_MAX",
    Refusal.CHANNELS: "run more evaluators",
}
