"""The provider: flags decided where they are asked for, out of what is known of the team and of the person.

A value is never made up. Where nothing is known of a person, or of the flags, the caller's default is answered with
an error code and a sentence that says why. What may be out of date, since the evaluator is not heard of, is answered
with the reason STALE.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEventDetails
from openfeature.exception import ErrorCode, ProviderNotReadyError
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
from openfeature.provider import AbstractProvider, Metadata

from cohort_store.clocks import Clock, SystemClock
from cohort_store.errors import BadEvent
from evaluator.muster_openfeature import values
from evaluator.muster_openfeature.http.asking import EvaluatorClient, Unreachable
from evaluator.muster_openfeature.knowledge import decide, lacks_a_cohort
from evaluator.muster_openfeature.live import LiveKnowledge

PERSONS_MAX = 10_000
"""Persons who are known at once, unless another number is given; an evaluator tells a stream of no more."""

TIMEOUT_S = 1.0
"""How long an evaluation waits for a person of whom nothing is known yet."""


class MusterProvider(AbstractProvider):
    """One evaluator's flags for one team.

    `resolve_*` ask the evaluator only for a person who is not known, and wait for it; those ending in `_async` wait on
    a thread. The targeting key is the person's distinct id, the other attributes are her properties.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        persons_max: int = PERSONS_MAX,
        timeout_s: float = TIMEOUT_S,
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        self._clock = clock or SystemClock()
        self._live = LiveKnowledge(
            EvaluatorClient(url, token, timeout_s),
            persons_max,
            changed=self._definitions_changed,
            connected=self._connection_changed,
        )
        self._is_ready = False
        self._timeout_s = timeout_s

    def get_metadata(self) -> Metadata:
        return Metadata("muster")

    def initialize(self, evaluation_context: EvaluationContext) -> None:  # noqa: ARG002 - every person's is her own
        """Fetch definitions, and listen from now on. Without an evaluator it raises, and is ready once there is one."""
        try:
            self._live.fetch_definitions()
            self._is_ready = True
        except Unreachable as error:
            self._live.start(0)
            raise ProviderNotReadyError(str(error)) from None
        self._live.start(self._timeout_s)

    def shutdown(self) -> None:
        self._live.stop()

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        return self._resolve(flag_key, default_value, evaluation_context, values.boolean)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        return self._resolve(flag_key, default_value, evaluation_context, values.string)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        return self._resolve(flag_key, default_value, evaluation_context, values.integer)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        return self._resolve(flag_key, default_value, evaluation_context, values.number)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        return self._resolve(flag_key, default_value, evaluation_context, values.structure)

    async def resolve_boolean_details_async(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        await self._know(evaluation_context)
        return self.resolve_boolean_details(flag_key, default_value, evaluation_context)

    async def resolve_string_details_async(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        await self._know(evaluation_context)
        return self.resolve_string_details(flag_key, default_value, evaluation_context)

    async def resolve_integer_details_async(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        await self._know(evaluation_context)
        return self.resolve_integer_details(flag_key, default_value, evaluation_context)

    async def resolve_float_details_async(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        await self._know(evaluation_context)
        return self.resolve_float_details(flag_key, default_value, evaluation_context)

    async def resolve_object_details_async(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        await self._know(evaluation_context)
        return self.resolve_object_details(flag_key, default_value, evaluation_context)

    def _resolve(
        self, flag_key: str, default: Any, context: EvaluationContext | None, convert: values.Convert
    ) -> FlagResolutionDetails[Any]:
        live = self._live
        distinct_id = context.targeting_key if context is not None else None
        if not distinct_id:
            return _failed(default, ErrorCode.TARGETING_KEY_MISSING, "the targeting key is the person's distinct id")
        try:
            known = live.persons.get(distinct_id) or live.fetch(distinct_id)
            definitions = live.definitions or live.fetch_definitions()
            flag = definitions.flags.get(flag_key)
            if flag is not None and lacks_a_cohort(flag, known):
                known = live.fetch(distinct_id)
        except Unreachable as error:
            code = ErrorCode.PROVIDER_NOT_READY if live.definitions is None else ErrorCode.GENERAL
            return _failed(default, code, f"nothing is known of this person: {error}")
        if flag is None:
            refused = definitions.refused.get(flag_key)
            if refused is not None:
                return _failed(default, ErrorCode.PARSE_ERROR, refused)
            return _failed(default, ErrorCode.FLAG_NOT_FOUND, f"the team has no flag {flag_key!r}")
        live.keep_current(distinct_id, known)
        properties = context.attributes if context is not None else {}
        try:
            answer = decide(flag, distinct_id, properties, known, self._clock.now_ms())
        except BadEvent as error:
            return _failed(default, ErrorCode.INVALID_CONTEXT, f"{error.detail}; send flat attributes")
        found = convert(answer, default)
        if found.error_code is None and live.is_stale(known):
            found.reason = Reason.STALE
        return found

    async def _know(self, context: EvaluationContext | None) -> None:
        """Ask for a person who is not known, without holding up the event loop."""
        distinct_id = context.targeting_key if context is not None else None
        if distinct_id and self._live.persons.get(distinct_id) is None:
            await asyncio.to_thread(self._fetch, distinct_id)

    def _fetch(self, distinct_id: str) -> None:
        try:
            self._live.fetch(distinct_id)
        except Unreachable:
            return  # the evaluation that follows says so

    def _definitions_changed(self, keys: list[str]) -> None:
        self.emit_provider_configuration_changed(ProviderEventDetails(flags_changed=keys))

    def _connection_changed(self, is_connected: bool, why: str) -> None:
        if is_connected:
            if not self._is_ready:
                self._is_ready = True
                self.emit_provider_ready(ProviderEventDetails())
        elif self._is_ready:
            self._is_ready = False
            self.emit_provider_stale(ProviderEventDetails(message=f"values may be out of date: {why}"))


def _failed(default: Any, code: ErrorCode, message: str) -> FlagResolutionDetails[Any]:
    return FlagResolutionDetails(default, error_code=code, error_message=message, reason=Reason.ERROR)
