"""What PostHog's SDKs ask beside `/flags`, path by path: definitions, payloads and events."""

from __future__ import annotations

from cohort_store.access_keys import Right
from evaluator.definitions.local_evaluation import LocalDefinitions
from evaluator.http import capture, local_evaluation, openapi
from evaluator.http.capture import BATCH_BYTES_MAX

_SEND_COHORTS = openapi.Parameter("send_cohorts", "query", "Add the cohorts that an SDK can judge; so does no value.")
_KNOWN = openapi.Parameter("If-None-Match", "header", "The ETag of the answer that the client has.")

DEFINITIONS = openapi.Operation(
    "A team's flags as SDKs decide them by themselves; a flag that only the server can decide makes them ask /flags",
    LocalDefinitions,
    parameters=(_SEND_COHORTS, _KNOWN),
    problems=(401, 503),
    empty=(304,),
    secured=True,
    right=Right.READ_DEFINITIONS,
)
REMOTE_CONFIG = openapi.Operation(
    "The payload of a flag that is on, as a text that holds JSON",
    None,
    text_in_json=True,
    parameters=(
        openapi.Parameter("project", "path", "@current; the token says which team is meant."),
        openapi.Parameter("key", "path", "The flag's key."),
    ),
    problems=(401, 404),
    secured=True,
    right=Right.READ_DEFINITIONS,
)

LEGACY_EVENTS = openapi.Operation(
    "Events, one or many, into the source topic; a body may be packed with gzip, or be base64 in a form's `data`. "
    "Answered once Kafka has acknowledged them; events that are refused are named and kept as dead letters",
    capture.EventsTaken,
    request=capture.EventsRequest,
    parameters=(openapi.Parameter("compression", "query", "gzip or base64: the body is packed."),),
    problems=(400, 401, 408, 413, 415, 503),
    right=Right.CAPTURE,
)
EVENTS = openapi.Operation(
    "Events into the source topic, with an answer for each by its uuid: `ok`, or `drop` with the reason",
    capture.EventResults,
    request=capture.BatchRequest,
    problems=(400, 401, 408, 413, 415, 503),
    secured=True,
    right=Right.CAPTURE,
)

SDK_CONFIG = openapi.Operation(
    "What an SDK asks at its start: whether there are flags, and that nothing is recorded",
    local_evaluation.SdkConfig,
    parameters=(openapi.Parameter("token", "path", "The project's token."),),
    problems=(401, 503),
    right=Right.EVALUATE,
)

READS = (
    ("GET", "/flags/definitions", local_evaluation.get_definitions, DEFINITIONS),
    (
        "GET",
        "/api/feature_flag/local_evaluation",
        local_evaluation.get_local_evaluation,
        DEFINITIONS,
    ),
    (
        "GET",
        "/api/projects/{project}/feature_flags/{key}/remote_config",
        local_evaluation.get_remote_config,
        REMOTE_CONFIG,
    ),
    ("GET", "/array/{token}/config", local_evaluation.get_sdk_config, SDK_CONFIG),
)
WRITES = (
    *(("POST", path, capture.post_legacy, LEGACY_EVENTS) for path in ("/batch", "/capture", "/e", "/i/v0/e")),
    ("POST", "/i/v1/analytics/events", capture.post_events, EVENTS),
)

__all__ = ["BATCH_BYTES_MAX", "READS", "WRITES"]
