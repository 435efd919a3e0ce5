"""Reads that are asked for together leave together.

All reads of one event-loop tick, and those that arrive while another call is under way, go out as one call of
the store: what a client costs a call, not a command, is what an evaluator pays most for.

A request brings a distinct id, the store keeps persons. The person of an id is remembered as a *guess* only: the
call asks for the id's person and for the guessed person's membership side by side, so a guess that proves wrong
costs a second round trip and never a wrong answer. An id never seen is guessed to be its own person.

Her record comes along, in the same call, only for those who ask for her properties: it is longer than a membership.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from cohort_store.errors import BadRecord, MusterError
from cohort_store.ports import Membership, MembershipReader
from cohort_store.records import Register, decode_registers
from cohort_store.subjects import PERSON, Subject
from evaluator.reading.last_known import Known

BATCH_MAX = 512
"""Reads a call; more wait for the next one."""

FLIGHTS_MAX = 2
"""Calls under way at once: one more than one, so that the store works while answers are written."""

WAITING_MAX = 20_000
"""Reads that may wait; beyond, a read is answered at once that nothing can be said."""

GUESSES_MAX = 100_000
"""Distinct ids whose person is remembered; the one not used for longest goes first."""

DEADLINE_S = 0.5
"""How long a read may take, with the time that it waits for its call; then it is answered that nothing can be said."""


logger = logging.getLogger(__name__)


class Read(NamedTuple):
    """One person as she was read. `membership` None: the store did not answer."""

    person: str
    membership: Membership | None
    registers: Mapping[str, Register] | None = None
    """What is kept of her properties; None: not asked for, the store did not answer, or nobody here can read it."""
    known: Known | None = None
    """What was last known of her, where `membership` does not answer for all cohorts (steady_reading.py)."""


Key = tuple[int, str]
"""(team, distinct id)."""

Report = Callable[[int, bool], None]
"""Told of every call: how many reads shared it, and whether it failed or came too late."""


class CoalescingReader:
    """Batches reads of one event loop. Never raises for a store that is away: the read says so."""

    def __init__(self, reader: MembershipReader, report: Report, *, deadline_s: float = DEADLINE_S) -> None:
        self._reader = reader
        self._report = report
        self._deadline_s = deadline_s
        self._loop: asyncio.AbstractEventLoop | None = None
        """Asked for once: each time asks the system for the process's number, a twentieth of a whole request."""
        self._guesses: OrderedDict[Key, str] = OrderedDict()
        self._waiting: dict[Key, list[asyncio.Future[Read]]] = {}
        self._recorded: set[Key] = set()
        """Of those who wait, whose properties are asked for."""
        self._flights: set[asyncio.Task[None]] = set()
        self._since = 0.0
        """Since when somebody has been waiting."""
        self._departing = False
        self._away = False
        self._unreadable = False
        """Whether a record was found that cannot be read, which is said once."""
        self._out = 0

    @property
    def under_way(self) -> int:
        """Persons who are waited for, or asked for right now."""
        return len(self._waiting) + self._out

    async def read(self, team: int, distinct_id: str, *, with_properties: bool = False) -> Read:
        """The person of a distinct id, and what is stored of her."""
        key = (team, distinct_id)
        if len(self._waiting) >= WAITING_MAX:
            return Read(self.guess(key), None)
        loop = self._loop = self._loop or asyncio.get_running_loop()
        future: asyncio.Future[Read] = loop.create_future()
        if not self._waiting:
            self._since = loop.time()
        self._waiting.setdefault(key, []).append(future)
        if with_properties:
            self._recorded.add(key)
        if not self._departing:
            self._depart_soon()
        return await future

    async def close(self) -> None:
        """Let the calls under way end."""
        while self._flights:
            await asyncio.gather(*self._flights, return_exceptions=True)

    def _depart_soon(self) -> None:
        if not self._departing and self._waiting and len(self._flights) < FLIGHTS_MAX:
            self._departing = True
            asyncio.get_running_loop().call_soon(self._depart)

    def _depart(self) -> None:
        self._departing = False
        if len(self._waiting) <= BATCH_MAX:
            batch, self._waiting = self._waiting, {}
        else:
            batch = {key: self._waiting.pop(key) for key in list(self._waiting)[:BATCH_MAX]}
        recorded = self._recorded & batch.keys()
        self._recorded -= recorded
        flight = asyncio.get_running_loop().create_task(self._fly(batch, recorded, self._since + self._deadline_s))
        self._flights.add(flight)
        flight.add_done_callback(self._landed)

    def _landed(self, flight: asyncio.Task[None]) -> None:
        self._flights.discard(flight)
        if not flight.cancelled():
            flight.exception()  # those who asked have it already
        self._depart_soon()

    async def _fly(self, batch: dict[Key, list[asyncio.Future[Read]]], recorded: Collection[Key], due: float) -> None:
        """Settle every read of the batch by then, whatever happens."""
        keys = list(batch)
        failed = False
        self._out += len(keys)
        try:
            async with asyncio.timeout_at(due):
                reads = await self._fetch(keys, recorded)
        except (MusterError, TimeoutError) as error:
            failed = True
            self._mark_away(str(error) or f"no answer within {self._deadline_s} s")
            reads = [Read(self.guess(key), None) for key in keys]
        except BaseException as error:
            for future in (each for futures in batch.values() for each in futures if not each.done()):
                future.set_exception(error)
            raise
        else:
            self._mark_back()
        finally:
            self._out -= len(keys)
        self._report(len(keys), failed)
        for futures, read in zip(batch.values(), reads, strict=True):
            for future in futures:
                if not future.done():
                    future.set_result(read)

    async def _fetch(self, keys: Sequence[Key], recorded: Collection[Key]) -> list[Read]:
        guesses = [self.guess(key) for key in keys]
        subjects = [Subject(team, PERSON, guess) for (team, _), guess in zip(keys, guesses, strict=True)]
        persons, reads = await self._look_up(keys, subjects, keys, recorded)
        known = [person or key[1] for key, person in zip(keys, persons, strict=True)]
        wrong = [index for index, (guess, person) in enumerate(zip(guesses, known, strict=True)) if guess != person]
        if wrong:
            others = [Subject(keys[index][0], PERSON, known[index]) for index in wrong]
            _, again = await self._look_up((), others, [keys[index] for index in wrong], recorded)
            for index, read in zip(wrong, again, strict=True):
                reads[index] = read
                self._remember(keys[index], known[index])
        return reads

    async def _look_up(
        self, asked: Sequence[Key], subjects: Sequence[Subject], keys: Sequence[Key], recorded: Collection[Key]
    ) -> tuple[list[str | None], list[Read]]:
        """The persons of the keys that are asked for, and each of the subjects, who stand for `keys`, as read."""
        if not recorded:
            persons, memberships = await self._reader.look_up(asked, subjects)
            return persons, [Read(who.id, each) for who, each in zip(subjects, memberships, strict=True)]
        chosen = [who for who, key in zip(subjects, keys, strict=True) if key in recorded]
        persons, memberships, records = await self._reader.look_up_with_records(asked, subjects, chosen)
        registers = {who: self._registers(who, raw) for who, raw in zip(chosen, records, strict=True)}
        reads = [Read(who.id, each, registers.get(who)) for who, each in zip(subjects, memberships, strict=True)]
        return persons, reads

    def _registers(self, who: Subject, record: bytes | None) -> Mapping[str, Register] | None:
        """One record that cannot be read is that person's trouble alone."""
        try:
            return {} if record is None else decode_registers(record)
        except BadRecord as error:
            if not self._unreadable:
                logger.warning("the properties of %s, and perhaps of others, cannot be read: %s", who, error)
            self._unreadable = True
            return None

    def _mark_away(self, why: str) -> None:
        if not self._away:
            logger.warning("the membership store cannot be asked, policies answer: %s", why)
        self._away = True

    def _mark_back(self) -> None:
        if self._away:
            logger.info("the membership store answers again")
        self._away = False

    def guess(self, key: Key) -> str:
        """The person whom the id stood for when it was read last; the id itself, where it was not."""
        person = self._guesses.get(key)
        if person is None:
            return key[1]
        self._guesses.move_to_end(key)
        return person

    def _remember(self, key: Key, person: str) -> None:
        self._guesses[key] = person
        self._guesses.move_to_end(key)
        if len(self._guesses) > GUESSES_MAX:
            self._guesses.popitem(last=False)
