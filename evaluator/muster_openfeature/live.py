"""What a provider knows, kept up to date: asked for when it is missing, told by a stream, asked again after gaps.

Threads: whoever evaluates may ask the evaluator, and waits for it; one thread listens; one asks again for persons of
whom nothing was told for a while. What they share is replaced as a whole.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import random
from threading import Event, Lock, Thread
from time import monotonic

import msgspec

from cohort_store.freshness import Status
from evaluator.muster_openfeature.http.asking import EvaluatorClient, Listening, Told, Unreachable
from evaluator.muster_openfeature.knowledge import Definitions, Known, KnownPersons, compile_definitions
from evaluator.push.contexts import ContextAnswer
from evaluator.push.events import DefinitionsChange, Name, PersonContext, Unwatched

ASK_AGAIN_S = 30.0
"""A person whom no stream tells of is asked for again when she is evaluated after this."""

RESPITE_S = 1.0
"""After a question that was not answered nobody else has to wait for one, for so long."""

RECONNECT_S_MAX = 5.0
RECONNECT_S_MIN = 0.25

ASKING_AGAIN_MAX = 1_000
"""Persons who wait to be asked for again; further ones have their turn later."""

logger = logging.getLogger(__name__)


class LiveKnowledge:
    """From `start` to `stop`. `changed` is told the flags of each change of definitions, `connected` whether told."""

    def __init__(
        self,
        client: EvaluatorClient,
        persons_max: int,
        *,
        changed: Callable[[list[str]], None],
        connected: Callable[[bool, str], None],
    ) -> None:
        self._client = client
        self._changed = changed
        self._connected = connected
        self.persons = KnownPersons(persons_max)
        self.definitions: Definitions | None = None
        self.stream = ""
        """The stream that is open; empty: none is, and what is known may be out of date."""
        self._last_id = ""
        self._silent_until = 0.0
        self._trouble = ""
        self._heard = Event()
        self._stopping = Event()
        self._again: set[str] = set()
        self._again_lock = Lock()
        self._asking = ThreadPoolExecutor(1, thread_name_prefix="muster-asking")
        self._listening = Thread(target=self._listen, name="muster-listening", daemon=True)

    def start(self, wait_s: float) -> None:
        """Listen from now on, in the background, and wait at most so long until that is so. Once."""
        self._listening.start()
        self._heard.wait(wait_s)

    def stop(self) -> None:
        """Listen no more. Doing it twice is harmless."""
        self._stopping.set()
        self._client.close()
        self._asking.shutdown(wait=False, cancel_futures=True)

    def fetch_definitions(self) -> Definitions:
        """The definitions in force. Raises Unreachable."""
        self._take_definitions(self._client.context(None, self._version()))
        assert self.definitions is not None  # noqa: S101 - an answer without them is for who has them
        return self.definitions

    def fetch(self, distinct_id: str) -> Known:
        """Ask for a person, and have the stream tell of her. Raises Unreachable, at once after one that was so."""
        if monotonic() < self._silent_until:
            raise Unreachable(f"{self._trouble}; it is asked again within {RESPITE_S:g} s")
        stream = self.stream
        try:
            answer = self._client.context(distinct_id, self._version(), stream)
        except Unreachable as error:
            self._trouble = str(error)
            self._silent_until = monotonic() + RESPITE_S
            raise
        self._take_definitions(answer)
        if answer.context is None:
            raise Unreachable("the evaluator answered without the person who was asked for; update it")
        known = known_of(answer.context, stream, answer.watched)
        self.persons.put(distinct_id, known)
        return known

    def is_stale(self, known: Known) -> bool:
        """Whether something may have happened to the person that could not be told."""
        return known.stream != self.stream or not known.stream

    def keep_current(self, distinct_id: str, known: Known) -> None:
        """Have a person asked for again where no stream tells of her; at most now and then, and in the background."""
        stream, now_s = self.stream, monotonic()
        if known.watched and known.stream == stream:
            return
        is_new = bool(stream) and known.stream != stream
        if now_s < self._silent_until or (not is_new and now_s - known.asked_s < ASK_AGAIN_S):
            return
        with self._again_lock:
            if distinct_id in self._again or len(self._again) >= ASKING_AGAIN_MAX or self._stopping.is_set():
                return
            self._again.add(distinct_id)
        self._asking.submit(self._ask_again, distinct_id)

    def _ask_again(self, distinct_id: str) -> None:
        try:
            self.fetch(distinct_id)
        except Unreachable as error:
            logger.debug("a person cannot be asked for again: %s", error)
        finally:
            with self._again_lock:
                self._again.discard(distinct_id)

    def _listen(self) -> None:
        pause_s = RECONNECT_S_MIN
        while not self._stopping.is_set():
            why = ""
            try:
                with self._client.listen(self._last_id) as listening:
                    pause_s = RECONNECT_S_MIN
                    self._follow(listening)
            except Unreachable as error:
                why = str(error)
            except Exception:
                logger.exception("a stream of changes could not be followed, connecting anew")
                why = "what the stream told could not be understood"
            self.stream = ""
            # One that was ended in good order is only to be opened again: nobody need hear of it.
            if why and not self._stopping.is_set():
                self._connected(False, why)
            self._stopping.wait(pause_s * (0.5 + random()))  # noqa: S311 - so that clients do not come back together
            pause_s = min(pause_s * 2, RECONNECT_S_MAX)

    def _follow(self, listening: Listening) -> None:
        if self.definitions is None:
            self.fetch_definitions()
        self.stream = listening.stream
        self._silent_until = 0.0
        self._connected(True, "")
        self._heard.set()
        for told in listening.events:
            self._last_id = told.id or self._last_id
            self._take(told)

    def _take(self, told: Told) -> None:
        if told.name == Name.CONTEXT:
            context = msgspec.json.decode(told.data, type=PersonContext)
            self.persons.told(context.distinct_id, known_of(context, self.stream, True))
        elif told.name == Name.UNWATCHED:
            self.persons.untold(msgspec.json.decode(told.data, type=Unwatched).distinct_id)
        elif told.name in (Name.STATE, Name.CHANGE):
            change = msgspec.json.decode(told.data, type=DefinitionsChange)
            if change.registry_version != self._version():
                self.fetch_definitions()

    def _take_definitions(self, answer: ContextAnswer) -> None:
        """Versions only go up: of two evaluators one may be behind."""
        before = self.definitions
        if answer.definitions is None or (before is not None and answer.registry_version <= before.version):
            return
        names = [(each.id, each.key, each.version) for each in answer.definitions.cohorts]
        self.definitions = compile_definitions(answer.registry_version, answer.definitions.flags, names)
        for key, problem in self.definitions.refused.items():
            logger.error("flag %s cannot be read by this version: %s", key, problem)
        changed = self.definitions.changed_from(before) if before is not None else []
        if changed:
            self._changed(changed)

    def _version(self) -> int | None:
        return None if self.definitions is None else self.definitions.version


def known_of(context: PersonContext, stream: str, watched: bool) -> Known:
    """A person as she was told of just now."""
    troubles = {
        key: each.detail or f"cohort {key} is {each.status}"
        for key, each in context.cohorts.items()
        if each.member is None or each.status is Status.UNAVAILABLE
    }
    members = {key: each.member for key, each in context.cohorts.items()}
    unread = frozenset(context.unread)
    return Known(members, troubles, context.properties, unread, context.evaluated_at, stream, watched, monotonic())
