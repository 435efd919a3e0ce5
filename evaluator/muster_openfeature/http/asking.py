"""An evaluator as the provider asks it: contexts, and one stream of what changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import httpx
import msgspec

from evaluator.push.contexts import ContextAnswer, ContextRequest

SILENCE_S = 45.0
"""A stream that says nothing for so long, heartbeats included, is taken for dead."""

_STREAM_ID = "x-muster-stream"


class Unreachable(Exception):
    """The evaluator did not answer, or refused; the message says which."""


class Told(NamedTuple):
    """One event of the stream."""

    name: str
    data: bytes
    id: str


class Listening(NamedTuple):
    """A stream that is open."""

    stream: str
    events: Iterator[Told]


class EvaluatorClient:
    """For any number of threads. Raises Unreachable, and nothing else."""

    def __init__(self, url: str, token: str, timeout_s: float) -> None:
        self._client = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=timeout_s,
        )
        self._listening_timeout = httpx.Timeout(timeout_s, read=SILENCE_S)
        self._url = url

    def context(self, distinct_id: str | None, version: int | None = None, stream: str = "") -> ContextAnswer:
        """One person, or none; definitions where another version than that one is in force."""
        body = msgspec.json.encode(ContextRequest(distinct_id, version, stream))
        try:
            response = self._client.post("/flags/context", content=body)
            if response.status_code == httpx.codes.OK:
                return msgspec.json.decode(response.content, type=ContextAnswer)
        except (httpx.HTTPError, msgspec.MsgspecError, RuntimeError) as error:
            raise self._unreachable(error) from error
        raise Unreachable(f"{self._url} answered {response.status_code}: {response.text[:300]}")

    @contextmanager
    def listen(self, last_id: str) -> Iterator[Listening]:
        """The team's stream, from the event behind that one on. It ends, or raises Unreachable, when it breaks."""
        headers = {"Last-Event-ID": last_id} if last_id else {}
        try:
            with self._client.stream("GET", "/sse/flags", headers=headers, timeout=self._listening_timeout) as response:
                if response.status_code != httpx.codes.OK:
                    response.read()
                    raise Unreachable(f"{self._url} answered {response.status_code}: {response.text[:300]}")
                yield Listening(response.headers.get(_STREAM_ID, ""), events(response.iter_lines()))
        except (httpx.HTTPError, httpx.StreamError, RuntimeError) as error:
            raise self._unreachable(error) from error

    def close(self) -> None:
        """Break what is under way. Doing it twice is harmless."""
        self._client.close()

    def _unreachable(self, error: Exception) -> Unreachable:
        return Unreachable(f"{self._url} did not answer: {str(error) or type(error).__name__}")


def events(lines: Iterable[str]) -> Iterator[Told]:
    """The events in the lines of a stream, as the HTML standard reads them; comments are passed over."""
    name, event_id = "", ""
    data: list[str] = []
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield Told(name or "message", "\n".join(data).encode(), event_id)
            name, data = "", []
        elif field == "data":
            data.append(value)
        elif field == "event":
            name = value
        elif field == "id":
            event_id = value
