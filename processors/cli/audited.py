"""What every administrative command does beside its work: give account of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import typer

from cohort_store.clocks import SystemClock
from cohort_store.durations import format_instant
from cohort_store.errors import MusterError, Reject
from cohort_store.settings import Settings
from processors.access.audit import TEXT_CHARACTERS_MAX, Act, AuditLine, Outcome, actor, encode, keep
from processors.cli.invocation import Failed, Invocation

KEPT_DEADLINE_S = 10.0
"""How long a command waits for its line to be in Kafka."""


@dataclass(slots=True)
class Account:
    """What is known of the act so far; the command adds to `about` as it goes."""

    act: Act
    team: int | None
    about: dict[str, Any] = field(default_factory=dict)


@contextmanager
def audited(
    shared: Invocation, settings: Settings, act: Act, team: int | None = None, **about: Any
) -> Iterator[Account]:
    """Whatever happens inside is told of when it ends, as done, refused, failed or left.

    The line goes to stderr, where that is no terminal, and into the topic; where it cannot be kept, a warning says so.
    """
    account = Account(act, team, dict(about))
    outcome = Outcome.FAILED
    error: Exception | None = None
    try:
        yield account
        outcome = Outcome.DONE
    except typer.Exit:
        outcome = Outcome.DONE
        raise
    except KeyboardInterrupt:
        outcome = Outcome.LEFT
        raise
    except (Reject, Failed, typer.BadParameter) as refusal:
        outcome, error = Outcome.REFUSED, refusal
        raise
    except MusterError as failure:
        error = failure
        raise
    finally:
        _tell(shared, settings, _line(account, outcome, error))


def _line(account: Account, outcome: Outcome, error: Exception | None) -> AuditLine:
    # The wall's time on purpose: an installation on stepped time is accounted for as anything else.
    at = format_instant(SystemClock().now_ms())
    told = None if error is None else str(error)[:TEXT_CHARACTERS_MAX]
    return AuditLine(at, account.act, actor(), outcome, account.team, account.about, told)


def _tell(shared: Invocation, settings: Settings, line: AuditLine) -> None:
    if not sys.stderr.isatty():
        sys.stderr.write(f"audit: {encode(line).decode()}\n")
    try:
        asyncio.run(_keep(settings, line))
    except (MusterError, TimeoutError) as error:
        trouble = str(error) or f"no answer within {KEPT_DEADLINE_S:g} s"
        shared.errors.print(
            f"warning: the account of this is not in muster.audit: {trouble}", soft_wrap=True, markup=False
        )


async def _keep(settings: Settings, line: AuditLine) -> None:
    from cohort_store.kafka.topics import AUDIT, ensure_topics, muster_topics
    from processors.kafka.single_partition import SinglePartitionLog

    specs = [spec for spec in muster_topics(settings.partitions) if spec.name == AUDIT]
    async with asyncio.timeout(KEPT_DEADLINE_S):
        await ensure_topics(settings.kafka, specs, replication=settings.topic_replication)
        async with SinglePartitionLog(settings.kafka, AUDIT) as log:
            await keep(log, line)
