"""A request and a response as handlers see them, and what is refused: a `Problem`, with the field that is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import parse_qsl

import msgspec

from cohort_store.access_keys import Right

JSON = "application/json"
_encoder = msgspec.json.Encoder()


class Headers(Protocol):
    """Anything that gives a header by its lower-case name."""

    def get(self, key: str, default: Any = None, /) -> Any: ...


class Request(msgspec.Struct, frozen=True, gc=False):
    """What a handler may look at. `path` has the values of a template's places."""

    query_string: str
    headers: Headers
    body: bytes = b""
    path: Mapping[str, str] = {}
    right: Right | None = None
    """What the route needs; None where everybody may ask."""

    @property
    def query(self) -> Mapping[str, str]:
        """The query's parameters; of several with one name, the last."""
        return _parse_query(self.query_string)

    def wants(self, header: str, parameter: str) -> bool:
        """Whether an option is asked for, by header or by query."""
        asked: str = self.query.get(parameter) or self.headers.get(header) or ""
        return asked.lower() in ("1", "true", "yes")


class Response(msgspec.Struct, frozen=True, gc=False):
    """A whole answer."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


class ProblemBody(msgspec.Struct, frozen=True):
    """The body of every 4xx and 5xx answer."""

    type: str
    """validation_error, authentication_error, throttled_error, not_found, unavailable or server_error."""
    code: str
    """A stable word for programs."""
    detail: str
    """A sentence for people: what is wrong, the limit, and what to do."""
    attr: str | None
    """The field, header or parameter that is wrong."""


class Problem(Exception):
    """A request that is refused, or that cannot be answered now."""

    def __init__(self, status: int, body: ProblemBody, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(body.detail)
        self.status = status
        self.body = body
        self.headers = headers

    def response(self) -> Response:
        return Response(self.status, _encoder.encode(self.body), headers=self.headers)


def answer(body: Any, status: int = 200) -> Response:
    """A struct, or plain values, as a JSON response."""
    return Response(status, _encoder.encode(body))


def invalid(attr: str | None, code: str, detail: str, status: int = 400) -> Problem:
    """A field is missing, has another type than it should, or passes a limit."""
    return Problem(status, ProblemBody("validation_error", code, detail, attr))


def unauthorized(attr: str, code: str, detail: str) -> Problem:
    return Problem(401, ProblemBody("authentication_error", code, detail, attr), (("www-authenticate", "Bearer"),))


def not_found(code: str, detail: str, attr: str | None = None) -> Problem:
    return Problem(404, ProblemBody("not_found", code, detail, attr))


def unavailable(detail: str) -> Problem:
    """The membership store cannot be asked now."""
    return Problem(503, ProblemBody("unavailable", "store_unreachable", detail, None), (("retry-after", "1"),))


def misconfigured(detail: str) -> Problem:
    """This evaluator cannot answer anything before its settings are put right."""
    return Problem(503, ProblemBody("unavailable", "misconfigured", detail, None))


@lru_cache(maxsize=512)
def _parse_query(query_string: str) -> Mapping[str, str]:
    return dict(parse_qsl(query_string, keep_blank_values=True))
