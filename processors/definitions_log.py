"""Applying definitions files: validated as a whole, shown as changes, written, and waited for.

`apply` is the flow: read what is in force → join the files to it → refuse, or write → wait until control has
compiled it. A refusal writes nothing. Killed in between, it leaves nothing to repair: what has no marker behind it
never takes effect, and what has one, control compiles.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from cohort_store.definition_files import COHORT, Definitions, check_whole
from cohort_store.errors import BadDefinition, Retry
from cohort_store.redis.wiring import connect_mirror
from cohort_store.registry import Cohort, Registry, decode_registry
from cohort_store.retention import kept_for_ever
from cohort_store.settings import Settings
from cohort_store.static_lists import STATIC_LIST
from cohort_store.warming import warm_up_of
from processors.control.registry_log import RegistryLog
from processors.definition_changes import (
    Action,
    DefinitionChange,
    DefinitionsLog,
    Message,
    PlannedApply,
    Values,
    cohort_ids,
    in_force,
    messages_for,
    parse_values,
    plan_apply,
)
from processors.definition_reading import read_definition_files
from processors.topic_log import TopicLog

COMPILED_DEADLINE_S = 30.0
MIRRORED_DEADLINE_S = 5.0
"""Control writes the topic first and the copy in Redis right after it, or when it next can."""
_POLL_S = 0.1


class NotCompiled(Retry):
    """The definitions are written, and control has not compiled them in time. They stay written."""


@dataclass(frozen=True, slots=True)
class CohortNotice:
    """What the author of a created or edited cohort should know."""

    team: int
    key: str
    complemented: bool
    """It holds for somebody who never did anything: the exceptions are stored, and nobody is told of a subject
    that was never seen."""
    complete_from_ms: int
    """Events before this instant are not known to it."""
    warming_until_ms: int | None
    """From then on none of those can matter; None: any event since ever may."""
    building: bool
    """The version before, if there is one, answers until every shard has folded this one."""
    first: bool
    """There is none before it."""
    members: int | None
    """How many a static list has; None for any other cohort."""
    kept_for_ever: tuple[str, ...]
    """The kinds of its conditions for which a record is kept for ever of everybody whom they ever concerned."""


@dataclass(frozen=True, slots=True)
class ApplyReport:
    """What an apply did. `registry_version` is None for a dry run."""

    id: str
    changes: tuple[DefinitionChange, ...]
    registry_version: int | None
    notices: tuple[CohortNotice, ...]
    warnings: tuple[str, ...] = ()
    """What the files hold that is not carried over, or means something slightly different here."""


async def apply(
    settings: Settings,
    files: Sequence[Path],
    *,
    prune: bool,
    dry_run: bool,
    deadline_s: float = COMPILED_DEADLINE_S,
) -> ApplyReport:
    """Put the files' definitions in force, on return compiled by control and visible to whoever reads the store.

    Where they are not visible yet after some seconds (Redis may be away), a warning says so.
    Raises BadDefinition where anything is refused, by the files' check (nothing is written) or by control (the
    definitions before stay in force); NotCompiled after the deadline; Retry when Kafka cannot be reached.
    """
    from cohort_store.kafka.topics import DEFINITIONS, REGISTRY, ensure_topics, muster_topics
    from processors.kafka.single_partition import SinglePartitionLog

    wanted = read_definition_files(files)
    await ensure_topics(settings.kafka, muster_topics(settings.partitions), replication=settings.topic_replication)
    async with AsyncExitStack() as stack:
        definitions = await stack.enter_async_context(SinglePartitionLog(settings.kafka, DEFINITIONS))
        registry = await stack.enter_async_context(SinglePartitionLog(settings.kafka, REGISTRY))
        report = await apply_to(definitions, registry, wanted, prune=prune, dry_run=dry_run, deadline_s=deadline_s)
    if report.registry_version is not None and not await mirrored(settings, report.registry_version):
        unseen = f"readers do not see version {report.registry_version} yet: Redis does not have it"
        return replace(report, warnings=(*report.warnings, f"{unseen}; control puts it there as soon as it can"))
    return report


async def mirrored(settings: Settings, version: int) -> bool:
    """Whether the store's copy of the registry has that version in time."""
    mirror = connect_mirror(settings)
    try:
        async with asyncio.timeout(MIRRORED_DEADLINE_S):
            while not (copy := await mirror.fetch()) or decode_registry(copy).version < version:
                await mirror.changed(MIRRORED_DEADLINE_S)
    except (TimeoutError, Retry):
        return False
    else:
        return True
    finally:
        await mirror.aclose()


async def apply_to(
    definitions: TopicLog, registry: TopicLog, wanted: Definitions, *, prune: bool, dry_run: bool, deadline_s: float
) -> ApplyReport:
    """`apply`, on topics that are open and not yet read."""
    known = RegistryLog(registry)
    await known.catch_up()
    log = DefinitionsLog()
    for record in await definitions.read_to_end():
        log.add(Message(record.key, record.value))
    planned = plan_apply(in_force(log, known.current), wanted, prune=prune)
    check_whole(_joined(planned, wanted), cohort_ids(known.current))
    if dry_run:
        return ApplyReport("", planned.changes, None, (), wanted.warnings)
    apply_id = await _write(definitions, log, planned)
    compiled = await until_compiled(known, apply_id, deadline_s) if apply_id else known.current
    if apply_id and compiled.refused:
        raise BadDefinition("", f"control refused apply {apply_id}, what was in force before stays: {compiled.refused}")
    notices = tuple(_notices(compiled, planned.changes))
    return ApplyReport(apply_id, planned.changes, compiled.version, notices, wanted.warnings)


def _joined(planned: PlannedApply, wanted: Definitions) -> Definitions:
    """Everything that is to be in force, with the places of what the files define."""
    kept = {name: value for name, value in planned.values.items() if name not in wanted.places}
    stored = parse_values(kept)
    return Definitions(
        {**stored.cohorts, **wanted.cohorts},
        {**stored.flags, **wanted.flags},
        wanted.teams,
        wanted.places,
        group_types={**stored.group_types, **wanted.group_types},
    )


async def _write(definitions: TopicLog, log: DefinitionsLog, planned: PlannedApply) -> str:
    """The id to wait for: a new one, or the last one's where nothing is to be written; empty where there is none."""
    if not planned.changed and not log.tail:
        return log.last.id
    return await write_values(definitions, log, planned.values)


async def write_values(definitions: TopicLog, log: DefinitionsLog, values: Values) -> str:
    """Bring exactly these values into force; the apply's id. `log` has been read to its end."""
    apply_id = uuid.uuid4().hex
    await definitions.append(messages_for(log, values, apply_id))
    return apply_id


async def until_compiled(known: RegistryLog, apply_id: str, deadline_s: float) -> Registry:
    """The registry that names this apply, compiled or refused.

    It may be there only briefly, so every one that passes is looked at. Raises NotCompiled after the deadline.
    """
    try:
        async with asyncio.timeout(deadline_s):
            while (found := known.find(apply_id)) is None:
                await known.tail(_POLL_S)
    except TimeoutError:
        raise NotCompiled(
            f"control has not compiled apply {apply_id} within {deadline_s:g} s: is `muster control` running? "
            "The definitions are written and take effect as soon as it does"
        ) from None
    return found


def _notices(registry: Registry, changes: Sequence[DefinitionChange]) -> Iterator[CohortNotice]:
    for name, action in changes:
        if name.kind == COHORT and action in (Action.CREATED, Action.EDITED):
            cohort = registry.team(name.team).cohort(name.key)
            if cohort is not None:
                yield _notice(name.team, cohort)


def _notice(team: int, cohort: Cohort) -> CohortNotice:
    version = cohort.versions[-1]
    return CohortNotice(
        team=team,
        key=cohort.key,
        complemented=version.complemented,
        complete_from_ms=version.activated_ms,
        warming_until_ms=warm_up_of(version.when).until_ms(version.activated_ms, is_all=version.backfilled),
        building=version is not cohort.active,
        first=cohort.active is None or cohort.active is version,
        members=version.when["count"] if version.when.get("kind") == STATIC_LIST else None,
        kept_for_ever=kept_for_ever(version.when),
    )
