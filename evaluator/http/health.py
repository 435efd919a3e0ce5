"""GET /health, /ready and /metrics: for whoever runs the evaluator."""

from __future__ import annotations

import asyncio

import msgspec

from cohort_store.errors import MusterError
from evaluator.http.messages import Request, Response, answer
from evaluator.http.service import Service
from evaluator.reading.coalescing import DEADLINE_S


class Health(msgspec.Struct, frozen=True):
    """The process is alive."""

    status: str


class Readiness(msgspec.Struct, frozen=True):
    """Whether flags can be answered. Not ready is 503; in both other cases than `ready`, `problems` says why."""

    status: str
    """ready; degraded: the store cannot be asked, so that policies answer; or not ready: no definitions are in force.

    Why degraded is ready: whoever sends requests only to those that are would take every evaluator out of service
    at once when Redis is away, which is when they are needed to answer by policy."""
    registry_version: int
    problems: list[str]


async def get_health(_service: Service, _request: Request) -> Response:
    return answer(Health("alive"))


async def get_ready(service: Service, _request: Request) -> Response:
    problems: list[str] = []
    if not service.registry.loaded:
        problems.append("the registry has not been read yet")
    if service.registry.refused:
        problems.append(service.registry.refused)
    status = "not ready" if problems else "ready"
    try:
        async with asyncio.timeout(DEADLINE_S):
            await service.reader.positions([0])
    except (MusterError, TimeoutError) as error:
        problems.append(f"the membership store cannot be reached: {str(error) or 'it took too long'}")
        status = "degraded" if status == "ready" else status
    version = service.registry.catalog.version
    return answer(Readiness(status, version, problems), 503 if status == "not ready" else 200)


async def get_metrics(service: Service, _request: Request) -> Response:
    return Response(200, service.metrics.render(), "text/plain; version=0.0.4; charset=utf-8")
