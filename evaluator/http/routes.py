"""Everything that is served, in one list: what the application dispatches on, and what OpenAPI describes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from cohort_store.access_keys import Right
from evaluator.deciding.resolution import Resolution
from evaluator.http import (
    cohorts,
    contexts,
    explain,
    flag_request,
    flag_versions,
    flags,
    health,
    ofrep,
    openapi,
    persons,
    posthog_routes,
    properties,
    sse,
    stale,
    why,
)
from evaluator.http.bodies import BODY_BYTES_MAX
from evaluator.http.messages import Problem, ProblemBody, Request, Response, not_found
from evaluator.http.service import Service
from evaluator.http.streaming import EventStream
from evaluator.push.contexts import ContextAnswer, ContextRequest

Handler = Callable[[Service, Request], Awaitable[Response | EventStream]]


@dataclass(frozen=True, slots=True)
class Route:
    """One method on one path. `operation` says the rest to those who read the OpenAPI document."""

    method: str
    template: str
    """A path, in which `{name}` stands for one segment."""
    handler: Handler
    operation: openapi.Operation
    body_bytes_max: int = BODY_BYTES_MAX

    @property
    def right(self) -> Right | None:
        """What a token or key must have to ask; None: everybody may."""
        return self.operation.right


async def get_openapi(_service: Service, _request: Request) -> Response:
    return Response(200, openapi.document([(each.method, each.template, each.operation) for each in ROUTES]))


_MUSTER = openapi.Parameter("muster", "query", "1: add the block `muster`; so does the header X-Muster.")
_CURSOR = openapi.Parameter("cursor", "query", "Where the page begins: the cursor of the page before.")
_LIMIT = openapi.Parameter("limit", "query", "Members a page, 1 to 1000; 100 if absent.", "integer")
_KEY = openapi.Parameter("key", "path", "The cohort's key, or its id.")
_LAST_EVENT_ID = openapi.Parameter(
    "last_event_id", "query", "The last event that was seen, where the header Last-Event-ID cannot be sent."
)
_DISTINCT_ID = openapi.Parameter("distinct_id", "query", "Ask for the person of this distinct id instead.")

_ASKING_FLAGS = (
    openapi.Parameter("v", "query", "The answer's version: 1 has values, 2 and above the flags with their reasons."),
    openapi.Parameter("compression", "query", "gzip or base64: the body is packed so."),
    _MUSTER,
)

ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/flags",
        flags.post_flags,
        openapi.Operation(
            "Every flag of a team for one distinct id",
            flag_versions.VersionedAnswer,
            request=flag_request.FlagsRequest,
            parameters=_ASKING_FLAGS,
            problems=(400, 401, 408, 413, 415, 503),
            right=Right.EVALUATE,
        ),
    ),
    Route(
        "POST",
        "/decide",
        flags.post_decide,
        openapi.Operation(
            "As POST /flags, in the shapes that older SDKs ask for",
            flag_versions.DecideAnswer,
            request=flag_request.FlagsRequest,
            parameters=_ASKING_FLAGS,
            problems=(400, 401, 408, 413, 415, 503),
            right=Right.EVALUATE,
        ),
    ),
    Route(
        "POST",
        "/ofrep/v1/evaluate/flags",
        ofrep.post_bulk,
        openapi.Operation(
            "OFREP: every flag of a team for one targeting key",
            ofrep.BulkAnswer,
            request=ofrep.EvaluationRequest,
            parameters=(openapi.Parameter("If-None-Match", "header", "The ETag of the answer that the client has."),),
            problems=(401, 408, 413, 503),
            failure=ofrep.EvaluationFailure,
            failures=(400, 415, 503),
            empty=(304,),
            secured=True,
            schemes=("bearer", "key"),
            right=Right.EVALUATE,
        ),
    ),
    Route(
        "POST",
        "/ofrep/v1/evaluate/flags/{key}",
        ofrep.post_single,
        openapi.Operation(
            "OFREP: one flag for one targeting key",
            Resolution,
            request=ofrep.EvaluationRequest,
            parameters=(openapi.Parameter("key", "path", "The flag's key."),),
            problems=(401, 408, 413, 503),
            failure=ofrep.EvaluationFailure,
            failures=(400, 404, 415, 503),
            secured=True,
            schemes=("bearer", "key"),
            right=Right.EVALUATE,
        ),
    ),
    Route(
        "POST",
        "/flags/explain",
        explain.post_explain,
        openapi.Operation(
            "Why flags answer what they do for a distinct id: every test of every condition set with what it found, "
            "the hashes, each cohort with its own reason; with other properties or memberships, and at other instants",
            explain.ExplainAnswer,
            request=explain.ExplainRequest,
            problems=(400, 401, 404, 409, 413, 415, 503),
            right=Right.EXPLAIN,
        ),
    ),
    Route(
        "GET",
        "/flags/stale",
        stale.get_stale,
        openapi.Operation(
            "Flags that have had their day: never or no longer called, the same for everybody, or asking cohorts that "
            "are empty, complete or gone; each with its evidence and a clean-up prompt for a coding assistant",
            stale.StaleAnswer,
            problems=(401, 503),
            right=Right.EXPLAIN,
        ),
    ),
    Route(
        "POST",
        "/flags/context",
        contexts.post_context,
        openapi.Operation(
            "One person's memberships and the flags' definitions: for deciding flags in a server of your own",
            ContextAnswer,
            request=ContextRequest,
            problems=(400, 401, 403, 408, 413, 415, 503),
            right=Right.READ_PERSONS,
        ),
    ),
    Route(
        "GET",
        "/sse/flags",
        sse.get_flag_changes,
        openapi.Operation(
            "Server-sent events: the team's definitions as they change; of one person, her flags as they change",
            None,
            parameters=(
                openapi.Parameter("distinct_id", "query", "The person whose flags are told; absent: definitions."),
                _LAST_EVENT_ID,
            ),
            problems=(400, 401, 403, 429, 503),
            media=openapi.EVENT_STREAM,
            right=Right.EVALUATE,
        ),
    ),
    Route(
        "GET",
        "/ofrep/v1/events",
        sse.get_ofrep_changes,
        openapi.Operation(
            "Server-sent events in OFREP's words: that flags are to be asked for again",
            None,
            parameters=(
                openapi.Parameter("targetingKey", "query", "The person whose flags are meant; absent: all."),
                _LAST_EVENT_ID,
            ),
            problems=(400, 401, 403, 429, 503),
            media=openapi.EVENT_STREAM,
            right=Right.EVALUATE,
        ),
    ),
    Route(
        "GET",
        "/cohorts",
        cohorts.get_cohorts,
        openapi.Operation(
            "The team's cohorts and how ready they are",
            cohorts.CohortsAnswer,
            problems=(401, 503),
            secured=True,
            right=Right.READ_DEFINITIONS,
        ),
    ),
    Route(
        "GET",
        "/cohorts/{key}/members",
        cohorts.get_members,
        openapi.Operation(
            "Who is stored in a cohort, page by page. Of a cohort that holds for people who never did anything "
            "(`complemented`) those are the exceptions: its members are all other known persons, and a list of them "
            "is the list of persons in ClickHouse without these",
            cohorts.MembersAnswer,
            parameters=(_KEY, _LIMIT, _CURSOR),
            problems=(400, 401, 404, 409, 503),
            secured=True,
            right=Right.READ_MEMBERS,
        ),
    ),
    Route(
        "GET",
        "/persons",
        persons.get_person,
        openapi.Operation(
            "The memberships of a distinct id's person",
            persons.PersonAnswer,
            parameters=(_DISTINCT_ID,),
            problems=(400, 401, 503),
            secured=True,
            right=Right.READ_PERSONS,
        ),
    ),
    Route(
        "GET",
        "/persons/{id}",
        persons.get_person,
        openapi.Operation(
            "One person's memberships; an id of which nothing is stored is tried as a distinct id",
            persons.PersonAnswer,
            parameters=(openapi.Parameter("id", "path", "The person's id."), _DISTINCT_ID),
            problems=(400, 401, 503),
            secured=True,
            right=Right.READ_PERSONS,
        ),
    ),
    Route(
        "GET",
        "/persons/{id}/properties",
        properties.get_properties,
        openapi.Operation(
            "One person's properties as they are kept, each with who said it and when: what it takes to decide her "
            "flags locally, beside her memberships. An id of which nothing is stored is tried as a distinct id",
            properties.PropertiesAnswer,
            parameters=(openapi.Parameter("id", "path", "The person's id."), _DISTINCT_ID),
            problems=(400, 401, 503),
            secured=True,
            right=Right.READ_PERSONS,
        ),
    ),
    Route(
        "GET",
        "/persons/{id}/why/{cohort}",
        why.get_why,
        openapi.Operation(
            "Why a person is in a cohort, or is not: the tree with each condition's verdict, the events that decide "
            "it, and when it changes next if nothing more is done",
            why.WhyAnswer,
            parameters=(
                openapi.Parameter("id", "path", "The person's id."),
                openapi.Parameter("cohort", "path", "The cohort's key, or its id."),
                _DISTINCT_ID,
                openapi.Parameter("at", "query", "An instant to come: as it will be if nothing more is done."),
            ),
            problems=(400, 401, 404, 409, 503),
            secured=True,
            right=Right.EXPLAIN,
        ),
    ),
    *(Route(*each) for each in posthog_routes.READS),
    *(Route(*each, posthog_routes.BATCH_BYTES_MAX) for each in posthog_routes.WRITES),
    Route("GET", "/health", health.get_health, openapi.Operation("Whether the process is alive", health.Health)),
    Route(
        "GET",
        "/ready",
        health.get_ready,
        openapi.Operation("Whether flags can be answered, and whether from the store", health.Readiness, unready=True),
    ),
    Route("GET", "/metrics", health.get_metrics, openapi.Operation("Metrics for Prometheus", None)),
    Route("GET", "/openapi.json", get_openapi, openapi.Operation("This document", None, media="application/json")),
)

Found = tuple[Route, Mapping[str, str]]


class Router:
    """Finds the route of a path, with and without a slash at its end.

    Templates are kept by first segment, which must not be a place, and number of segments.
    """

    def __init__(self, routes: tuple[Route, ...] = ROUTES) -> None:
        self._exact: dict[tuple[str, str], Found] = {}
        self._paths: dict[str, list[str]] = {}
        self._templates: dict[tuple[str, int], list[tuple[tuple[str, ...], Route]]] = {}
        for route in routes:
            if "{" in route.template:
                template = tuple(route.template.split("/"))
                self._templates.setdefault((template[1], len(template)), []).append((template, route))
                continue
            for path in (route.template, f"{route.template}/"):
                self._exact[route.method, path] = (route, {})
                self._paths.setdefault(path, []).append(route.method)

    def find(self, method: str, path: str) -> Found:
        """The route, with the values of its template's places. Raises Problem 404 or 405."""
        found = self._exact.get((method, path))
        if found is not None:
            return found
        allowed = list(self._paths.get(path, ()))
        segments = path.removesuffix("/").split("/")
        for template, route in self._templates.get((segments[1], len(segments)), ()) if len(segments) > 1 else ():
            values = _match(template, segments)
            if values is not None:
                if route.method == method:
                    return route, values
                allowed.append(route.method)
        if allowed:
            detail = f"{method[:20]} is not served here; use {', '.join(allowed)}"
            body = ProblemBody("method_not_allowed", "method_not_allowed", detail, None)
            raise Problem(405, body, (("allow", ", ".join(allowed)),))
        raise not_found("not_found", f"nothing is served at {path[:200]!r}; GET /openapi.json lists what is")


def _match(template: tuple[str, ...], segments: list[str]) -> dict[str, str] | None:
    """The values of the template's places, where the path has as many segments and the others are equal."""
    values = {}
    for expected, segment in zip(template, segments, strict=True):
        if expected.startswith("{"):
            if not segment:
                return None
            values[expected[1:-1]] = segment
        elif expected != segment:
            return None
    return values
