"""Every trouble that the store's domain can meet.

MusterError
├── Reject            bad data; it goes to the dead-letter topic, or back to its author
│   ├── BadDefinition a definition that cannot be accepted, with path, value, limit and remedy
│   └── BadEvent      an event that cannot be accepted, with a machine-readable reason
├── Retry             a transport failed; the same call may succeed later
└── Crash             an invariant broke; the process must not go on with what it holds
    ├── BadRecord     stored bytes that no version of Muster wrote
    └── WrongShards   the installation has another number of shards than the process is configured with
"""

from __future__ import annotations


class MusterError(Exception):
    """Root of every exception that Muster raises on purpose."""


class Reject(MusterError):
    """Bad data. Trying again cannot help; the data must change."""


class BadDefinition(Reject):
    """A definition that is refused whole: `path` is where in it, `problem` names value, limit and remedy."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}" if path else problem)
        self.path = path
        self.problem = problem


class BadEvent(Reject):
    """An event that is refused. `reason` is a stable word for metrics, `detail` a sentence for people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Retry(MusterError):
    """A transport failed: the same call may succeed later."""


class Crash(MusterError):
    """An invariant broke. What is held in memory is not to be trusted any more."""


class BadRecord(Crash):
    """Bytes in the store that are not a record of any schema this version knows."""


class WrongShards(Crash):
    """The installation has another number of shards than MUSTER_SHARDS says."""
