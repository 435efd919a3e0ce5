"""The `posthog` package under remote control; see toolchains.py."""

import json
import sys
from collections.abc import Callable
from typing import Any

from posthog import Posthog

_clients: list[Posthog] = []


def _open(host: str, token: str, secret: str | None, poll_ms: int) -> dict[str, Any]:
    client = Posthog(
        token, host=host, secret_key=secret, poll_interval=poll_ms / 1_000, flush_interval=0.1, disable_geoip=True
    )
    client.debug = False
    if secret:
        client.load_feature_flags()  # type: ignore[no-untyped-call]  # as its authors left it
    _clients.append(client)
    return {}


def _flag(key: str, person: str, properties: dict[str, Any]) -> dict[str, Any]:
    flags = _clients[-1].evaluate_flags(person, person_properties=properties, flag_keys=[key])
    return {"value": flags.get_flag(key)}


def _payload(key: str, person: str, properties: dict[str, Any]) -> dict[str, Any]:
    flags = _clients[-1].evaluate_flags(person, person_properties=properties, flag_keys=[key])
    return {"value": flags.get_flag_payload(key)}


def _capture(event: str, person: str, properties: dict[str, Any]) -> dict[str, Any]:
    _clients[-1].capture(event, distinct_id=person, properties=properties)
    return {}


def _flush() -> dict[str, Any]:
    _clients[-1].flush()
    return {}


def _remote_config(key: str) -> dict[str, Any]:
    return {"value": _clients[-1].get_remote_config_payload(key)}


_ANSWERS: dict[str, Callable[..., dict[str, Any]]] = {
    "open": _open,
    "flag": _flag,
    "payload": _payload,
    "capture": _capture,
    "flush": _flush,
    "remote_config": _remote_config,
}

for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = _ANSWERS[request.pop("do")](**request)
    except Exception as error:  # noqa: BLE001 - whatever it is, the test is to hear of it
        answer = {"error": repr(error)}
    print(json.dumps(answer), flush=True)  # noqa: T201 - the answer's way
for each in _clients:
    each.shutdown()
