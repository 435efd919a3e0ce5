"""Muster's topics: what there is, and making sure that it is there.

A topic's partition count is part of what is stored in it (a subject's shard decides the partition), so a topic
that exists with another count is refused and never changed.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cohort_store.errors import Crash, Retry

EVENTS = "muster.events"
DELTAS = "muster.deltas"
DEFINITIONS = "muster.definitions"
REGISTRY = "muster.registry"
MEMBERSHIP_CHANGES = "muster.membership-changes"
FLAG_EVALUATIONS = "muster.flag-evaluations"
DEAD_LETTERS = "muster.dlq"
AUDIT = "muster.audit"

PARTITIONS_DEFAULT = 8
FLAG_EVALUATIONS_PARTITIONS = 1
MESSAGE_BYTES_MAX = 1_048_576
# A dead letter carries the refused message whole, and what was wrong with it in headers.
DEAD_LETTER_BYTES_MAX = 4 * MESSAGE_BYTES_MAX
# Every message of it is a whole registry.
REGISTRY_BYTES_MAX = 16 * MESSAGE_BYTES_MAX
BROKERS_DEFAULT = -1
"""As a replication factor: the one that the broker is configured with."""
CREATE_DEADLINE_S = 15.0
_POLL_S = 0.1
_TOPIC_EXISTS = 36
_BAD_REPLICATION = 38
_REQUEST_TIMEOUT_MS = 10_000


class TopicMismatch(Crash):
    """A topic exists with another number of partitions than its data were laid out for."""


class BrokerUnreachable(Retry):
    """The broker did not answer, or did not carry out what was asked."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """What a topic has to be.

    ``compacted`` topics keep the newest message of each key for ever, ``endless`` ones all of them.
    """

    name: str
    partitions: int
    compacted: bool = False
    bytes_max: int = MESSAGE_BYTES_MAX
    endless: bool = False

    def configuration(self) -> dict[str, str]:
        policy = {"cleanup.policy": "compact"} if self.compacted else {}
        if self.endless:
            policy = {"retention.ms": "-1", "retention.bytes": "-1"}
        return {**policy, "max.message.bytes": str(self.bytes_max)}


def muster_topics(partitions: int = PARTITIONS_DEFAULT) -> tuple[TopicSpec, ...]:
    """Every topic of an installation whose subjects are spread over ``partitions``."""
    return (
        TopicSpec(EVENTS, partitions, bytes_max=DEAD_LETTER_BYTES_MAX),
        TopicSpec(DELTAS, partitions),
        TopicSpec(DEFINITIONS, 1, compacted=True),
        TopicSpec(REGISTRY, 1, compacted=True, bytes_max=REGISTRY_BYTES_MAX),
        TopicSpec(MEMBERSHIP_CHANGES, partitions),
        TopicSpec(FLAG_EVALUATIONS, FLAG_EVALUATIONS_PARTITIONS),
        TopicSpec(DEAD_LETTERS, 1, bytes_max=DEAD_LETTER_BYTES_MAX),
        TopicSpec(AUDIT, 1, endless=True),
    )


async def ensure_topics(
    bootstrap: str,
    specs: Iterable[TopicSpec],
    *,
    replication: int = BROKERS_DEFAULT,
    connection: Mapping[str, Any] | None = None,
) -> tuple[str, ...]:
    """Create the topics that are missing and check the partition count of all; the names of the created ones.

    Doing it again, or from several processes at once, is harmless. ``replication`` is how many brokers a created topic
    is kept on; one that exists keeps what it has. ``connection`` is passed to the client (security settings).
    TopicMismatch where a count differs, BrokerUnreachable where the broker is silent or
    refuses. On return every topic has its partitions in the broker's metadata.
    """
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.errors import KafkaError

    wanted = tuple(specs)
    admin = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap, request_timeout_ms=_REQUEST_TIMEOUT_MS, **(connection or {})
    )
    try:
        async with asyncio.timeout(CREATE_DEADLINE_S):
            await admin.start()
            return await _ensure(admin, wanted, replication)
    except (KafkaError, OSError, TimeoutError) as error:
        raise BrokerUnreachable(
            f"topics could not be made sure of at {bootstrap} within {CREATE_DEADLINE_S:g} s ({error!r}): "
            "is a broker running there?"
        ) from error
    finally:
        await admin.close()


async def _ensure(admin: Any, specs: Sequence[TopicSpec], replication: int) -> tuple[str, ...]:
    existing = set(await admin.list_topics())
    missing = [spec for spec in specs if spec.name not in existing]
    if missing:
        await _create(admin, missing, replication)
    while (counts := await _partition_counts(admin, specs)) is None:
        await asyncio.sleep(_POLL_S)
    for spec in specs:
        if counts[spec.name] != spec.partitions:
            raise TopicMismatch(
                f"topic {spec.name} has {counts[spec.name]} partitions where {spec.partitions} are configured: "
                "configure the number that it has, or move to a new installation"
            )
    return tuple(spec.name for spec in missing)


async def _create(admin: Any, specs: Sequence[TopicSpec], replication: int) -> None:
    from aiokafka.admin import NewTopic

    topics = [NewTopic(spec.name, spec.partitions, 1, topic_configs=spec.configuration()) for spec in specs]
    for topic in topics:
        # Its constructor takes -1 for a mistake, which the protocol has for the broker's default.
        topic.replication_factor = replication
    answer = await admin.create_topics(topics)
    for name, code, message in (error[:3] for error in answer.topic_errors):
        if code not in (0, _TOPIC_EXISTS):
            remedy = (
                ": start more brokers, or set MUSTER_TOPIC_REPLICATION to what there are"
                if code == _BAD_REPLICATION
                else ""
            )
            raise BrokerUnreachable(f"the broker refused to create topic {name}: error {code}, {message}{remedy}")


async def _partition_counts(admin: Any, specs: Sequence[TopicSpec]) -> dict[str, int] | None:
    """Partitions of each topic, None while the broker's metadata lacks some topic or some partition's leader."""
    described = {topic["topic"]: topic for topic in await admin.describe_topics([spec.name for spec in specs])}
    counts: dict[str, int] = {}
    for spec in specs:
        topic = described.get(spec.name)
        if topic is None or topic["error_code"] or not topic["partitions"]:
            return None
        if any(partition["error_code"] for partition in topic["partitions"]):
            return None
        counts[spec.name] = len(topic["partitions"])
    return counts
