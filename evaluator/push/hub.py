"""Who listens, and whose flags are looked at when. One loop evaluates; nobody who listens waits for another.

A person is looked at when a change of membership names her, when definitions change, when the feed of changes is
attached anew, and else every `SWEEP_S`: a flag may depend on the instant, and which person a distinct id stands for
is told by no change.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import TypeVar

from cohort_store.subjects import PERSON, Subject, shard_of
from evaluator.push.channels import PersonChannel, TeamChannel
from evaluator.push.events import ChangesStatus, Closing, Form, Name, Unwatched, event, plain
from evaluator.push.looking import Definitions, Looker
from evaluator.push.stream import Stream

STREAMS_A_PERSON_MAX = 20
"""Streams of one distinct id; further ones are refused."""

WATCHED_MAX = 10_000
"""Persons that one provider's stream is told of; a further one takes the place of the one watched for longest."""

CHANNELS_MAX = 100_000
"""Persons who are listened to, all in all; further ones are refused."""

IDLE_CHANNELS_MAX = 2_000
"""Persons nobody listens to any more who are kept for those who come back; the one left for longest goes first."""

LOOKS_MAX = 512
"""Persons who are looked at together."""

MEANWHILE_MAX = 10_000
"""Subjects that changed during a look and are remembered; beyond, everybody is looked at once more."""

SWEEP_S = 30.0
HEARTBEAT_S = 15.0
SLICE = 250
"""Streams or persons that are gone through before others have their turn."""

RETRY_S = 1.0
"""A person of whom the store said nothing is looked at again after this."""

STOPPING = Closing("stopping", "this evaluator ends; connect again, to another one or a little later")

T = TypeVar("T")

logger = logging.getLogger(__name__)

Key = tuple[int, str]
"""(team, distinct id)."""


Report = Callable[[str], None]
"""Told of every stream that is over, with the reason."""


class Refusal(StrEnum):
    """Why a stream is not opened, or a person not watched."""

    STREAMS = "streams"
    """This evaluator has as many streams as it may."""
    PERSON = "person"
    """This person has as many streams as she may."""
    CHANNELS = "channels"
    """As many persons are listened to as may be."""


class Refused(Exception):
    """A stream that is not opened."""

    def __init__(self, why: Refusal, limit: int) -> None:
        super().__init__(f"{why}: {limit}")
        self.why = why
        self.limit = limit


class Hub:
    """Every stream of one evaluator. All methods are called on one event loop; `run` must be running."""

    def __init__(
        self, look: Looker, definitions: Definitions, shards: int, *, streams_max: int, report: Report
    ) -> None:
        self.look = look
        self._definitions = definitions
        self._shards = shards
        self._streams_max = streams_max
        self._report = report
        self._streams: dict[str, Stream] = {}
        self._channels: dict[Key, PersonChannel] = {}
        self._of_stream: dict[Stream, dict[PersonChannel, None]] = {}
        """With the one who was asked for longest ago first."""
        self._by_person: dict[Subject, set[PersonChannel]] = {}
        self._idle: OrderedDict[Key, PersonChannel] = OrderedDict()
        self._teams: dict[int, TeamChannel] = {}
        self._due: dict[PersonChannel, None] = {}
        self._later: set[PersonChannel] = set()
        self._meanwhile: set[Subject] | None = None
        self._wake = asyncio.Event()
        self._listened = asyncio.Event()
        self._stopping = False
        self.status = ChangesStatus(False, "")
        """Of changes of membership; without a detail before they were tried for the first time."""
        self.told = 0
        """Events that were given to streams."""

    # Who listens.

    @property
    def streams(self) -> int:
        """How many streams are open, those included that are ended and not yet written out."""
        return len(self._streams)

    async def first_listener(self) -> None:
        """Returns once a stream was opened."""
        await self._listened.wait()

    def listen_to_person(self, team: int, distinct_id: str, last_id: str = "", form: Form = plain) -> Stream:
        """A stream of one person's flags. Raises Refused."""
        channel = self._channels.get((team, distinct_id))
        if channel is not None and len(channel.streams) >= STREAMS_A_PERSON_MAX:
            raise Refused(Refusal.PERSON, STREAMS_A_PERSON_MAX)
        if channel is None and len(self._channels) >= CHANNELS_MAX:
            raise Refused(Refusal.CHANNELS, CHANNELS_MAX)
        stream = self._open(form, last_id)
        channel = channel or self._channel(team, distinct_id)
        channel.join(stream)
        self._of_stream[stream][channel] = None
        self._look_at(channel)
        return stream

    def listen_to_team(self, team: int, last_id: str = "", form: Form = plain) -> Stream:
        """A stream of one team's definitions. Raises Refused. In-process providers have persons watched by it."""
        stream = self._open(form, last_id)
        channel = self._teams.get(team)
        if channel is None:
            catalog = self._definitions.catalog
            channel = self._teams[team] = TeamChannel(catalog.team(team), catalog.version)
        channel.join(stream)
        return stream

    def watch(self, stream_id: str, team: int, distinct_id: str) -> bool:
        """Have a team's stream told of one person's memberships; whether it is. The same id again is harmless."""
        stream = self._streams.get(stream_id)
        of_team = self._teams.get(team)
        if stream is None or stream.ended or of_team is None or stream not in of_team.streams:
            return False
        channel = self._channels.get((team, distinct_id))
        watched = self._of_stream[stream]
        if channel is not None and channel in watched:
            watched[channel] = watched.pop(channel)
            return True
        if channel is None and len(self._channels) >= CHANNELS_MAX:
            return False
        channel = channel or self._channel(team, distinct_id)
        channel.watchers.add(stream)
        watched[channel] = None
        if len(watched) > WATCHED_MAX:
            self._unwatch(stream, next(iter(watched)))
        self._look_at(channel)
        return True

    def left(self, stream: Stream) -> None:
        """The stream's connection is gone, or everything was written to it."""
        stream.abandon()
        if self._streams.pop(stream.id, None) is not None:
            self._report(stream.ended)
        for team in self._teams.values():
            team.streams.discard(stream)
        for channel in self._of_stream.pop(stream, ()):
            self._leave(channel, stream)

    def end_all(self) -> None:
        """End every stream with a notice, and open none any more."""
        self._stopping = True
        for stream in self._streams.values():
            stream.end(STOPPING)

    # What happened.

    def subject_changed(self, subject: Subject) -> None:
        """A subject entered or left a cohort."""
        if self._meanwhile is not None and len(self._meanwhile) <= MEANWHILE_MAX:
            self._meanwhile.add(subject)
        for channel in self._by_person.get(subject, ()):
            self._look_at(channel)

    def shard_changed(self, shard: int) -> None:
        """Everybody of that shard is to be looked at."""
        if self._meanwhile is not None:
            self._everybody()
        for subject, channels in self._by_person.items():
            if shard_of(subject, self._shards) == shard:
                for channel in channels:
                    self._look_at(channel)

    def changes_live(self) -> None:
        """Changes come through from now on; what came before was perhaps missed."""
        self._tell_status(ChangesStatus(True, "changes of membership are told as they happen"))
        self._everybody()

    def changes_away(self, why: str) -> None:
        """Changes do not come through."""
        self._tell_status(ChangesStatus(False, f"values are looked at every {SWEEP_S:g} s only: {why}"))

    def definitions_replaced(self) -> None:
        """Another catalog is in force."""
        catalog = self._definitions.catalog
        for team, channel in self._teams.items():
            self.told += channel.take(catalog.team(team), catalog.version)
        self._everybody()

    # The work.

    async def run(self) -> None:
        """Evaluate, sweep and keep connections alive until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._evaluate())
            tasks.create_task(self._sweep())
            tasks.create_task(self._beat())

    async def _evaluate(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._due:
                batch = [channel for channel, _ in zip(list(self._due), range(LOOKS_MAX), strict=False)]
                for channel in batch:
                    del self._due[channel]
                await self._look_at_all(batch)

    async def _look_at_all(self, batch: list[PersonChannel]) -> None:
        self._meanwhile = set()
        try:
            await asyncio.gather(*map(self._look_at_one, batch))
        except Exception:
            logger.exception("%d persons could not be looked at, trying again", len(batch))
            self._later.update(batch)
        changed, self._meanwhile = self._meanwhile, None
        if len(changed) > MEANWHILE_MAX:
            self._everybody()
        for channel in batch:
            if Subject(channel.team, PERSON, channel.person) in changed:
                self._look_at(channel)
        if self._later:
            asyncio.get_running_loop().call_later(RETRY_S, self._look_again)

    async def _look_at_one(self, channel: PersonChannel) -> None:
        look = await self.look(channel.team, channel.distinct_id)
        if not channel.is_listened_to:
            return
        if look.person != channel.person:
            self._unlink(channel)
            self._by_person.setdefault(Subject(channel.team, PERSON, look.person), set()).add(channel)
        self.told += channel.take(look)
        if not look.complete:
            self._later.add(channel)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            for channels in _sliced(list(self._channels.values())):
                for channel in channels:
                    self._look_at(channel)
                await asyncio.sleep(0)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            for streams in _sliced(list(self._streams.values())):
                for stream in streams:
                    stream.beat()
                await asyncio.sleep(0)

    # Bookkeeping.

    def _open(self, form: Form, last_id: str) -> Stream:
        if self._stopping or len(self._streams) >= self._streams_max:
            raise Refused(Refusal.STREAMS, self._streams_max)
        stream = Stream(form, last_id)
        self._streams[stream.id] = stream
        self._of_stream[stream] = {}
        self._listened.set()
        if self.status.detail and not self.status.live:
            stream.put(event(Name.STATUS, self.status))
        return stream

    def _channel(self, team: int, distinct_id: str) -> PersonChannel:
        """The channel of a person who is not listened to yet; the one that she had, where it is still kept."""
        key = (team, distinct_id)
        channel = self._idle.pop(key) if key in self._idle else PersonChannel(team, distinct_id)
        self._channels[key] = channel
        if channel.person:
            self._by_person.setdefault(Subject(team, PERSON, channel.person), set()).add(channel)
        return channel

    def _unwatch(self, stream: Stream, channel: PersonChannel) -> None:
        del self._of_stream[stream][channel]
        stream.put(event(Name.UNWATCHED, Unwatched(channel.distinct_id)))
        self._leave(channel, stream)

    def _leave(self, channel: PersonChannel, stream: Stream) -> None:
        channel.leave(stream)
        if not channel.is_listened_to:
            self._rest(channel)

    def _rest(self, channel: PersonChannel) -> None:
        key = (channel.team, channel.distinct_id)
        self._unlink(channel)
        self._due.pop(channel, None)
        self._later.discard(channel)
        self._channels.pop(key, None)
        self._idle[key] = channel
        if len(self._idle) > IDLE_CHANNELS_MAX:
            self._idle.popitem(last=False)

    def _unlink(self, channel: PersonChannel) -> None:
        subject = Subject(channel.team, PERSON, channel.person)
        linked = self._by_person.get(subject)
        if linked is not None:
            linked.discard(channel)
            if not linked:
                del self._by_person[subject]

    def _look_at(self, channel: PersonChannel) -> None:
        self._due[channel] = None
        self._wake.set()

    def _look_again(self) -> None:
        later, self._later = self._later, set()
        for channel in later:
            self._look_at(channel)

    def _everybody(self) -> None:
        for channel in self._channels.values():
            self._look_at(channel)

    def _tell_status(self, status: ChangesStatus) -> None:
        was, self.status = self.status, status
        if was.live is status.live if was.detail else status.live:
            return
        told = event(Name.STATUS, status)
        for stream in self._streams.values():
            stream.put(told)


def _sliced(everything: list[T]) -> Iterator[list[T]]:
    return (everything[at : at + SLICE] for at in range(0, len(everything), SLICE))
