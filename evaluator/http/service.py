"""What every handler works with, and whose request it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TypeVar

from cohort_store.access_keys import PUBLIC_RIGHTS, Right, is_secret
from cohort_store.clocks import Clock
from cohort_store.errors import MusterError
from cohort_store.flag_evaluations import EvaluationBook
from cohort_store.ports import MembershipReader
from evaluator.access import Access, Grant, Refusal
from evaluator.capturing import Capturing
from evaluator.catalog import TeamCatalog
from evaluator.coalescing import DEADLINE_S, CoalescingReader
from evaluator.continuity import Continuity
from evaluator.definition_documents import Documents
from evaluator.http.messages import Request, misconfigured, unauthorized, unavailable
from evaluator.http.refusals import lacking, other_team, secret_in_address, too_fast, unknown_credential
from evaluator.limits import RateLimiter
from evaluator.metrics import Metrics
from evaluator.past import PastMemberships
from evaluator.registry import RegistryFollower
from evaluator.tally import EvaluationTally

T = TypeVar("T")

_HOW = "send Authorization: Bearer <token>, or ?token="
_HOW_WITH_KEY = "send Authorization: Bearer <key>, with a secret key of muster keys create"


@dataclass(frozen=True, slots=True)
class Service:
    """The parts of a running evaluator."""

    registry: RegistryFollower
    reads: CoalescingReader
    reader: MembershipReader
    clock: Clock
    metrics: Metrics
    tally: EvaluationTally
    access: Access
    shards: int
    stale_after_ms: int
    continuity: Continuity
    past: PastMemberships | None = None
    book: EvaluationBook | None = None
    """Both None: there is no ClickHouse."""
    key_limit: RateLimiter | None = None
    """How often one token or key may ask; None: as often as it likes."""
    documents: Documents = field(default_factory=Documents)
    capturing: Capturing | None = None
    """Where events go that SDKs send; None: no source of events is configured."""

    def team_of(self, token: str, attr: str, right: Right = Right.EVALUATE) -> int:
        """The team of a token or key that has the right. `attr` is the field or header that brought it.

        Problem 401 for one that nobody was given or that counts no more, 403 for one without the right, 429 for one
        that asks too often, 503 where nothing can be answered at all.
        """
        return self._grant(token, attr, right).team

    def authorized(self, request: Request) -> TeamCatalog:
        """The catalog of the team whose token or key the request carries, as a bearer or in the query.

        It must have the right that the request's route names. Raises Problem as `team_of` does.
        """
        right = request.right
        if right is None:
            raise TypeError("a route whose handler asks who sent the request must name a right")
        scheme, _, bearer = (request.headers.get("authorization") or "").partition(" ")
        token = request.query.get("token", "")
        if scheme.lower() != "bearer" or not bearer:
            if not token:
                raise unauthorized(
                    "authorization", "not_authenticated", _HOW if right in PUBLIC_RIGHTS else _HOW_WITH_KEY
                )
            if is_secret(token):
                raise secret_in_address()
            return self.registry.catalog.team(self.team_of(token, "token", right))
        grant = self._grant(bearer.strip(), "authorization", right)
        if token and self.access.team_of_token(token) not in (None, grant.team):
            raise other_team(grant)
        return self.registry.catalog.team(grant.team)

    def _grant(self, credential: str, attr: str, right: Right) -> Grant:
        if self.registry.refused:
            raise misconfigured(self.registry.refused)
        found = self.access.grant(credential, self.registry.catalog.keys, self.clock.now_ms)
        if not isinstance(found, Grant):
            raise unknown_credential(found, attr)
        if right not in found.rights:
            raise lacking(found, right, attr)
        if self.key_limit is not None and (wait_s := self.key_limit.take(found.key, time.monotonic())):
            raise too_fast(Refusal.KEY_TOO_FAST, wait_s, "MUSTER_RATE_KEY_PER_S")
        return found


async def within_deadline(reading: Awaitable[T]) -> T:
    """A read of the store for a management answer; Problem 503 when it fails or takes too long."""
    try:
        async with asyncio.timeout(4 * DEADLINE_S):
            return await reading
    except (MusterError, TimeoutError) as error:
        raise unavailable(f"the membership store cannot be asked now: {str(error) or 'it took too long'}") from None
