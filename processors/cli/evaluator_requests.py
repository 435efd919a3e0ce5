"""What commands ask a running evaluator over HTTP."""

from __future__ import annotations

import asyncio
import http.client
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import msgspec

from cohort_store.secret_key_file import read_secret_key
from cohort_store.settings import Settings
from processors.cli.invocation import Failed
from processors.cli.web import url_of
from processors.own_certificate import context_trusting

ANSWER_S_MAX = 30.0
"""An evaluator waits for ClickHouse too, but shorter."""


async def ask(settings: Settings, path: str, body: Any = None) -> Any:
    """The answer to a GET, or where there is a body to a POST, about the team whose key the settings name.

    Raises Failed, with the evaluator's own reason.
    """
    if not settings.secret_key_file:
        raise Failed(
            "a secret key with the right explain is needed: let MUSTER_SECRET_KEY_FILE name a file with one, as "
            "`muster keys create` makes them"
        )
    token = read_secret_key(Path(settings.secret_key_file))
    certificate = settings.tls_certificate
    url = url_of(settings.evaluator_host, settings.evaluator_port, path, secure=bool(certificate))
    status, answer = await asyncio.to_thread(_exchange, url, token, body, certificate)
    try:
        decoded = msgspec.json.decode(answer)
    except msgspec.DecodeError:
        raise Failed(f"{url} is no evaluator: it answered {status} with no JSON; see MUSTER_EVALUATOR_PORT") from None
    if status != 200:
        detail = decoded.get("detail") if isinstance(decoded, dict) else None
        raise Failed(str(detail or f"{url} answered {status}"))
    return decoded


def _exchange(url: str, token: str, body: Any, certificate: str) -> tuple[int, bytes]:
    data = None if body is None else msgspec.json.encode(body)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, data, headers)  # noqa: S310 - made by url_of
    try:
        context = context_trusting(certificate) if certificate else None
        with urllib.request.urlopen(request, timeout=ANSWER_S_MAX, context=context) as response:  # noqa: S310 - as above
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "reason", error) or "no answer"
        raise Failed(f"no evaluator answers at {url} ({why}): start muster evaluator, or muster up") from None
