"""The OpenAPI 3.1 document, made from the list of routes and the types that they decode and encode."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec

from evaluator.http.messages import ProblemBody

_STATUS = {
    400: "A field or parameter is missing or wrong; `attr` names it",
    401: "No token or key, or one that is not known or counts no more",
    403: "The token or key has not the right that this needs",
    404: "No such thing",
    409: "It exists, and cannot be answered in its present state",
    413: "The body is too long",
    415: "The body is packed in an unknown way",
    429: "Too many requests; `Retry-After` says in how many seconds to try again",
    503: "The membership store cannot be asked now",
}
EVENT_STREAM = "text/event-stream"
_REF = "#/components/schemas/{name}"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A place in the path, or a query's parameter."""

    name: str
    place: str
    description: str
    type: str = "string"


@dataclass(frozen=True, slots=True)
class Operation:
    """What a route does, for readers of the document. `answer` None: text, not JSON."""

    summary: str
    answer: type[msgspec.Struct] | None
    request: type[msgspec.Struct] | None = None
    parameters: tuple[Parameter, ...] = ()
    problems: tuple[int, ...] = ()
    secured: bool = False
    token_in_query: bool = False
    """Whether the query may bring it too: public tokens only."""
    unready: bool = False
    """Whether 503 comes with the answer's own body."""
    content_type: str = "text/plain"
    """Of an answer that is text."""


def document(routes: Sequence[tuple[str, str, Operation]]) -> bytes:
    """The document as JSON. `routes` are (method, template, operation)."""
    paths: dict[str, dict[str, Any]] = {}
    for method, template, operation in routes:
        paths.setdefault(template, {})[method.lower()] = _operation(method, template, operation)
    return msgspec.json.format(msgspec.json.encode(_frame(paths, _schemas(each for _, _, each in routes))))


def _frame(paths: dict[str, dict[str, Any]], schemas: dict[str, Any]) -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Muster's evaluator",
            "summary": "Feature flags and cohort memberships, as of now",
            "version": _version(),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "token": {"type": "apiKey", "in": "query", "name": "token"},
            },
        },
    }


def _operation(method: str, template: str, operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": method.lower() + re.sub(r"[^a-z]+", "_", template).rstrip("_"),
        "summary": operation.summary,
        "responses": _responses(operation),
    }
    if operation.parameters:
        described["parameters"] = [_parameter(each) for each in operation.parameters]
    if operation.request:
        content = {"application/json": {"schema": _ref(operation.request)}}
        described["requestBody"] = {"required": True, "content": content}
    if operation.secured:
        described["security"] = [{"bearer": []}, *([{"token": []}] if operation.token_in_query else [])]
    return described


def _parameter(each: Parameter) -> dict[str, Any]:
    return {
        "name": each.name,
        "in": each.place,
        "required": each.place == "path",
        "description": each.description,
        "schema": {"type": each.type},
    }


def _responses(operation: Operation) -> dict[str, Any]:
    schema = _ref(operation.answer) if operation.answer else None
    text = {operation.content_type: {"schema": {"type": "string"}}}
    content = {"application/json": {"schema": schema}} if schema else text
    responses: dict[str, Any] = {"200": {"description": "The answer", "content": content}}
    if operation.unready:
        responses["503"] = {"description": "Not ready; the body says why", "content": content}
    for status in operation.problems:
        problem = {"application/json": {"schema": _ref(ProblemBody)}}
        responses[str(status)] = {"description": _STATUS[status], "content": problem}
    return responses


def _schemas(operations: Iterable[Operation]) -> dict[str, Any]:
    types = {each: None for op in operations for each in (op.request, op.answer) if each is not None}
    _, schemas = msgspec.json.schema_components([*types, ProblemBody], ref_template=_REF)
    return schemas


def _ref(struct: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": _REF.format(name=struct.__name__)}


def _version() -> str:
    try:
        return version("muster-cohorts")
    except PackageNotFoundError:
        return "0"
