"""Every setting, once: environment variables `MUSTER_*`, above a TOML file, above the defaults below.

The file is `muster.toml` in the working directory, or the one that `MUSTER_CONFIG` names.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from cohort_store.addresses import check_brokers, check_history, check_network, check_origin, check_view
from cohort_store.clocks import clock_from
from cohort_store.history_tables import HistoryTables

Codec = Literal["posthog", "plain", "posthog_person", "posthog_distinct_id"]
PERSON_CODECS = ("posthog_person",)
"""Those that read persons."""
PAIR_CODECS = ("posthog_distinct_id",)
"""Those that read whose distinct ids are; the others read events."""


class Settings(BaseSettings):
    """Frozen. A value that does not fit raises pydantic.ValidationError, which names the setting."""

    model_config = SettingsConfigDict(env_prefix="MUSTER_", frozen=True, extra="forbid")

    kafka: str = Field("127.0.0.1:9092", description="Kafka bootstrap servers, comma-separated.")
    redis: str = Field(
        "redis://127.0.0.1:6379/0", description="Redis or Valkey URL; of a Cluster any nodes: redis://a:6379,b:6379."
    )
    redis_cluster: bool = Field(False, validate_default=True, description="Whether that URL names a node of a Cluster.")
    redis_replicas: int = Field(0, ge=0, le=5, description="Replicas that must have a change before it goes out.")
    redis_prefix: str = Field("m", pattern=r"^[A-Za-z0-9_.-]{1,40}$", description="First part of every Redis key.")
    clickhouse: str = Field("", description="ClickHouse URL, http://user:password@host:8123/database; empty: none.")

    sources: dict[str, Codec] = Field(
        {"muster.events": "plain"},
        description="Source topics, each with its codec: plain, posthog, posthog_person, posthog_distinct_id.",
    )
    shards: int = Field(256, ge=1, le=16_384, description="Shards; fixed at installation.")
    partitions: int = Field(8, ge=1, le=1_024, description="Partitions of muster.deltas; fixed at installation.")
    topic_replication: int = Field(
        -1, ge=-1, le=32_767, description="Replicas of the topics that Muster creates; -1: the broker's default."
    )

    clock: str = Field("system", description="system, or file:<path> for stepped time.")
    clock_slack_ms: int = Field(5_000, ge=0, description="Input less than this behind leaves time to the clock.")
    max_hold_ms: int = Field(3_600_000, ge=0, description="How long a silent source partition holds time back.")
    mark_interval_ms: int = Field(1_000, ge=10, description="How often routers report progress.")
    future_ms_max: int = Field(86_400_000, ge=0, description="An event dated further ahead of its arrival is refused.")
    event_bytes_max: int = Field(1_048_576, ge=1_024, description="A longer event is refused.")
    records_cached_max: int = Field(200_000, ge=0, description="Records that an owner keeps in memory.")
    outbox_max: int = Field(100_000, ge=1, description="Changes waiting in a shard's outbox at which folding pauses.")
    backfill_threads: int = Field(2, ge=1, le=1_024, description="Threads of ClickHouse that a backfill may take.")
    backfill_part_persons: int = Field(
        1_000_000,
        ge=1,
        description="Persons of whom ClickHouse reduces the history at a time; halved by itself where memory is short.",
    )
    backfill_rows_per_s: int = Field(
        0,
        ge=0,
        description="Rows a second that ClickHouse reads for a backfill, at most; 0: no bound. `muster up`: 1,000,000.",
    )
    backfill_memory_bytes: int = Field(
        2_147_483_648, ge=67_108_864, description="Memory of ClickHouse that a query of a backfill may take."
    )
    reconcile_hours: float = Field(
        24.0, ge=0, description="In so long everybody is compared with ClickHouse once; 0: only by muster reconcile."
    )
    reconcile_repair: bool = Field(False, description="Whether control makes good what it finds to differ.")
    history: HistoryTables = Field(
        HistoryTables(),
        description="Which tables of ClickHouse hold the history; by default the one that muster archive writes.",
    )
    forget_days: float = Field(
        30.0,
        gt=0,
        le=3_650,
        description="How long the forgotten are kept from coming back; longer than topics keep.",
    )
    group_prefix: str = Field("muster", description="First part of every consumer group's name.")
    session_timeout_ms: int = Field(6_000, ge=1_000, description="Consumer group session time-out.")

    evaluator_host: str = Field("127.0.0.1", description="Address that the evaluator listens on.")
    evaluator_port: int = Field(8_300, ge=0, le=65_535, description="Port that the evaluator listens on.")
    continuity_days: float = Field(
        365.0,
        gt=0,
        le=3_650,
        description="How long somebody keeps the flags' values of her anonymous days since she was last asked for.",
    )
    evaluations_interval_s: float = Field(
        60.0, ge=0, le=3_600, description="How often an evaluator tells Kafka how it answered flags; 0: never."
    )
    tokens: dict[str, int] = Field(
        {"phc_muster": 1}, description="Public project tokens, each with its team: they evaluate and capture."
    )
    secret_key_file: str = Field(
        "", description="File with a secret key of every right for team 1, as muster up makes one; empty: none."
    )
    rate_address_per_s: float = Field(0, ge=0, description="Requests a second of one client's address; 0: any number.")
    rate_key_per_s: float = Field(0, ge=0, description="Requests a second of one token or key; 0: any number.")
    rate_burst_s: float = Field(2, ge=0, le=3_600, description="So many seconds' worth of requests may come at once.")
    trusted_proxies: list[str] = Field(
        [], description="Addresses and networks of proxies whose X-Forwarded-For is believed."
    )
    cors_origins: list[str] = Field(
        ["*"], description="Origins whose pages may evaluate and capture: https://shop.example, or * for any."
    )
    tls_certificate: str = Field("", description="PEM file of the evaluator's certificate chain; empty: plain HTTP.")
    tls_key: str = Field("", validate_default=True, description="PEM file of that certificate's private key.")
    evaluator_cache_bytes: int = Field(
        67_108_864, ge=0, description="Memory for what was last known of persons; the store is away: it answers."
    )
    push_streams_max: int = Field(
        10_000, ge=0, le=1_000_000, description="Streams of changes that one evaluator keeps open; 0: none."
    )
    control_host: str = Field("127.0.0.1", description="Address that control's web views listen on.")
    control_port: int = Field(8_301, ge=0, le=65_535, description="Port of control's web views; 0: none.")
    metrics_port: int = Field(0, ge=0, le=65_535, description="Port of a worker's Prometheus metrics; 0: none.")
    data_dir: str = Field("./muster-data", description="Folder of the embedded parts and of control's state.")

    @field_validator("kafka", "redis", "clickhouse", "clock")
    @classmethod
    def _an_address(cls, value: str, info: ValidationInfo) -> str:
        _CHECKS[str(info.field_name)](value)
        return value

    @field_validator("redis_cluster")
    @classmethod
    def _nodes_of_a_cluster(cls, value: bool, info: ValidationInfo) -> bool:
        if not value and "," in info.data.get("redis", ""):
            raise ValueError("MUSTER_REDIS names several nodes, which only a Cluster has; set this to true")
        return value

    @field_validator("topic_replication")
    @classmethod
    def _some_replicas(cls, value: int) -> int:
        if value == 0:
            raise ValueError("a topic has at least 1 replica; -1 leaves it to the broker")
        return value

    @field_validator("history")
    @classmethod
    def _states_on_both_sides(cls, value: HistoryTables, info: ValidationInfo) -> HistoryTables:
        if value.persons is not None and not set(info.data.get("sources", {}).values()) & set(PERSON_CODECS):
            raise ValueError(
                "persons are states, which beat all that events say later, and MUSTER_SOURCES has no topic that tells "
                "of later ones; name one with the codec posthog_person, or leave persons out"
            )
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: list[str]) -> list[str]:
        for each in value:
            check_network(each)
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: list[str]) -> list[str]:
        for each in value:
            check_origin(each)
        return value

    @field_validator("tls_key")
    @classmethod
    def _beside_its_certificate(cls, value: str, info: ValidationInfo) -> str:
        if bool(value) is not bool(info.data.get("tls_certificate")):
            raise ValueError("MUSTER_TLS_CERTIFICATE and MUSTER_TLS_KEY go together; set both, or neither")
        return value

    @property
    def event_sources(self) -> dict[str, Codec]:
        """The sources of events, each with its codec."""
        return {topic: codec for topic, codec in self.sources.items() if codec not in (*PERSON_CODECS, *PAIR_CODECS)}

    @property
    def person_sources(self) -> dict[str, Codec]:
        """The sources of persons, each with its codec."""
        return {topic: codec for topic, codec in self.sources.items() if codec in PERSON_CODECS}

    @property
    def pair_sources(self) -> dict[str, Codec]:
        """The sources of distinct ids, each with its codec."""
        return {topic: codec for topic, codec in self.sources.items() if codec in PAIR_CODECS}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (pydantic-settings passes it by name)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (as above)
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        toml = TomlConfigSettingsSource(settings_cls, os.environ.get("MUSTER_CONFIG", "muster.toml"))
        return init_settings, env_settings, toml


_CHECKS: dict[str, Callable[[str], object]] = {
    "kafka": check_brokers,
    "redis": check_view,
    "clickhouse": check_history,
    "clock": clock_from,
}
