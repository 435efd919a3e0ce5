"""From the topic of definitions to the registry: each apply, in order, exactly once.

Nothing is remembered between processes but the two topics: what remains to be compiled is what stands behind
the marker that the registry names (`applied`). So a process that is killed at any point leaves nothing to repair.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import msgspec

from cohort_store import compiling
from cohort_store.clocks import Clock
from cohort_store.definition_files import LIST, Name, check_whole
from cohort_store.errors import BadDefinition, Crash, Retry
from cohort_store.flag_changes import dated
from cohort_store.flags import plain_flag
from cohort_store.kafka.topics import REGISTRY_BYTES_MAX
from cohort_store.ports import RegistryMirror
from cohort_store.registry import Registry, check_shards, decode_registry, encode_registry
from processors.control.registry_log import RegistryLog
from processors.definition_changes import (
    Applied,
    DefinitionsLog,
    Message,
    Values,
    cohort_ids,
    keys_in,
    list_of,
    lists_needed,
    messages_for,
    parse_values,
    registry_values,
)
from processors.topic_log import TopicLog

WRITES_MAX = 10
"""Attempts at one change against other writers; more of them at once is a misconfiguration."""
UNAPPLIED_MAX = 100
"""Applies waiting to be compiled, the oldest give way: each contains all definitions, so only its message is lost."""
SIZE_BYTES_MAX = REGISTRY_BYTES_MAX - 4_096
"""Of a whole registry: what a message of its topic takes, without the message's own header."""

Step = Callable[[Registry], Registry]
"""From the present registry to the next one; the same one where nothing is to change."""

_log = logging.getLogger(__name__)


def compiled(registry: Registry, applied: Applied, now: int) -> Registry:
    """The next registry: with the apply's definitions in force, or as before, with the reason of the refusal.

    Its access keys take force in any case: a key that was revoked must not live on because a cohort is refused.
    """
    registry = msgspec.structs.replace(registry, keys=tuple(keys_in(applied.values)))
    try:
        definitions = parse_values(applied.values)
        check_whole(definitions, cohort_ids(registry))
        flags: dict[int, list[object]] = {}
        for name, flag in definitions.flags.items():
            flags.setdefault(name.team, []).append(plain_flag(flag))
        cohorts = list(definitions.cohorts.values())
        types = {name.team: definitions.group_types_of(name.team) for name in definitions.group_types}
        following = compiling.assign(registry, cohorts, flags, applied=applied.id, now=now, group_types=types)
        following = dated(registry, following, now)
        _check_size(following)
    except BadDefinition as refusal:
        return msgspec.structs.replace(registry, version=registry.version + 1, applied=applied.id, refused=str(refusal))
    return msgspec.structs.replace(following, refused="")


def _check_size(registry: Registry) -> None:
    """The registry is held to its bound as it is, and as it will be when what is building has taken over."""
    size = max(len(encode_registry(each)) for each in (registry, compiling.activate(registry, registry.version)))
    if size > SIZE_BYTES_MAX:
        raise BadDefinition("", f"all definitions together take {size} bytes; at most {SIZE_BYTES_MAX}: drop some")


class Compiler:
    """The one way by which this process changes the registry: the topic first, then the mirror."""

    def __init__(
        self, definitions: TopicLog, registry: RegistryLog, mirror: RegistryMirror, clock: Clock, shards: int
    ) -> None:
        self._definitions = definitions
        self._registry = registry
        self._mirror = mirror
        self._clock = clock
        self._shards = shards
        self._log = DefinitionsLog()
        self._marks: dict[str, Applied] = {}
        self._lists: Values = {}
        self._lists_kept: frozenset[Name] | None = None
        self._turn = asyncio.Lock()

    @property
    def registry(self) -> Registry:
        """The newest registry that this process has seen."""
        return self._registry.current

    @property
    def lists(self) -> Values:
        """The parts of the static lists that the registry reads."""
        return self._lists

    async def begin(self) -> None:
        """Read both topics, and fill a topic that is new and empty from what outlived it. Raises Retry.

        Crash where the installation has another number of shards than this process is configured with.
        """
        async with self._turn:
            await self._registry.catch_up()
            # Before anything is written: a write lets the mirror keep what is known here, and no more.
            self._lists = {Name.parse(name): part for name, part in (await self._mirror.lists()).items()}
            await self._outlive(await self._mirror.fetch())
            check_shards(self.registry, self._shards)
            await self._read_definitions()
            self._follow_lists(self._log.last.values)
            kept = {**registry_values(self.registry), **self._lists}
            if self._log.empty and kept:
                _log.warning("control: the topic of definitions is empty; filling it from the registry")
                await self._definitions.append(messages_for(self._log, kept, self.registry.applied))

    async def compile(self) -> None:
        """Compile every apply that is in the topic and not yet in the registry. Raises Retry."""
        async with self._turn:
            for _ in range(WRITES_MAX):
                # In this order: an apply that the registry names is then sure to be among the definitions read.
                await self._registry.catch_up()
                await self._read_definitions()
                if await self._compile_all():
                    return
            raise Crash(f"{WRITES_MAX} attempts to write the registry were overtaken; run one control, or two")

    async def change(self, step: Step) -> bool:
        """Put `step` of the present registry in force; whether there was anything to change. Raises Retry."""
        async with self._turn:
            for _ in range(WRITES_MAX):
                present = await self._registry.catch_up()
                following = step(present)
                if following is present:
                    return False
                if await self._write(following):
                    return True
            raise Crash(f"{WRITES_MAX} attempts to write the registry were overtaken; run one control, or two")

    async def mirrored(self) -> int:
        """The version that the mirror shows; 0 where there is none. Raises Retry."""
        copy = await self._mirror.fetch()
        return decode_registry(copy).version if copy else 0

    async def repair_mirror(self) -> None:
        """Publish the registry where the mirror has none, or an older one, and what it lacks of lists. Raises Retry."""
        await self._keep_lists()
        if await self.mirrored() < self.registry.version:
            await self._mirror.publish(encode_registry(self.registry), self.registry.version)

    async def _outlive(self, copy: bytes | None) -> None:
        """A topic that lost versions which the mirror has must not give out their handles again."""
        mirrored = decode_registry(copy) if copy else Registry()
        present = self.registry
        if mirrored.version > present.version:
            _log.warning(
                "control: the registry's topic does not have version %d of its mirror; filling it", mirrored.version
            )
            await self._write(mirrored if not present.version else _above(present, mirrored))
        elif self._registry.last_is_void:
            await self._write(msgspec.structs.replace(present, version=present.version + 1))

    async def _read_definitions(self) -> None:
        for record in await self._definitions.read_to_end():
            applied = self._log.add(Message(record.key, record.value))
            if applied is not None:
                self._marks[applied.id] = applied
                if len(self._marks) > UNAPPLIED_MAX:
                    del self._marks[next(iter(self._marks))]

    def _unapplied(self, last: str) -> list[Applied]:
        """The applies behind the last one that the registry knows; those up to it are forgotten."""
        if last in self._marks:
            while next(iter(self._marks)) != last:
                del self._marks[next(iter(self._marks))]
            return list(self._marks.values())[1:]
        found = list(self._marks.values())
        # The topic forgot that marker, so it is older than all that are there, and the newest says everything.
        return found[-1:] if last else found

    async def _compile_all(self) -> bool:
        """Whether all went into the registry, and not somebody else's change between."""
        for applied in self._unapplied(self.registry.applied):
            # In a thread, since thousands of cohorts take longer than a consumer group's heartbeat.
            following = await asyncio.to_thread(compiled, self.registry, applied, self._clock.now_ms())
            if following.refused:
                _log.warning("control: apply %s is refused: %s", applied.id, following.refused)
            if not await self._write(following):
                return False
        return True

    async def _write(self, following: Registry) -> bool:
        check_shards(following, self._shards)
        following = msgspec.structs.replace(following, shards=self._shards)
        if not await self._registry.write(following):
            return False
        self._follow_lists(self._log.last.values)
        try:
            # In this order: what the mirror's registry reads is then there too.
            await self._keep_lists()
            await self._mirror.publish(encode_registry(following), following.version)
        except Retry as error:
            _log.warning("control: version %d is not mirrored yet: %s", following.version, error)
        return True

    def _follow_lists(self, found: Values) -> None:
        alive = lists_needed(self.registry)
        known = {**self._lists, **{name: part for name, part in found.items() if name.kind == LIST}}
        self._lists = {name: part for name, part in known.items() if list_of(name) in alive}

    async def _keep_lists(self) -> None:
        if self._lists_kept != (names := frozenset(self._lists)):
            await self._mirror.keep_lists({str(name): part for name, part in self._lists.items()})
            self._lists_kept = names


def _above(present: Registry, lost: Registry) -> Registry:
    """The present registry, one version above the lost one and with numbers that neither has given out."""
    return msgspec.structs.replace(
        present,
        version=lost.version + 1,
        readers_from=lost.version + 1,
        next_handle=max(present.next_handle, lost.next_handle),
        next_cohort_id=max(present.next_cohort_id, lost.next_cohort_id),
    )
