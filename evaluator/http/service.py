"""What every handler works with, and whose request it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from cohort_store.clocks import Clock
from cohort_store.errors import MusterError
from cohort_store.ports import MembershipReader
from evaluator.catalog import TeamCatalog
from evaluator.coalescing import DEADLINE_S, CoalescingReader
from evaluator.http.messages import Request, misconfigured, unauthorized, unavailable
from evaluator.metrics import Metrics
from evaluator.push.hub import Hub
from evaluator.registry import RegistryFollower

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Service:
    """The parts of a running evaluator."""

    registry: RegistryFollower
    reads: CoalescingReader
    reader: MembershipReader
    clock: Clock
    metrics: Metrics
    push: Hub
    tokens: Mapping[str, int]
    shards: int
    stale_after_ms: int

    def team_of(self, token: str, attr: str) -> int:
        """The token's team; Problem 401 for a token that nobody was given, 503 where nothing can be answered at all."""
        if self.registry.refused:
            raise misconfigured(self.registry.refused)
        team = self.tokens.get(token)
        if team is None:
            raise unauthorized(attr, "invalid_api_key", "this token is not known; see the setting MUSTER_TOKENS")
        return team

    def authorized(self, request: Request) -> TeamCatalog:
        """The catalog of the team whose token the request carries, as a bearer or in the query."""
        scheme, _, token = (request.headers.get("authorization") or "").partition(" ")
        attr = "authorization"
        if scheme.lower() != "bearer":
            attr, token = "token", request.query.get("token", "")
        if not token:
            raise unauthorized("authorization", "not_authenticated", "send Authorization: Bearer <token>, or ?token=")
        return self.registry.catalog.team(self.team_of(token.strip(), attr))


async def within_deadline(reading: Awaitable[T]) -> T:
    """A read of the store for a management answer; Problem 503 when it fails or takes too long."""
    try:
        async with asyncio.timeout(4 * DEADLINE_S):
            return await reading
    except (MusterError, TimeoutError) as error:
        raise unavailable(f"the membership store cannot be asked now: {str(error) or 'it took too long'}") from None
