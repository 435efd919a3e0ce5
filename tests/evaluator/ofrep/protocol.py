"""OFREP 0.3.0 as JSON Schema: what a provider may rely on in each answer.

Written down from the published document (github.com/open-feature/protocol, service/openapi.yaml, version 0.3.0), but
for one place: there a flag's answer is `oneOf` the kinds of value and of "no value", and the latter fits an answer with
a value too, so that read strictly no flag could have one. MUSTER_TEST_OFREP_DOCUMENT names a copy of the published
file; then answers are checked against that as well, with `anyOf` in that place.
"""

import os
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

VERSION = "0.3.0"
DOCUMENT = os.environ.get("MUSTER_TEST_OFREP_DOCUMENT")

_TEXT = {"type": "string"}
_METADATA = {"type": "object", "additionalProperties": {"type": ["boolean", "string", "number"]}}
_VALUES = ["boolean", "string", "integer", "number", "object"]

_SUCCESS = {
    "type": "object",
    "required": ["key", "reason"],
    "properties": {
        "key": _TEXT,
        "reason": {"enum": ["STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED", "UNKNOWN"]},
        "variant": _TEXT,
        "metadata": _METADATA,
        "value": {"type": _VALUES},
    },
    "not": {"required": ["errorCode"]},
}


def _failure(required: list[str], *codes: str) -> dict[str, Any]:
    code = {"enum": list(codes)} if codes else _TEXT
    properties = {"key": _TEXT, "errorCode": code, "errorDetails": _TEXT, "metadata": _METADATA}
    return {"type": "object", "required": required, "properties": properties}


_FLAG_FAILURE = _failure(["key", "errorCode"], "PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT", "GENERAL")
_OURS: dict[str, dict[str, Any]] = {
    "serverEvaluationSuccess": _SUCCESS,
    "evaluationFailure": _FLAG_FAILURE,
    "flagNotFound": _failure(["key", "errorCode"], "FLAG_NOT_FOUND"),
    "bulkEvaluationSuccess": {
        "type": "object",
        "required": ["flags"],
        "properties": {
            "flags": {"type": "array", "items": {"oneOf": [_SUCCESS, _FLAG_FAILURE]}},
            "metadata": _METADATA,
            "eventStreams": {"type": "array", "items": {"type": "object", "required": ["type"]}},
        },
    },
    "bulkEvaluationFailure": _failure(["errorCode"]),
}


def must_fit(answer: Any, schema: str) -> None:
    """An AssertionError with every finding where an answer is not what OFREP promises."""
    for validator in _validators(schema):
        findings = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(answer)]
        assert not findings, findings


def _validators(schema: str) -> list[Draft202012Validator]:
    found = [Draft202012Validator(_OURS[schema])]
    if DOCUMENT:
        document = yaml.safe_load(Path(DOCUMENT).read_text())
        assert document["info"]["version"] == VERSION
        components = document["components"]
        either = components["schemas"]["evaluationSuccess"]["allOf"][1]
        either["anyOf"] = either.pop("oneOf")
        reference = {"$ref": f"#/components/schemas/{schema}", "components": components}
        found.append(Draft202012Validator(reference))
    return found
