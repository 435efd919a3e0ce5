"""What is asked of a request before any handler sees it: how often its sender asks, and from what site its page is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from cohort_store.access_keys import Right
from evaluator.access import Refusal
from evaluator.http.callers import Network, caller_of
from evaluator.http.cors import Origins
from evaluator.http.messages import Headers, Problem, Response
from evaluator.http.refusals import RefusalReport, Refused, too_fast
from evaluator.limits import RateLimiter

ANY_ORIGIN = ("*",)
_ASKED_METHOD = "access-control-request-method"


class AllHeaders(Headers, Protocol):
    """Headers of which one name may stand several times."""

    def get_all(self, key: str, /) -> list[str]: ...


class Visitor(Protocol):
    """What is looked at of a request."""

    method: str
    path: str
    client: str

    @property
    def headers(self) -> AllHeaders: ...


class HasRight(Protocol):
    """A route, as far as it matters here."""

    @property
    def right(self) -> Right | None: ...


class Finds(Protocol):
    """The router. Raises Problem where nothing is served."""

    def find(self, method: str, path: str) -> tuple[HasRight, object]: ...


class Doorway:
    """The same for all requests of a process.

    `pace` is how often one caller's address may ask; None: as often as it likes. Routes that need no right (health,
    metrics) are never counted, so that whoever watches the evaluator is not shut out.
    """

    def __init__(
        self,
        report: RefusalReport,
        *,
        origins: Sequence[str] = ANY_ORIGIN,
        pace: RateLimiter | None = None,
        proxies: Sequence[Network] = (),
    ) -> None:
        self._report = report
        self._origins = Origins(origins)
        self._pace = pace
        self._proxies = tuple(proxies)

    def check_pace(self, visitor: Visitor, right: Right | None, now_s: float) -> None:
        """Count one request of the visitor's. Raises Refused (429) where it is one too many."""
        if self._pace is None or right is None:
            return
        if wait_s := self._pace.take(self._caller(visitor), now_s):
            raise too_fast(Refusal.CLIENT_TOO_FAST, wait_s, "MUSTER_RATE_ADDRESS_PER_S")

    def tell(self, refused: Refused, visitor: Visitor, route: str, now_s: float) -> None:
        """Have a refusal counted and logged. `route` is a template."""
        self._report.tell(refused, visitor.method, route, self._caller(visitor), now_s)

    def origin_headers(self, visitor: Visitor, right: Right | None) -> tuple[tuple[str, str], ...]:
        """What lets the page that sent the request read its answer; nothing where no page did."""
        return self._origins.headers(right, visitor.headers.get("origin"))

    def preflight(self, visitor: Visitor, router: Finds) -> Response | None:
        """The answer to a browser's OPTIONS; None for any other OPTIONS, and where no page may ask."""
        method = visitor.headers.get(_ASKED_METHOD)
        if method is None:
            return None
        try:
            found, _ = router.find(method, visitor.path)
        except Problem:
            return None
        return self._origins.preflight(method, found.right, visitor.headers)

    def _caller(self, visitor: Visitor) -> str:
        # All of them: the first may be the caller's own, and the proxy's stand behind it.
        forwarded = ",".join(visitor.headers.get_all("x-forwarded-for")) if self._proxies else None
        return caller_of(visitor.client, forwarded, self._proxies)
