"""The OpenAPI 3.1 document, made from the list of routes and the types that they decode and encode."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec

from cohort_store.access_keys import PUBLIC_RIGHTS, Right
from evaluator.http.messages import ProblemBody

_STATUS = {
    400: "A field or parameter is missing or wrong; `attr` names it",
    401: "No token or key, or one that is not known or counts no more",
    403: "The token or key has not the right that this needs",
    404: "No such thing",
    304: "Nothing changed since the answer of which the client sent the ETag",
    408: "The body took too long to arrive",
    409: "It exists, and cannot be answered in its present state",
    413: "The body is too long",
    415: "The body is packed in an unknown way",
    429: "Too many requests; `Retry-After` says in how many seconds to try again",
    503: "The membership store cannot be asked now",
}
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
    """What a route does, for readers of the document. `answer` None: no struct, but what `media` says."""

    summary: str
    answer: type[msgspec.Struct] | None
    request: type[msgspec.Struct] | None = None
    parameters: tuple[Parameter, ...] = ()
    problems: tuple[int, ...] = ()
    secured: bool = False
    right: Right | None = None
    """What a token or key must have to ask; None: everybody may, and no rate limit counts it."""
    unready: bool = False
    """Whether 503 comes with the answer's own body."""
    media: str = "text/plain"
    failure: type[msgspec.Struct] | None = None
    """The body of `failures`, where an API has one of its own."""
    failures: tuple[int, ...] = ()
    """Statuses with that body; one that is among `problems` too may have either."""
    empty: tuple[int, ...] = ()
    """Statuses that come without a body."""
    schemes: tuple[str, ...] = ("bearer", "token")
    """Where a secured route takes its token from."""
    text_in_json: bool = False
    """Whether the answer is a JSON text, or null."""


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
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
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
        # Secret keys stay out of addresses.
        is_public = operation.right in PUBLIC_RIGHTS
        described["security"] = [{scheme: []} for scheme in operation.schemes if scheme != "token" or is_public]
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
    schema: dict[str, Any] | None = _ref(operation.answer) if operation.answer else None
    if operation.text_in_json:
        schema = {"type": ["string", "null"]}
    plain = {"type": "object" if operation.media == "application/json" else "string"}
    content = {"application/json": {"schema": schema}} if schema else {operation.media: {"schema": plain}}
    responses: dict[str, Any] = {"200": {"description": "The answer", "content": content}}
    if operation.unready:
        responses["503"] = {"description": "Not ready; the body says why", "content": content}
    denials = () if operation.right is None else (401, 403, 429)
    problems = {*operation.problems, *denials}
    for status in sorted({*problems, *operation.failures}):
        bodies: list[type[msgspec.Struct]] = [ProblemBody] if status in problems else []
        bodies += [operation.failure] if operation.failure and status in operation.failures else []
        schemas = [_ref(body) for body in bodies]
        failed = {"application/json": {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}}
        responses[str(status)] = {"description": _STATUS[status], "content": failed}
    for status in operation.empty:
        responses[str(status)] = {"description": _STATUS[status]}
    return responses


def _schemas(operations: Iterable[Operation]) -> dict[str, Any]:
    types = {each: None for op in operations for each in (op.request, op.answer, op.failure) if each is not None}
    _, schemas = msgspec.json.schema_components([*types, ProblemBody], ref_template=_REF)
    return schemas


def _ref(struct: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": _REF.format(name=struct.__name__)}


def _version() -> str:
    try:
        return version("muster-cohorts")
    except PackageNotFoundError:
        return "0"
