"""Which payloads an OpenFeature client can be given as a flag's value.

OFREP knows booleans, texts, numbers and objects. It has no list and no null, so a flag whose value is its payload may
hold neither: a client would fall back to its default without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

OpenFeatureValue = Literal["variant", "payload"]
"""What an OpenFeature client gets as the flag's value: its variant (true or false without variants), or its payload."""


def payload_value(payload: Any) -> Any:
    """A payload as the JSON value that it holds; a text that is no JSON is that text."""
    if not isinstance(payload, str):
        return payload
    try:
        return msgspec.json.decode(payload)
    except msgspec.DecodeError:
        return payload


def check_payload_values(payloads: Mapping[str, Any]) -> None:
    """Raises ValueError for a payload that cannot be a flag's value, and where there is none at all."""
    if not payloads:
        raise ValueError(
            "muster.openfeature_value is payload, and the flag has none; give it payloads, or leave it out"
        )
    for key, payload in payloads.items():
        value = payload_value(payload)
        if value is None or isinstance(value, list):
            raise ValueError(
                f"payload {key[:80]!r} is {str(payload)[:40]!r}, which is no OpenFeature value; make it an object, a "
                "text, a number or a boolean, or leave muster.openfeature_value out"
            )
