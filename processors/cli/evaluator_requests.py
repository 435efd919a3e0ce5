"""What commands ask a running evaluator over HTTP."""

from __future__ import annotations

import asyncio
import http.client
import urllib.error
import urllib.request
from typing import Any

import msgspec

from cohort_store.settings import Settings
from processors.cli.invocation import Failed
from processors.cli.web import url_of

ANSWER_S_MAX = 30.0
"""An evaluator waits for ClickHouse too, but shorter."""


async def ask(settings: Settings, team: int, path: str, body: Any = None) -> Any:
    """The answer to a GET, or where there is a body to a POST. Raises Failed, with the evaluator's own reason."""
    token = next((token for token, of_team in settings.tokens.items() if of_team == team), None)
    if token is None:
        raise Failed(f"no token is for team {team}: name one in MUSTER_TOKENS, for this command and the evaluator")
    url = url_of(settings.evaluator_host, settings.evaluator_port, path)
    status, answer = await asyncio.to_thread(_exchange, url, token, body)
    try:
        decoded = msgspec.json.decode(answer)
    except msgspec.DecodeError:
        raise Failed(f"{url} is no evaluator: it answered {status} with no JSON; see MUSTER_EVALUATOR_PORT") from None
    if status != 200:
        detail = decoded.get("detail") if isinstance(decoded, dict) else None
        raise Failed(str(detail or f"{url} answered {status}"))
    return decoded


def _exchange(url: str, token: str, body: Any) -> tuple[int, bytes]:
    data = None if body is None else msgspec.json.encode(body)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, data, headers)  # noqa: S310 - made by url_of
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_S_MAX) as response:  # noqa: S310 - as above
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "reason", error) or "no answer"
        raise Failed(f"no evaluator answers at {url} ({why}): start muster evaluator, or muster up") from None
