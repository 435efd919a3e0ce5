"""The demo's chapters but for the live one. Each ends with a comparison of all sets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import monotonic

from cohort_store.durations import format_instant
from cohort_store.errors import Crash
from processors.demo.asking import Asked, Asker, meanwhile, neither_old_nor_new
from processors.demo.history import write_history
from processors.demo.log import COHORTS, moved_definitions
from processors.demo.play import Play
from processors.demo.scenario import EDITED_COHORT, EDITED_FLAG, EDITED_WITHIN, Chapter, edited, first_ms, history_of
from processors.demo.stage import eventually

BYSTANDERS = 12
"""Persons who are asked about beside those who are regulars before the edit or after it."""
COOLING = "cooling-regulars"


async def begin_with_history(play: Play) -> None:
    """Five months into ClickHouse alone; then the cohorts, which are filled in out of it."""
    history = play.log.events[: history_of(play.log)]
    began_s = monotonic()
    await write_history(play.stage.installation.settings.clickhouse, history)
    play.display.say(
        f"{len(history):,} events of {format_instant(history[0].time_ms)[:10]} to "
        f"{format_instant(history[-1].time_ms)[:10]} are in ClickHouse after {monotonic() - began_s:.1f} s, "
        "and none of them in Kafka"
    )
    version = await play.define(moved_definitions(COHORTS, play.log.shift_ms))
    play.stage.clock.set(first_ms(play.log))
    seconds = await play.until_whole(version)
    comparison = await play.compare(Chapter.HISTORY)
    play.display.say(f"filled in after {seconds:.1f} s: all {len(comparison.cohorts)} cohorts OK, none WARMING")
    await play.look()


async def edit_while_asked(play: Play) -> None:
    """A cohort is edited while a flag that asks it, and one that refers to it, is asked all the time."""
    at_ms = play.stage.clock.now_ms()
    before = await play.reference.members(at_ms)
    after = await play.reference.members(at_ms, edited=True)
    old, new = _banner(before), _banner(after)
    asker = _asker(play, before[EDITED_COHORT] | after[EDITED_COHORT])
    async with asker:
        await _everybody_once_more(asker)
        began = asker.latest()[0].versions
        version = await play.define(edited(moved_definitions(COHORTS, play.log.shift_ms)))
        seconds = await play.until_whole(version)
        await eventually(
            f"{EDITED_FLAG} by the new versions", lambda: _all_so(asker, lambda each: each.versions != began)
        )
    ended = asker.latest()[0].versions
    wrong = neither_old_nor_new(asker.answers, old, new, ended)
    if wrong:
        raise Crash(f"{len(wrong)} answers of {EDITED_FLAG} are neither the old nor the new one, as {wrong[0]}")
    play.display.say(f"{EDITED_COHORT} within {EDITED_WITHIN}, in force after {seconds:.1f} s")
    play.display.say(
        f"{EDITED_FLAG}, asked {len(asker.answers):,} times meanwhile: the old answer each time, and the new one from "
        f"one moment on ({len(old)} had it on, {len(new)} have it)"
    )
    await play.compare(Chapter.EDIT)
    await play.look()


async def lose_everything(play: Play) -> None:
    """Redis is emptied while the flag is asked; nobody does anything about it."""
    right = await play.reference.members(play.stage.clock.now_ms(), edited=True)
    asker = _asker(play, right[EDITED_COHORT])
    async with asker:
        await _everybody_once_more(asker)
        first = len(asker.answers)
        play.stage.flush()
        play.display.say("FLUSHALL: Redis is empty")
        seconds = await play.until_whole()
        await _everybody_once_more(asker)
    found = meanwhile(asker.answers[first:], _banner(right))
    if found.unmarked:
        raise Crash(f"{len(found.unmarked)} answers of {EDITED_FLAG} are wrong and say OK, as {found.unmarked[0]}")
    play.display.say(f"everything is back after {seconds:.1f} s, with no operator")
    play.display.say(
        f"{EDITED_FLAG}, asked {found.statuses.total():,} times meanwhile: {found.told}; none was wrong and said OK"
    )
    if found.by_policy:
        play.display.say(f"{found.by_policy:,} answers by its policy, as: {found.reason}")
    await play.compare(Chapter.LOSS)
    await play.look()


def _banner(members: dict[str, frozenset[str]]) -> frozenset[str]:
    """Who has the flag on, by the SQL: regulars that are not cooling down."""
    return members[EDITED_COHORT] - members[COOLING]


def _asker(play: Play, persons: frozenset[str]) -> Asker:
    others = {event.person for event in play.log.events} - persons
    asked = [*sorted(persons), *sorted(others)[:BYSTANDERS]]
    return Asker(partial(play.stage.ask, EDITED_FLAG), asked)


async def _everybody_once_more(asker: Asker) -> None:
    await eventually("an answer about everybody", partial(asker.is_past, len(asker.answers)))


async def _all_so(asker: Asker, holds: Callable[[Asked], bool]) -> bool:
    await asker.is_past(0)
    return all(map(holds, asker.latest()))
