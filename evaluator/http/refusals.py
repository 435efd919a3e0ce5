"""Refused requests: what the caller is told, and what the log and the metrics are told beyond that."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from math import ceil

from cohort_store.access_keys import PUBLIC_RIGHTS, Right
from evaluator.access import Denied, Grant, Refusal
from evaluator.http.messages import Problem, ProblemBody
from evaluator.limits import RateLimiter
from evaluator.metrics import Metrics

LOGGED_PER_S, LOGGED_BURST_S = 1.0, 10.0
"""Lines a second of one reason and one key, of all callers together: who is refused decides how often it happens."""

_CHALLENGE = (("www-authenticate", "Bearer"),)
_HOW = "muster keys create NAME --right {right} makes one, and muster up keeps one in the file secret-key of its folder"

logger = logging.getLogger(__name__)


class Refused(Problem):
    """A request that is refused for who sends it, or how often."""

    def __init__(
        self, denied: Denied, status: int, body: ProblemBody, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(status, body, headers)
        self.denied = denied


def unknown_credential(denied: Denied, attr: str) -> Refused:
    """The same for what nobody was given, for what was revoked, and for what ran out."""
    detail = (
        "this token or key is not known, or counts no more; public tokens are in the setting MUSTER_TOKENS, "
        "muster keys list shows the keys"
    )
    return Refused(denied, 401, ProblemBody("authentication_error", "invalid_api_key", detail, attr), _CHALLENGE)


def lacking(grant: Grant, right: Right, attr: str) -> Refused:
    """A credential that is known, and opens other things than this."""
    holder = "a public token" if grant.rights <= PUBLIC_RIGHTS else f"this key ({grant.key})"
    detail = (
        f"{holder} may {_listed(grant.rights)}, and this needs the right {right}: send a secret key that has it as "
        f"Authorization: Bearer <key>; {_HOW.format(right=right)}"
    )
    body = ProblemBody("authentication_error", "permission_denied", detail, attr)
    return Refused(Denied(Refusal.LACKS_RIGHT, "" if grant.rights <= PUBLIC_RIGHTS else grant.key), 403, body)


def secret_in_address() -> Refused:
    """A secret key in the query: refused whether it is right or not, so that nobody gets used to it."""
    detail = "a secret key in an address stays in the logs of every proxy; send it as Authorization: Bearer <key>"
    body = ProblemBody("authentication_error", "secret_in_address", detail, "token")
    return Refused(Denied(Refusal.IN_ADDRESS), 401, body, _CHALLENGE)


def other_team(grant: Grant) -> Refused:
    """A secret key beside the token of a team that it is not of."""
    detail = f"this key is team {grant.team}'s, and the token beside it another team's; send the two of one team"
    return Refused(
        Denied(Refusal.OTHER_TEAM, grant.key),
        403,
        ProblemBody("authentication_error", "permission_denied", detail, "token"),
    )


def too_fast(why: Refusal, wait_s: float, setting: str) -> Refused:
    """More requests than the setting lets through."""
    seconds = max(1, ceil(wait_s))
    whose = "this address" if why is Refusal.CLIENT_TOO_FAST else "this token or key"
    detail = f"{whose} asks more often than {setting} lets through; try again in {seconds} s, or ask less often"
    body = ProblemBody("throttled_error", "throttled", detail, None)
    return Refused(Denied(why), 429, body, (("retry-after", str(seconds)),))


class RefusalReport:
    """Counts every refusal, and logs the first ones of each reason and key."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lines = RateLimiter(LOGGED_PER_S, LOGGED_BURST_S)

    def tell(self, refused: Refused, method: str, route: str, caller: str, now_s: float) -> None:
        """One refusal. `route` is a template, `caller` an address."""
        why, key = refused.denied
        self._metrics.refused(why)
        if not self._lines.take(f"{why} {key}", now_s):
            named = f" (key {key})" if key else ""
            logger.warning("refused: %s %s from %s: %s%s", method, route, caller, why, named)


def _listed(rights: Iterable[Right]) -> str:
    return ", ".join(right for right in Right if right in frozenset(rights)) or "nothing"
