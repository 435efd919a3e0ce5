"""From the events of one request to messages in Kafka: good ones to a source topic, bad ones to the dead letters.

Nothing is lost: an event is acknowledged by Kafka before its request is answered, and one that is refused is kept whole
with the reason, in the form in which the write path keeps those that it refuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from cohort_store.errors import BadEvent
from cohort_store.kafka.topics import DEAD_LETTERS
from cohort_store.settings import Settings
from evaluator.capture.captured import EventBody, Shape, captured, message_of
from evaluator.capture.event_sink import EventIntake, EventSink, Message, Outcome

SLICE = 25
"""Events that are read at a stretch, which is 2 ms; then other requests have their turn."""

DETAIL_CHARACTERS_MAX = 500
KEPT_BYTES_MAX = 262_144
"""Of an event in its dead letter."""


class Verdict(NamedTuple):
    """What became of one event of a request, in the request's order."""

    uuid: str | None
    problem: BadEvent | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capturing:
    """Where captured events go, and what an event may be."""

    intake: EventIntake
    topic: str
    shape: Shape
    event_bytes_max: int
    future_ms_max: int

    async def take(self, raws: Sequence[msgspec.Raw], team: int, now_ms: int, path: str) -> list[Verdict]:
        """What became of each, once all that is to be kept is kept. `path` is where they came in.

        Raises Retry where that is not known; to send them again is harmless.
        """
        found: list[tuple[Message, Verdict]] = []
        for begin in range(0, len(raws), SLICE):
            found += [self._read(raw, team, now_ms, path) for raw in raws[begin : begin + SLICE]]
            await asyncio.sleep(0)
        outcomes = await self.intake.take([message for message, _ in found], now_ms)
        too_large = [
            index
            for index, (outcome, (_, verdict)) in enumerate(zip(outcomes, found, strict=True))
            if outcome is Outcome.TOO_LARGE and verdict.problem is None
        ]
        verdicts = [verdict for _, verdict in found]
        for index in too_large:
            problem = BadEvent("too_large", f"topic {self.topic} takes no message so long; raise its max.message.bytes")
            verdicts[index] = verdicts[index]._replace(problem=problem)
        letters = [_letter(bytes(raws[index]), verdicts[index].problem, path, now_ms) for index in too_large]
        if letters:
            await self.intake.take(letters, now_ms)
        return verdicts

    def _read(self, raw: msgspec.Raw, team: int, now_ms: int, path: str) -> tuple[Message, Verdict]:
        try:
            event = captured(_body_of(raw), team, now_ms, self.future_ms_max)
            value = message_of(event, self.shape, self.event_bytes_max)
        except BadEvent as problem:
            return _letter(bytes(raw), problem, path, now_ms), Verdict(_uuid_of(raw), problem)
        return Message(self.topic, event.key(), value), Verdict(event.uuid, None)


def capturing_of(settings: Settings, sink: EventSink) -> Capturing | None:
    """Into the first source of events; None where there is none."""
    topic = next(iter(settings.event_sources), None)
    if topic is None:
        return None
    return Capturing(
        intake=EventIntake(sink),
        topic=topic,
        shape=Shape(settings.event_sources[topic]),
        event_bytes_max=settings.event_bytes_max,
        future_ms_max=settings.future_ms_max,
    )


class _Named(msgspec.Struct):
    uuid: str


_decode = msgspec.json.Decoder(EventBody).decode
_decode_uuid = msgspec.json.Decoder(_Named).decode


def _body_of(raw: msgspec.Raw) -> EventBody:
    try:
        return _decode(raw)
    except msgspec.ValidationError as error:
        raise BadEvent("wrong_type", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadEvent("not_json", str(error)) from None
    except RecursionError:
        raise BadEvent("too_deep", "the event is nested too deep; flatten it") from None


def _uuid_of(raw: msgspec.Raw) -> str | None:
    try:
        return _decode_uuid(raw).uuid
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _letter(raw: bytes, problem: BadEvent | None, path: str, now_ms: int) -> Message:
    """A dead letter, with the headers that the write path's have; it came from no partition."""
    headers = [
        ("source_topic", path.encode()),
        ("source_partition", b"-1"),
        ("source_offset", b"-1"),
        ("reason", (problem.reason if problem else "").encode()),
        ("detail", (problem.detail if problem else "")[:DETAIL_CHARACTERS_MAX].encode(errors="replace")),
        ("at_ms", str(now_ms).encode()),
    ]
    if len(raw) > KEPT_BYTES_MAX:
        headers.append(("original_bytes", str(len(raw)).encode()))
    return Message(DEAD_LETTERS, None, raw[:KEPT_BYTES_MAX], tuple(headers))
