"""The ports of the membership store, and the commit rule.

**Commit rule.** One `ShardCommit` is applied whole or not at all, and only if the shard's commit id in the
store is still the one that its owner saw last (`expected`). Every commit puts a new random id in its
place; so of two owners at most one succeeds, and the other learns it (`Fenced`), drops all that it holds
of the shard in memory, and reads it anew. Records, memberships, timers, changes and the position that they
belong to move together.

Two adapters stand behind these ports: `memory.py` and `redis/`; one contract suite holds them to the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import NamedTuple, Protocol

from cohort_store.subjects import Subject

COMMIT_RECORDS_MAX = 200
COMMIT_BYTES_MAX = 256 * 1024
PAGE_MAX = 1_000


class Offset(NamedTuple):
    """How far a topic's partition was folded: the next offset, and the id of the last message before it."""

    next: int
    last_id: bytes


class Position(NamedTuple):
    """Where a shard stands. Absent from the store for a shard that was never committed."""

    commit_id: bytes
    partition: int
    partitions: int
    now_ms: int
    """The instant through which timers have run and input was folded."""
    ready: int
    """The registry version that was folded into every record of the shard."""
    offsets: Mapping[str, Offset] = {}
    """By topic; today there is one, muster.deltas."""
    sequence: int = 0
    """Of the last change that was put into the outbox."""
    changes_offset: int = 0
    """How far the shard's partition of muster.membership-changes was read by the owner."""
    stale: bool = False
    """Whether a source partition was left out of `now` because it gave no sign of life."""
    warm_from_ms: int = 0
    """The instant before which the shard may have missed events: its answers are warming until a window later."""
    readers_from: int = 0
    """A reader with an older registry than this one may name versions whose members the shard has let go."""


class RecordWrite(NamedTuple):
    """One subject's part of a commit."""

    subject: Subject
    record: bytes | None
    """Packed; None deletes the record with its memberships and its timer."""
    joined: tuple[int, ...] = ()
    """Handles whose set the subject joins."""
    departed: tuple[int, ...] = ()
    due_ms: int | None = None
    rearm: bool = False
    """True: `due_ms` replaces the stored due time (None: the subject stays listed, without a time).
    False: the earlier of the two stays."""


class DistinctIdWrite(NamedTuple):
    """A distinct id's person; the higher version wins, in the store. Lives in the distinct id's own shard."""

    team: int
    distinct_id: str
    person: str
    """Empty: nobody's, which readers take for not known."""
    version: int
    kept_ms: int = 0
    """Of nobody's: how long it wins over older ones; a store that knows no time keeps it."""


class ShardCommit(NamedTuple):
    """Everything that changes together. At most COMMIT_RECORDS_MAX records and COMMIT_BYTES_MAX bytes."""

    shard: int
    expected: bytes | None
    """The commit id that the owner saw last; None where it saw no position."""
    position: Position
    """The new one, with its new random commit id."""
    records: tuple[RecordWrite, ...] = ()
    """At most one of each subject."""
    distinct_ids: tuple[DistinctIdWrite, ...] = ()
    changes: tuple[bytes, ...] = ()
    """For the outbox, in order."""
    unlisted: frozenset[int] = frozenset()
    """Handles of cohorts whose member lists are not kept."""


def commit_bytes(commit: ShardCommit, records: int | None = None) -> int:
    """What COMMIT_BYTES_MAX bounds: the bytes of records and changes, and the characters of ids.

    `records` is the records' and their subjects' part, where the caller knows it.
    """
    if records is None:
        records = sum([len(write.subject.id) + len(write.record or b"") for write in commit.records])
    pairs = sum([len(pair.distinct_id) + len(pair.person) for pair in commit.distinct_ids])
    return records + pairs + sum(map(len, commit.changes))


def check_commits(commits: Sequence[ShardCommit]) -> None:
    """Raise ValueError for a commit beyond its bounds, or for two of one shard.

    A single record may take its changes with it beyond the bytes: it cannot be split.
    """
    for commit in commits:
        if len(commit.records) > COMMIT_RECORDS_MAX:
            held, limit, unit = len(commit.records), COMMIT_RECORDS_MAX, "records"
        elif len(commit.records) > 1 and commit_bytes(commit) > COMMIT_BYTES_MAX:
            held, limit, unit = commit_bytes(commit), COMMIT_BYTES_MAX, "bytes"
        else:
            continue
        raise ValueError(f"commit of shard {commit.shard} holds {held} {unit}, limit {limit}: split it")
    if len({commit.shard for commit in commits}) < len(commits):
        raise ValueError("two commits of one shard in one call: send the second after the first has its outcome")


class Outcome(Enum):
    """What became of a commit."""

    COMMITTED = auto()
    FENCED = auto()


class Due(NamedTuple):
    """Subjects whose timers are due, earliest first, and the earliest due time that is left after them."""

    subjects: tuple[Subject, ...]
    next_due_ms: int | None


class SubjectsPage(NamedTuple):
    """Subjects with a record, and where the next page begins; None at the end. A page may be empty before that."""

    subjects: tuple[Subject, ...]
    cursor: str | None


class OutboxEntry(NamedTuple):
    """A change that is not yet known to be in Kafka. `id` names it to `drop_outbox` and says nothing else."""

    id: bytes
    change: bytes


class MembershipStore(Protocol):
    """The write side. Each shard has one owner, who calls this; fencing makes a second one harmless.

    Every method raises Retry when the store cannot be reached: nothing is known of what a commit did then, and
    the owner reads its positions again.
    """

    async def check(self) -> None:
        """Raise Crash, with the remedy, where the store's configuration would lose records."""
        ...

    async def positions(self, shards: Sequence[int]) -> dict[int, Position]:
        """The positions of those shards that have one."""
        ...

    async def load(self, subjects: Mapping[int, Sequence[Subject]]) -> dict[Subject, bytes]:
        """The packed records, by shard asked for, of those subjects that have one."""
        ...

    async def commit(self, commits: Sequence[ShardCommit]) -> list[Outcome]:
        """Apply commits of different shards, each atomically; the outcomes are in the same order.

        A commit that is already applied is COMMITTED again and changes nothing: its new commit id tells.
        Raises ValueError for one beyond its bounds, or for two of one shard, before anything is sent.
        """
        ...

    async def due(self, instants: Mapping[int, int], limit: int) -> dict[int, Due]:
        """For each shard at most `limit` subjects whose due time is at or before its instant."""
        ...

    async def subjects(self, shard: int, cursor: str | None, limit: int) -> SubjectsPage:
        """About `limit` subjects with a record, in no stated order, from `cursor` on (None: from the start).

        From first page to last, whoever has a record all the while is told; some may be told twice.
        """
        ...

    async def outbox(self, shards: Sequence[int], limit: int) -> dict[int, list[OutboxEntry]]:
        """The oldest changes of each shard, in order, at most `limit` of each; shards without any are left out.

        Where the installation demands replicas, a shard whose changes they have not acknowledged in time is
        left out too: what is told here survives a failover to them.
        """
        ...

    async def newest_changes(self, shards: Sequence[int]) -> dict[int, bytes]:
        """The newest change that waits in each shard, acknowledged by replicas or not; shards without are left out."""
        ...

    async def outbox_sizes(self, shards: Sequence[int]) -> dict[int, int]:
        """How many changes wait in each shard."""
        ...

    async def drop_outbox(self, published: Mapping[int, bytes]) -> None:
        """Forget each shard's changes up to and including that entry; nothing, where it is not there (any more)."""
        ...


class Membership(NamedTuple):
    """What one read of a subject says. `handles` are the versions she is stored in (complemented: excepted from).

    A negative handle: of that version nothing can be said about her (records.py).
    """

    handles: frozenset[int]
    ready: int | None
    """The shard's `ready`; None where the shard has no position: nothing can be said then."""
    now_ms: int
    stale: bool
    warm_from_ms: int
    readers_from: int = 0
    """See `Position`: a reader whose registry is older must not take an absent handle for an answer."""


class Looked(NamedTuple):
    """What one look-up says, each part in the order in which it was asked for."""

    persons: list[str | None]
    memberships: list[Membership]
    records: list[bytes | None]


class MembersPage(NamedTuple):
    """One page of subject ids, and where the next one begins; None at the end."""

    ids: tuple[str, ...]
    cursor: str | None


class MembershipReader(Protocol):
    """The read side, for any number of readers. Raises Retry when the store cannot be reached."""

    async def persons(self, distinct_ids: Sequence[tuple[int, str]]) -> list[str | None]:
        """The persons of (team, distinct id) pairs, in that order; None where none is known."""
        ...

    async def memberships(self, subjects: Sequence[Subject]) -> list[Membership]:
        """One for each subject, in that order, in one round trip."""
        ...

    async def look_up(
        self, distinct_ids: Sequence[tuple[int, str]], subjects: Sequence[Subject]
    ) -> tuple[list[str | None], list[Membership]]:
        """As `persons` and `memberships`, in one round trip for both."""
        ...

    async def look_up_with_records(
        self, distinct_ids: Sequence[tuple[int, str]], subjects: Sequence[Subject], recorded: Sequence[Subject]
    ) -> Looked:
        """As `look_up`, with the records of `recorded`, in one round trip for all of it.

        A record is never of an earlier commit than the membership of the same subject.
        """
        ...

    async def records(self, subjects: Sequence[Subject]) -> list[bytes | None]:
        """The packed records, in that order."""
        ...

    async def members(self, handle: int, cursor: str | None, limit: int) -> MembersPage:
        """At most `limit` (at most PAGE_MAX) stored subjects' ids of a version, in no stated order.

        A page may be short, or empty, before the last. From first page to last, whoever is stored all the
        while is told; while nothing is committed, nobody is told twice. Raises ValueError for a cursor of no page.
        """
        ...

    async def size(self, handle: int) -> int:
        """How many subjects are stored in that version, over all shards."""
        ...

    async def sizes(self, handles: Sequence[int]) -> list[int]:
        """The sizes of many versions, in that order, for little more than one costs."""
        ...

    async def positions(self, shards: Sequence[int]) -> dict[int, Position]:
        """The positions of those shards that have one."""
        ...


class RegistryMirror(Protocol):
    """The registry's copy beside the sets, for readers that do not follow the topic."""

    async def publish(self, registry: bytes, version: int) -> None:
        """Replace the copy and tell those who wait for changes. An older version than the copy's is ignored."""
        ...

    async def fetch(self) -> bytes | None:
        """The copy; None where there is none."""
        ...

    async def keep_lists(self, lists: Mapping[str, bytes]) -> None:
        """Hold exactly these parts of static lists, by name. A part of one name never has other contents."""
        ...

    async def lists(self) -> dict[str, bytes]:
        """The parts of static lists that are held."""
        ...

    async def keep_note(self, name: str, note: bytes | None) -> None:
        """Hold a note of control's own under that name; None: none."""
        ...

    async def note(self, name: str) -> bytes | None:
        """The note that is held."""
        ...

    async def changed(self, timeout_s: float) -> bool:
        """Wait until the copy is newer than the one this object fetched last, at most so long; whether it is."""
        ...
