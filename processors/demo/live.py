"""The live chapter: the scenario's moments, one after the other, and what is compared at them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from cohort_store.durations import format_instant
from cohort_store.errors import Crash
from processors.cli.watch import changes
from processors.demo.http.applications import Applications, applications
from processors.demo.play import Play
from processors.demo.scenario import HERO, HERO_COHORT, HERO_FLAG, Act, Chapter, moments
from processors.demo.stage import eventually


@dataclass(slots=True)
class Live:
    """One run of it."""

    play: Play
    causes: list[tuple[str, str]] = field(default_factory=list)
    """(status, cause) of the hero's changes, in their order."""

    async def run(self) -> None:
        """Play to the end; raises Crash where the hero's flag is not as told, Retry where something hangs."""
        stage = self.play.stage
        listening = asyncio.create_task(self._listen(), name="changes")
        try:
            async with applications(stage.evaluator_url, stage.token, HERO_FLAG, HERO) as asking:
                for moment in moments(self.play.log):
                    await self._reach(moment.at_ms, moment.act)
                    await self._act(moment.at_ms, moment.act, asking)
                    await self.play.look()
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening

    async def _reach(self, at_ms: int, act: Act) -> None:
        """Step the clock to the instant, with everything that happened up to it in Kafka.

        Events are sent once the shards' time is there, as in life, where they arrive after they happened. Where it
        matters that *everything* is folded, the clock stops a millisecond short of the instant, and goes there when
        the events are sent: a shard whose now has reached the instant has read them.
        """
        play = self.play
        play.stage.installation.tend()
        exact = act not in (Act.STEP, Act.FLAG_ON)
        await self._clock_at(at_ms - 1 if exact else at_ms)
        await play.source.send_until(play.log.until(at_ms), play.stage.clock.now_ms())
        if exact:
            await self._clock_at(at_ms)

    async def _clock_at(self, at_ms: int) -> None:
        """Step the clock, and wait for the shards."""
        self.play.stage.clock.set(at_ms)
        await eventually(f"every shard at {format_instant(at_ms)}", lambda: self.play.roll.reached(at_ms))

    async def _act(self, at_ms: int, act: Act, asking: Applications) -> None:
        told = format_instant(at_ms)[:19].replace("T", " ")
        match act:
            case Act.STEP:
                pass
            case Act.COMPARE:
                await self.play.compare(Chapter.LIVE)
            case Act.FLAG_BEFORE:
                await self._expect(on=False)
                await _all_see(asking, on=False)
                self._tell(f"{told}  off, after one payment error")
            case Act.FLAG_ON:
                seconds = await eventually(f"{HERO_FLAG} on for {HERO}", self._flag)
                await _all_see(asking, on=True)
                self._tell(f"{told}  ON, {seconds * 1000:.0f} ms after her second payment error was sent")
            case Act.FLAG_STILL_ON:
                await self._expect(on=True)
                self._tell(f"{told}  on still, a day after the first error but for a millisecond")
            case Act.FLAG_OFF:
                await self._expect(on=False)
                await eventually("the hero's changes told", self._heard_both)
                await _all_see(asking, on=False)
                self._tell(f"{told}  OFF by time alone: for 23 hours she did nothing")
                told_apart = ", ".join("on" if value else "off" for value in asking.pushed)
                self.play.display.say(
                    f"the posthog SDK and an OFREP provider of OpenFeature saw the same each time, and a stream of "
                    f"server-sent events was told: {told_apart}"
                )

    async def _listen(self) -> None:
        async for change in changes(self.play.stage.installation.settings, from_start=True):
            self.play.scene.changes_seen += 1
            self.play.scene.changes.append(change)
            if (change.person_id, change.cohort) == (HERO, HERO_COHORT):
                self.causes.append((change.status, change.cause))

    async def _flag(self) -> bool:
        return (await self.play.stage.ask(HERO_FLAG, HERO)).enabled

    async def _expect(self, *, on: bool) -> None:
        if await self._flag() is not on:
            at = format_instant(self.play.stage.clock.now_ms())
            raise Crash(f"flag {HERO_FLAG} of {HERO} is {'off' if on else 'on'} at {at}")

    async def _heard_both(self) -> bool:
        return self.causes[:2] == [("entered", "event"), ("left", "timer")]

    def _tell(self, sentence: str) -> None:
        self.play.scene.story.append(sentence)
        self.play.display.say(f"{HERO}, flag {HERO_FLAG}: {sentence}")


async def _all_see(asking: Applications, *, on: bool) -> None:
    await eventually(f"{HERO_FLAG} {'on' if on else 'off'} for every application", lambda: asking.see(on=on))
