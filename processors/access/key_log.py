"""Keys in the topic of definitions: read, changed, and waited for until evaluators can see the change."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple, TypeVar

from cohort_store.definition_files import KEY, Name
from cohort_store.settings import Settings
from processors.access.issuing import Keys
from processors.control.registry_log import RegistryLog
from processors.definition_changes import DefinitionsLog, Message, Values, canonical, in_force, keys_in
from processors.definitions_log import COMPILED_DEADLINE_S, mirrored, until_compiled, write_values
from processors.topic_log import TopicLog

T = TypeVar("T")

Step = Callable[[Keys], tuple[Keys, T]]
"""From a team's keys to those that are to be, and whatever is to be said of it. Raises BadDefinition to refuse."""


class Changed(NamedTuple):
    """A change that control has compiled."""

    registry_version: int
    is_visible: bool
    """Whether evaluators can see it by now; else they do as soon as Redis is there."""


async def read_keys(settings: Settings, team: int) -> Keys:
    """The team's keys. Raises Retry where Kafka cannot be reached."""
    async with _opened(settings) as (definitions, registry):
        _, _, values = await _read(definitions, registry)
        return _of_team(values, team)


async def change_keys(settings: Settings, team: int, step: Step[T]) -> tuple[T, Changed]:
    """Put what `step` makes of the team's keys in force, on return compiled.

    Raises what `step` raises (nothing is written then), NotCompiled where control does not run, and Retry.
    """
    async with _opened(settings) as (definitions, registry):
        said, version = await change_keys_in(definitions, registry, team, step, deadline_s=COMPILED_DEADLINE_S)
    return said, Changed(version, await mirrored(settings, version))


async def change_keys_in(
    definitions: TopicLog, registry: TopicLog, team: int, step: Step[T], *, deadline_s: float
) -> tuple[T, int]:
    """`change_keys`, on topics that are open and not yet read; the registry version that has the change."""
    log, known, values = await _read(definitions, registry)
    keys, said = step(_of_team(values, team))
    wanted = {name: value for name, value in values.items() if name.kind != KEY or name.team != team}
    wanted |= {Name(KEY, team, key.id): canonical(key) for key in keys.values()}
    if wanted == values and not log.tail:
        return said, known.current.version
    apply_id = await write_values(definitions, log, wanted)
    # Refused or not: keys take force in any case.
    return said, (await until_compiled(known, apply_id, deadline_s)).version


async def _read(definitions: TopicLog, registry: TopicLog) -> tuple[DefinitionsLog, RegistryLog, Values]:
    """Both topics, and what is in force."""
    known = RegistryLog(registry)
    await known.catch_up()
    log = DefinitionsLog()
    for record in await definitions.read_to_end():
        log.add(Message(record.key, record.value))
    return log, known, in_force(log, known.current)


def _of_team(values: Values, team: int) -> Keys:
    return {key.id: key for key in keys_in(values) if key.team == team}


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[TopicLog, TopicLog]]:
    from cohort_store.kafka.topics import DEFINITIONS, REGISTRY, ensure_topics, muster_topics
    from processors.kafka.single_partition import SinglePartitionLog

    await ensure_topics(settings.kafka, muster_topics(settings.partitions), replication=settings.topic_replication)
    async with (
        SinglePartitionLog(settings.kafka, DEFINITIONS) as definitions,
        SinglePartitionLog(settings.kafka, REGISTRY) as registry,
    ):
        yield definitions, registry
