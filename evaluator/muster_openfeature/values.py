"""A flag's answer as OpenFeature's five types. Pure.

A boolean is whether the flag is on; a text is its variant; numbers and structures are its payload. Of a flag that is
off, every type but the boolean is the caller's default, with no error: nothing was given to this person.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagResolutionDetails, Reason

from evaluator.deciding.flags import FlagAnswer, is_unavailable

Convert = Callable[[FlagAnswer, Any], FlagResolutionDetails[Any]]
"""An answer and the caller's default → what OpenFeature is told."""

_REASONS = {
    "condition_match": Reason.TARGETING_MATCH,
    "no_condition_match": Reason.DEFAULT,
    "out_of_rollout_bound": Reason.SPLIT,
    "flag_disabled": Reason.DISABLED,
}


def boolean(answer: FlagAnswer, _default: Any) -> FlagResolutionDetails[Any]:
    return _details(answer, answer.enabled)


def string(answer: FlagAnswer, default: Any) -> FlagResolutionDetails[Any]:
    if not answer.enabled:
        return _details(answer, default)
    if answer.variant is None:
        return _mismatch(answer, default, "has no variants; ask for a boolean, or for its payload")
    return _details(answer, answer.variant)


def integer(answer: FlagAnswer, default: Any) -> FlagResolutionDetails[Any]:
    return _payload(answer, default, lambda value: type(value) is int, "a whole number")


def number(answer: FlagAnswer, default: Any) -> FlagResolutionDetails[Any]:
    found = _payload(answer, default, lambda value: type(value) in (int, float), "a number")
    if type(found.value) is int:
        found.value = float(found.value)
    return found


def structure(answer: FlagAnswer, default: Any) -> FlagResolutionDetails[Any]:
    return _payload(answer, default, lambda value: isinstance(value, (dict, list)), "an object or a list")


def _payload(answer: FlagAnswer, default: Any, fits: Callable[[Any], bool], wanted: str) -> FlagResolutionDetails[Any]:
    if not answer.enabled:
        return _details(answer, default)
    if answer.metadata.payload is None:
        return _mismatch(answer, default, f"has no payload for this value; give it one that is {wanted}")
    try:
        value = msgspec.json.decode(answer.metadata.payload)
    except msgspec.DecodeError:
        return _mismatch(answer, default, "has a payload that is no JSON")
    if not fits(value):
        return _mismatch(answer, default, f"has a payload that is not {wanted}")
    return _details(answer, value)


def _details(answer: FlagAnswer, value: Any) -> FlagResolutionDetails[Any]:
    reason = answer.reason
    metadata: dict[str, bool | int | float | str] = {"version": answer.metadata.version}
    if is_unavailable(answer):
        metadata["unavailable"] = reason.description
    return FlagResolutionDetails(
        value,
        variant=answer.variant,
        reason=_REASONS.get(reason.code, Reason.UNKNOWN),
        flag_metadata=metadata,
    )


def _mismatch(answer: FlagAnswer, default: Any, problem: str) -> FlagResolutionDetails[Any]:
    message = f"flag {answer.key} {problem}"
    return FlagResolutionDetails(
        default, error_code=ErrorCode.TYPE_MISMATCH, error_message=message, reason=Reason.ERROR
    )
