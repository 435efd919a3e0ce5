"""From bytes to a typed message, with every failure told as a BadEvent."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from cohort_store.errors import BadEvent
from processors.codecs.depth import DEPTH_MAX, is_too_deep
from processors.codecs.event import Limits, Reason

Message = TypeVar("Message")

_MISSING = "Object missing required field"


def read_message(raw: bytes, decoder: msgspec.json.Decoder[Message], limits: Limits, *, many_brackets: bool) -> Message:
    """The message, held to its size and depth before it is decoded. `many_brackets`: depth.has_many_brackets(raw)."""
    if not raw:
        raise BadEvent(Reason.EMPTY, "the message has no value")
    if len(raw) > limits.event_bytes_max:
        raise BadEvent(Reason.TOO_LARGE, f"the message has {len(raw)} bytes; at most {limits.event_bytes_max}")
    if many_brackets and is_too_deep(raw):
        raise BadEvent(Reason.TOO_DEEP, f"the message is nested deeper than {DEPTH_MAX} levels; flatten it")
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise BadEvent(Reason.NOT_JSON, str(error)) from None
    except RecursionError:
        raise BadEvent(Reason.TOO_DEEP, "the message is nested too deep; flatten it") from None


def _invalid(problem: str) -> BadEvent:
    """msgspec says what is wrong in words only; the words it begins and ends with are told apart here."""
    if problem.startswith(_MISSING):
        return BadEvent(Reason.MISSING_FIELD, problem)
    if problem.endswith("`$.team_id`"):
        return BadEvent(Reason.BAD_TEAM, problem)
    return BadEvent(Reason.WRONG_TYPE, problem)
