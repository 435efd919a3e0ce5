"""The RSGI application: from the server's scope to a `Request`, and from a `Response` back to the server.

Why RSGI, not ASGI: granian hands over the whole body and takes the whole answer in one call each, which leaves
about half of ASGI's cost a request.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from time import perf_counter
from typing import Protocol

import msgspec

from evaluator.http.doorway import AllHeaders, Doorway
from evaluator.http.messages import Problem, ProblemBody, Request, Response
from evaluator.http.reading import BodyReader
from evaluator.http.refusals import RefusalReport, Refused
from evaluator.http.routes import Router
from evaluator.http.service import Service

logger = logging.getLogger(__name__)


class Scope(Protocol):
    """What RSGI says of a request."""

    method: str
    path: str
    query_string: str
    client: str
    """Whom the connection comes from: address and port."""

    @property
    def headers(self) -> AllHeaders: ...


class Exchange(Protocol):
    """RSGI's way to the body, and to the answer."""

    async def __call__(self) -> bytes: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None: ...


class Application:
    """Answers every request; nothing that a handler raises reaches the server."""

    def __init__(self, service: Service, router: Router | None = None, doorway: Doorway | None = None) -> None:
        self._service = service
        self._router = router or Router()
        self._doorway = doorway or Doorway(RefusalReport(service.metrics))
        self._bodies = BodyReader()

    async def __rsgi__(self, scope: Scope, protocol: Exchange) -> None:
        began = perf_counter()
        route, right, is_read = "none", None, scope.method != "POST"
        try:
            if scope.method == "OPTIONS" and (preflight := self._doorway.preflight(scope, self._router)) is not None:
                protocol.response_bytes(preflight.status, list(preflight.headers), b"")
                return
            found, values = self._router.find(scope.method, scope.path)
            route, right = found.template, found.right
            self._doorway.check_pace(scope, right, began)
            body = (
                await self._bodies.read(scope.headers, protocol, found.body_bytes_max)
                if found.method == "POST"
                else b""
            )
            is_read = True
            request = Request(scope.query_string, scope.headers, body, values, right)
            response = await found.handler(self._service, request)
        except Problem as problem:
            response = problem.response()
            if isinstance(problem, Refused):
                self._doorway.tell(problem, scope, route, began)
            if not is_read:
                # The server closes the connection then: without this word, clients would go on using it.
                response = msgspec.structs.replace(response, headers=(*response.headers, ("connection", "close")))
        except Exception:
            logger.exception("%s %s failed", scope.method, scope.path)
            response = _SERVER_ERROR
        _send(protocol, response, self._doorway.origin_headers(scope, right))
        self._service.metrics.request_answered(route, response.status, perf_counter() - began)


async def empty_handler(_scope: Scope, protocol: Exchange) -> None:
    """Reads the body and answers with nothing: the floor of what this server can do, for benchmarks."""
    await protocol()
    protocol.response_bytes(200, [("content-type", "application/json")], b"{}")


_SERVER_ERROR = Problem(
    500, ProblemBody("server_error", "error", "the request failed; the evaluator's log says why", None)
).response()


def _send(protocol: Exchange, response: Response, more: tuple[tuple[str, str], ...] = ()) -> None:
    headers = [("content-type", response.content_type), *response.headers, *more]
    protocol.response_bytes(response.status, headers, response.body)
