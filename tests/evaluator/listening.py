"""A client of server-sent events, on a thread of its own: what a test's evaluator tells."""

import json
import queue
import threading
import time
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx

from tests.evaluator.serving import DEADLINE_S, TOKEN


class Told(NamedTuple):
    """One event as it was received."""

    name: str
    data: dict[str, Any]
    id: str


class Listener:
    """Connected from entering the block to leaving it."""

    def __init__(self, url: str, path: str = "/sse/flags", last_id: str = "", **params: str) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"} | ({"Last-Event-ID": last_id} if last_id else {})
        self._client = httpx.Client(base_url=url, timeout=httpx.Timeout(DEADLINE_S))
        self._request = self._client.build_request("GET", path, params=params, headers=headers)
        self._told: queue.Queue[Told | None] = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self.response = self._client.send(self._request, stream=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._client.close()

    def next(self, within_s: float = DEADLINE_S) -> Told:
        """The next event; an AssertionError where none comes in time, or the stream ended."""
        try:
            told = self._told.get(timeout=within_s)
        except queue.Empty:
            raise AssertionError(f"nothing was told within {within_s} s") from None
        assert told is not None, "the stream ended"
        return told

    def until(self, name: str) -> Told:
        """The next event of that name; others are passed over."""
        deadline = time.monotonic() + DEADLINE_S
        while (told := self.next(deadline - time.monotonic())).name != name:
            pass
        return told

    def ended(self) -> list[Told]:
        """What came until the end of the stream, which must come."""
        told = []
        while (each := self._told.get(timeout=DEADLINE_S)) is not None:
            told.append(each)
        return told

    def _read(self) -> None:
        fields: dict[str, str] = {}
        try:
            for line in self.response.iter_lines():
                key, _, value = line.partition(":")
                if line and key:
                    fields[key] = value.removeprefix(" ")
                elif "data" in fields:
                    data = json.loads(fields["data"])
                    self._told.put(Told(fields.get("event", "message"), data, fields.get("id", "")))
                    fields = {}
        except (httpx.HTTPError, httpx.StreamError):
            pass
        self._told.put(None)
