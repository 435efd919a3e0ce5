"""The `openfeature-provider-ofrep` package under remote control; see toolchains.py."""

import json
import sys
from collections.abc import Callable
from typing import Any

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext


def _open(host: str, token: str) -> dict[str, Any]:
    api.set_provider_and_wait(
        OFREPProvider(host, headers_factory=lambda: {"Authorization": f"Bearer {token}"}, timeout=10.0)
    )
    return {}


def _value(kind: str, key: str, person: str, properties: dict[str, Any], otherwise: Any) -> dict[str, Any]:
    ask = getattr(api.get_client(), f"get_{kind}_details")
    details = ask(key, otherwise, EvaluationContext(person, properties))
    return {
        "value": details.value,
        "variant": details.variant,
        "reason": details.reason,
        "failure": details.error_code,
        "status": details.flag_metadata.get("status"),
    }


_ANSWERS: dict[str, Callable[..., dict[str, Any]]] = {"open": _open, "value": _value}

for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = _ANSWERS[request.pop("do")](**request)
    except Exception as error:  # noqa: BLE001 - whatever it is, the test is to hear of it
        answer = {"error": repr(error)}
    print(json.dumps(answer), flush=True)  # noqa: T201 - the answer's way
