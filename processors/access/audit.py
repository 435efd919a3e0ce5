"""The account of administrative acts: a line each, on stderr and in the topic `muster.audit`, which keeps them all.

Why a topic, not a file: acts are done from any machine that reaches Kafka, and Kafka is what outlives the others.
An act stands whether its line could be kept or not: a person who is to be forgotten does not wait for a log.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Sequence
from enum import StrEnum
from hashlib import sha256
from typing import Any

import msgspec

from processors.topic_log import TopicLog

KEY = b"act"
NAMED_MAX = 50
"""Definitions or cohorts that one line names; of more only the number is told."""
TEXT_CHARACTERS_MAX = 500
"""Of an error's message."""


class Act(StrEnum):
    """What was done."""

    APPLY = "apply"
    CREATE_KEY = "create_key"
    REVOKE_KEY = "revoke_key"
    ROTATE_KEY = "rotate_key"
    FORGET = "forget"
    BACKFILL = "backfill"
    PAUSE_BACKFILL = "pause_backfill"
    RESUME_BACKFILL = "resume_backfill"
    CANCEL_BACKFILL = "cancel_backfill"
    REPAIR = "repair"


class Outcome(StrEnum):
    """How it ended."""

    DONE = "done"
    REFUSED = "refused"
    """Nothing was changed, for what was asked."""
    FAILED = "failed"
    """A part of it may have been done, and may still take effect."""
    LEFT = "left"
    """Whoever asked for it did not wait for its end."""


class AuditLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """One act."""

    at: str
    """The instant of its end."""
    act: Act
    by: str
    """The user and the machine, as the operating system names them."""
    outcome: Outcome
    team: int | None = None
    about: dict[str, Any] = {}
    """What it was done to: never a secret, and of persons a digest only."""
    error: str | None = None


def actor() -> str:
    """Who runs this process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def some(names: Sequence[str]) -> dict[str, Any]:
    """Names as a line tells them."""
    return {"count": len(names), "names": list(names[:NAMED_MAX])}


def pseudonym(team: int, person: str) -> str:
    """What a line calls a person who is forgotten: whoever knows her id can tell that it was she, and nobody else."""
    return sha256(f"{team}:{person}".encode()).hexdigest()[:32]


def encode(line: AuditLine) -> bytes:
    return msgspec.json.encode(line)


async def keep(log: TopicLog, line: AuditLine) -> None:
    """Add it to the account. Raises Retry."""
    await log.append([(KEY, encode(line))])


async def read_account(log: TopicLog) -> list[AuditLine]:
    """Every line, oldest first; those of a newer version that this one cannot read are left out. Raises Retry."""
    lines = []
    for record in await log.read_to_end():
        try:
            lines.append(msgspec.json.decode(record.value or b"", type=AuditLine))
        except msgspec.MsgspecError:
            continue
    return lines
