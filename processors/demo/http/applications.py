"""What an application sees of a flag: through PostHog's own SDK, through OpenFeature's OFREP provider, and pushed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import httpx
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from posthog import Posthog

HTTP_S_MAX = 10.0
RECONNECT_S = 0.2


class Applications:
    """Three applications that ask about one person's flag, or are told of it."""

    def __init__(self, url: str, token: str, flag: str, person: str) -> None:
        self._flag, self._person = flag, person
        self._url, self._token = url, token
        # It asks, and sends no events of its own: those would come at another time than the log's.
        self._posthog = Posthog(token, host=url, disable_geoip=True, send=False)
        api.set_provider_and_wait(
            OFREPProvider(url, headers_factory=lambda: {"Authorization": f"Bearer {token}"}, timeout=HTTP_S_MAX)
        )
        self._openfeature: OpenFeatureClient = api.get_client()
        self._asks: dict[str, Callable[[], bool]] = {
            "the posthog SDK": self._by_posthog,
            "the OFREP provider": self._by_openfeature,
        }
        self.pushed: list[bool] = []
        """The flag's values in the order in which the stream told them."""

    async def see(self, *, on: bool) -> bool:
        """Whether all of them see the flag so now."""
        values = [await asyncio.to_thread(ask) for ask in self._asks.values()]
        return all(value is on for value in values) and self.pushed[-1:] == [on]

    async def listen(self) -> None:
        """Take what is pushed, until cancelled."""
        query = {"token": self._token, "distinct_id": self._person}
        last_id = ""
        async with httpx.AsyncClient(base_url=self._url, timeout=httpx.Timeout(HTTP_S_MAX, read=None)) as client:
            while True:
                headers = {"Last-Event-ID": last_id} if last_id else {}
                with suppress(httpx.TransportError):
                    async with client.stream("GET", "/sse/flags", params=query, headers=headers) as response:
                        async for told in _events(response):
                            last_id = told.id or last_id
                            self._take(told)
                await asyncio.sleep(RECONNECT_S)

    def close(self) -> None:
        """Let go of them."""
        self._posthog.shutdown()
        api.shutdown()
        api.clear_providers()

    def _take(self, told: _Told) -> None:
        flag = told.data.get("flags", {}).get(self._flag) if told.name in ("state", "change") else None
        if flag is not None and self.pushed[-1:] != [flag["enabled"]]:
            self.pushed.append(flag["enabled"])

    def _by_posthog(self) -> bool:
        return self._posthog.evaluate_flags(self._person, flag_keys=[self._flag]).is_enabled(self._flag)

    def _by_openfeature(self) -> bool:
        return self._openfeature.get_boolean_value(self._flag, False, EvaluationContext(self._person))


class _Told(NamedTuple):
    """One server-sent event."""

    name: str
    id: str
    data: dict[str, Any]


async def _events(response: httpx.Response) -> AsyncIterator[_Told]:
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif "data" in fields:
            yield _Told(fields.get("event", "message"), fields.get("id", ""), json.loads(fields["data"]))
            fields = {}


@asynccontextmanager
async def applications(url: str, token: str, flag: str, person: str) -> AsyncIterator[Applications]:
    """Applications that are open, and listen."""
    opened = await asyncio.to_thread(Applications, url, token, flag, person)
    listening = asyncio.create_task(opened.listen(), name="a stream of changed flags")
    try:
        yield opened
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening
        await asyncio.to_thread(opened.close)
