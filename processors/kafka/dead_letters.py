"""Dead letters: what could not be processed goes to `muster.dlq`, whole, with where it came from and why.

The value is the original bytes; the headers are source_topic, source_partition, source_offset, reason, detail and
at_ms, as UTF-8 text. A letter that the topic refuses as too large is sent with its first KEPT_BYTES only
and the header original_bytes: a pipeline never stops for a bad message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from cohort_store.errors import Retry
from cohort_store.kafka.topics import DEAD_LETTERS as TOPIC

KEPT_BYTES = 262_144
DETAIL_CHARACTERS_MAX = 500


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One refused message. `reason` is a stable word, `detail` a sentence for people."""

    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    value: bytes
    at_ms: int

    def headers(self) -> list[tuple[str, bytes]]:
        """As they go over the wire."""
        return [
            ("source_topic", self.topic.encode()),
            ("source_partition", str(self.partition).encode()),
            ("source_offset", str(self.offset).encode()),
            ("reason", self.reason.encode()),
            ("detail", self.detail[:DETAIL_CHARACTERS_MAX].encode(errors="replace")),
            ("at_ms", str(self.at_ms).encode()),
        ]


class DeadLetters(Protocol):
    """Where refused messages go."""

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Return when all are kept. Raises Retry where that is not known; sending them again is harmless."""
        ...


class KafkaDeadLetters:
    """`muster.dlq`, over a producer that its caller starts and stops."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Return when all are acknowledged."""
        try:
            await asyncio.gather(*(self._send(letter) for letter in letters))
        except KafkaError as error:
            raise Retry(f"{len(letters)} dead letters could not be written to {TOPIC}: {error}") from error

    async def _send(self, letter: DeadLetter) -> None:
        try:
            await self._producer.send_and_wait(TOPIC, letter.value, headers=letter.headers())
        except MessageSizeTooLargeError:
            whole = ("original_bytes", str(len(letter.value)).encode())
            await self._producer.send_and_wait(TOPIC, letter.value[:KEPT_BYTES], headers=[*letter.headers(), whole])


class RememberedDeadLetters:
    """The in-memory twin: a list."""

    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Keep them."""
        self.letters += letters
