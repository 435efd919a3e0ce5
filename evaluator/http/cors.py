"""Cross-origin requests: pages of which sites may ask for flags and send events. Pure.

Only what a public token opens is open to other origins at all. Everything else stays closed to browsers whatever is
configured: a secret key has no business in a page. Cookies play no part, so `*` gives nobody away.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cohort_store.access_keys import PUBLIC_RIGHTS, Right
from evaluator.http.messages import Headers, Response

MAX_AGE_S = 7_200
"""How long a browser may remember a preflight's answer; none remembers it for longer."""
HEADERS_CHARACTERS_MAX = 1_024
"""Of the names that a preflight asks about; more of them are answered with none."""
EXPOSED = "etag, retry-after"

_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]*")
_ANY = "*"


class Origins:
    """The origins that may ask."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self._is_any = _ANY in allowed
        self._allowed = frozenset(each.rstrip("/").lower() for each in allowed)

    def headers(self, right: Right | None, origin: str | None) -> tuple[tuple[str, str], ...]:
        """What is added to an answer of a route that needs this right, so that a page of that origin may read it."""
        if origin is None or right not in PUBLIC_RIGHTS:
            return ()
        if self._is_any:
            return _FOR_ANY
        # Caches must not hand one origin's answer to another.
        if origin.lower() in self._allowed:
            return (
                ("access-control-allow-origin", origin),
                ("vary", "origin"),
                ("access-control-expose-headers", EXPOSED),
            )
        return (("vary", "origin"),)

    def preflight(self, method: str, right: Right | None, headers: Headers) -> Response | None:
        """The answer to a browser that asks whether it may; None where the route is none for browsers."""
        allowed = self.headers(right, headers.get("origin"))
        if not allowed:
            return None
        if allowed[0][0] == "vary":
            return Response(204, b"", headers=allowed)
        asked = headers.get("access-control-request-headers") or ""
        names = asked if len(asked) <= HEADERS_CHARACTERS_MAX and _NAMES.fullmatch(asked) else ""
        more = [("access-control-allow-methods", method), ("access-control-max-age", str(MAX_AGE_S))]
        if names:
            more.append(("access-control-allow-headers", names))
        return Response(204, b"", headers=(*allowed, *more))


_FOR_ANY = (("access-control-allow-origin", _ANY), ("access-control-expose-headers", EXPOSED))
