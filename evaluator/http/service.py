"""What every handler works with, and whose request it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TypeVar

from cohort_store.access_keys import Right
from cohort_store.clocks import Clock
from cohort_store.errors import MusterError
from cohort_store.flag_evaluations import EvaluationBook
from cohort_store.ports import MembershipReader
from evaluator.capture.capturing import Capturing
from evaluator.definitions.catalog import TeamCatalog
from evaluator.definitions.definition_documents import Documents
from evaluator.definitions.registry import RegistryFollower
from evaluator.http.gate import Gate
from evaluator.http.messages import Request, unavailable
from evaluator.metrics import Metrics
from evaluator.push.hub import Hub
from evaluator.reading.coalescing import DEADLINE_S
from evaluator.reading.continuity import Continuity
from evaluator.reading.past import PastMemberships
from evaluator.reading.steady_reading import SteadyReader
from evaluator.usage.tally import EvaluationTally

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Service:
    """The parts of a running evaluator."""

    registry: RegistryFollower
    reads: SteadyReader
    reader: MembershipReader
    clock: Clock
    metrics: Metrics
    tally: EvaluationTally
    push: Hub
    gate: Gate
    shards: int
    stale_after_ms: int
    continuity: Continuity
    past: PastMemberships | None = None
    book: EvaluationBook | None = None
    """Both None: there is no ClickHouse."""
    documents: Documents = field(default_factory=Documents)
    capturing: Capturing | None = None
    """Where events go that SDKs send; None: no source of events is configured."""

    def team_of(self, token: str, attr: str, right: Right = Right.EVALUATE) -> int:
        """The team of a token or key that has the right. `attr` is the field that brought it. Raises Problem."""
        return self.gate.grant(token, attr, right).team

    def authorized(self, request: Request) -> TeamCatalog:
        """The catalog of the team whose key or token the request carries, with the route's right. Raises Problem."""
        return self.registry.catalog.team(self.gate.grant_of(request).team)


async def within_deadline(reading: Awaitable[T]) -> T:
    """A read of the store for a management answer; Problem 503 when it fails or takes too long."""
    try:
        async with asyncio.timeout(4 * DEADLINE_S):
            return await reading
    except (MusterError, TimeoutError) as error:
        raise unavailable(f"the membership store cannot be asked now: {str(error) or 'it took too long'}") from None
