"""A topic of one partition as its readers and writers see it, and its in-memory twin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class LogRecord(NamedTuple):
    """One message, and where it stands."""

    offset: int
    key: bytes
    value: bytes | None


class TopicLog(Protocol):
    """One reader's place in the topic, and a way to append. Raises Retry when the broker cannot be reached."""

    async def read(self, timeout_s: float) -> list[LogRecord]:
        """What came since the last read; empty where nothing did within the time-out."""
        ...

    async def read_to_end(self) -> list[LogRecord]:
        """What came since the last read, up to the end that the topic has at the time of the call."""
        ...

    async def append(self, messages: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Append in order, as one batch where they fit into one."""
        ...


class RememberedTopic:
    """The twin's topic: what was appended, by any of its logs."""

    def __init__(self) -> None:
        self.records: list[LogRecord] = []


class RememberedLog:
    """The in-memory twin."""

    def __init__(self, topic: RememberedTopic) -> None:
        self.topic = topic
        self._position = 0

    async def read(self, timeout_s: float) -> list[LogRecord]:  # noqa: ARG002 - nothing to wait for in memory
        return await self.read_to_end()

    async def read_to_end(self) -> list[LogRecord]:
        found = self.topic.records[self._position :]
        self._position = len(self.topic.records)
        return found

    async def append(self, messages: Sequence[tuple[bytes, bytes | None]]) -> None:
        for key, value in messages:
            self.topic.records.append(LogRecord(len(self.topic.records), key, value))
