"""The adapters from settings. Nothing is opened before the first call; `aclose` of each closes what it opened."""

from __future__ import annotations

from cohort_store.durations import UNITS_MS
from cohort_store.redis.cluster import ClusterLink
from cohort_store.redis.hash_keys import RedisHashKeys
from cohort_store.redis.link import Link
from cohort_store.redis.mirror import RedisRegistryMirror
from cohort_store.redis.reader import RedisMembershipReader
from cohort_store.redis.server import ServerLink
from cohort_store.redis.store import RedisMembershipStore
from cohort_store.settings import Settings

DAY_MS = UNITS_MS["d"]


def connect_store(settings: Settings) -> RedisMembershipStore:
    """The write side."""
    return RedisMembershipStore(_link(settings), settings.redis_prefix, settings.redis_replicas)


def connect_reader(settings: Settings) -> RedisMembershipReader:
    """The read side."""
    return RedisMembershipReader(_link(settings), settings.redis_prefix, settings.shards)


def connect_hash_keys(settings: Settings) -> RedisHashKeys:
    """In whose place persons came."""
    kept_ms = int(settings.continuity_days * DAY_MS)
    return RedisHashKeys(_link(settings), settings.redis_prefix, settings.shards, kept_ms)


def connect_mirror(settings: Settings) -> RedisRegistryMirror:
    """The registry's copy."""
    return RedisRegistryMirror(_link(settings), settings.redis_prefix)


def _link(settings: Settings) -> Link:
    return ClusterLink(settings.redis) if settings.redis_cluster else ServerLink(settings.redis)
