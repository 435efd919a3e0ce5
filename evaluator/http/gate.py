"""Whose request it is: from the token or key that it brought to a grant, or to the problem that is answered."""

from __future__ import annotations

import time

from cohort_store.access_keys import PUBLIC_RIGHTS, Right, is_secret
from cohort_store.clocks import Clock
from evaluator.access import Access, Grant, Refusal
from evaluator.definitions.registry import RegistryFollower
from evaluator.http.messages import Request, misconfigured, unauthorized
from evaluator.http.refusals import lacking, other_team, secret_in_address, too_fast, unknown_credential
from evaluator.limits import RateLimiter

_HOW = "send Authorization: Bearer <token>, or ?token="
_HOW_WITH_KEY = "send Authorization: Bearer <key>, with a secret key of muster keys create"


class Gate:
    """The same for all requests of a process. `pace` is how often one token or key may ask; None: at will."""

    def __init__(
        self, access: Access, registry: RegistryFollower, clock: Clock, pace: RateLimiter | None = None
    ) -> None:
        self._access = access
        self._registry = registry
        self._clock = clock
        self._pace = pace

    def grant(self, credential: str, attr: str, right: Right) -> Grant:
        """What a token or key opens that has the right. `attr` is the field or header that brought it.

        Raises Problem: 401 for one that nobody was given or that counts no more, 403 for one without the right, 429 for
        one that asks too often, 503 where nothing can be answered at all.
        """
        if self._registry.refused:
            raise misconfigured(self._registry.refused)
        found = self._access.grant(credential, self._registry.catalog.keys, self._clock.now_ms)
        if not isinstance(found, Grant):
            raise unknown_credential(found, attr)
        if right not in found.rights:
            raise lacking(found, right, attr)
        if self._pace is not None and (wait_s := self._pace.take(found.key, time.monotonic())):
            raise too_fast(Refusal.KEY_TOO_FAST, wait_s, "MUSTER_RATE_KEY_PER_S")
        return found

    def grant_of(self, request: Request) -> Grant:
        """What the request's bearer opens, or the token in its query. It must have the right that the route names.

        Raises Problem as `grant` does, and for a secret key in the query, and for one beside another team's token.
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
            return self.grant(token, "token", right)
        grant = self.grant(bearer.strip(), "authorization", right)
        if token and self._access.team_of_token(token) not in (None, grant.team):
            raise other_team(grant)
        return grant
