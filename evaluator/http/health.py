"""GET /health, /ready and /metrics: for whoever runs the evaluator."""

from __future__ import annotations

import asyncio

import msgspec

from cohort_store.errors import MusterError
from evaluator.coalescing import DEADLINE_S
from evaluator.http.messages import Request, Response, answer
from evaluator.http.service import Service


class Health(msgspec.Struct, frozen=True):
    """The process is alive."""

    status: str


class Readiness(msgspec.Struct, frozen=True):
    """Whether requests can be answered from the store. Not ready is 503, and `problems` says why."""

    status: str
    registry_version: int
    problems: list[str]


async def get_health(_service: Service, _request: Request) -> Response:
    return answer(Health("alive"))


async def get_ready(service: Service, _request: Request) -> Response:
    problems = []
    if not service.registry.loaded:
        problems.append("the registry has not been read yet")
    if service.registry.refused:
        problems.append(service.registry.refused)
    try:
        async with asyncio.timeout(DEADLINE_S):
            await service.reader.positions([0])
    except (MusterError, TimeoutError) as error:
        problems.append(f"the membership store cannot be reached: {str(error) or 'it took too long'}")
    version = service.registry.catalog.version
    return answer(Readiness("not ready" if problems else "ready", version, problems), 503 if problems else 200)


async def get_metrics(service: Service, _request: Request) -> Response:
    return Response(200, service.metrics.render(), "text/plain; version=0.0.4; charset=utf-8")
