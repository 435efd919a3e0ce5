"""Which lists control sends, when again, and when every shard has them."""

import asyncio
from collections.abc import Sequence

from cohort_store.compiling import activate, assign
from cohort_store.definition_files import read_definitions
from cohort_store.definition_text import DefinitionText
from cohort_store.deltas import decode_message
from cohort_store.kafka.topics import DELTAS
from cohort_store.ports import Offset, Position
from cohort_store.registry import Registry
from cohort_store.static_lists import TeamList, digest_of
from cohort_store.subjects import PERSON, Subject, shard_of
from processors.control.filling import Filling
from processors.definition_changes import Values, canonical_values
from processors.router.packing import Packed

SHARDS, PARTITIONS, NOW_MS = 8, 4, 1_000_000
AB = TeamList(1, digest_of(("a", "b")))


class RememberedDeltas:
    """What was sent. Each partition's log began at offset 100."""

    def __init__(self) -> None:
        self.sent: list[Packed] = []
        self.ends = dict.fromkeys(range(PARTITIONS), 100)

    async def send(self, messages: Sequence[Packed]) -> dict[int, int]:
        self.sent += messages
        for message in messages:
            self.ends[message.partition] += 1
        return {message.partition: self.ends[message.partition] for message in messages}


class Control:
    """A control process: what it knows, and what it sends."""

    def __init__(self) -> None:
        self.log = RememberedDeltas()
        self.filling = Filling(self.log, SHARDS, PARTITIONS)
        self.registry = Registry()
        self.values: Values = {}

    def define(self, **lists: str) -> None:
        text = "".join(f"  - {{key: {key}, members: [{ids}]}}\n" for key, ids in lists.items())
        definitions = read_definitions([DefinitionText("f.yaml", f"cohorts:\n{text}".encode())])
        self.values = {**self.values, **canonical_values(definitions)}
        self.registry = assign(self.registry, list(definitions.cohorts.values()), {}, applied="", now=0)

    def fill(self, **began_ms: int) -> int:
        """How many messages a look sends, where these shards (`s3=...`) say when they began anew."""
        before = len(self.log.sent)
        positions = {int(shard[1:]): position(warm_from_ms=at) for shard, at in began_ms.items()}
        asyncio.run(self.filling.fill(self.registry, self.values, positions))
        return len(self.log.sent) - before

    def unfolded(self, behind: int, shards: int = SHARDS) -> frozenset[TeamList]:
        """With every shard that far behind the ends of the deltas."""
        return self.filling.unfolded(
            self.registry,
            {shard: position(self.log.ends[shard % PARTITIONS] - behind) for shard in range(shards)},
        )


def position(offset: int = 0, warm_from_ms: int = 0) -> Position:
    return Position(b"", 0, PARTITIONS, 0, 0, {DELTAS: Offset(offset, b"")}, warm_from_ms=warm_from_ms)


def test_a_lists_members_get_its_register_in_their_own_shards() -> None:
    control = Control()
    control.define(v="b, a")
    assert control.fill() == len({shard_of_person("a") % PARTITIONS, shard_of_person("b") % PARTITIONS})
    messages = [decode_message(packed.value) for packed in control.log.sent]
    assert {message.registry_version for message in messages} == {control.registry.version}
    deltas = [(shard, delta) for message in messages for shard, of_shard in message.shards for delta in of_shard]
    assert sorted((delta.subject.id, shard) for shard, delta in deltas) == [(x, shard_of_person(x)) for x in ("a", "b")]
    assert {delta.registers for _, delta in deltas} == {((f"$list:{AB.digest}", 1, "true"),)}


def shard_of_person(person: str) -> int:
    return shard_of(Subject(1, PERSON, person), SHARDS)


def test_a_list_is_sent_once_however_often_it_is_looked_at() -> None:
    control = Control()
    control.define(v="a, b")
    assert control.fill() > 0
    assert control.fill() == 0
    control.registry = activate(control.registry, control.registry.version)
    assert control.fill() == 0


def test_a_list_is_folded_when_every_shard_is_behind_all_that_was_sent_of_it() -> None:
    control = Control()
    control.define(v="a, b")
    assert control.unfolded(0) == {AB}, "it was not sent yet"
    control.fill()
    assert control.unfolded(1) == {AB}
    assert control.unfolded(0, shards=SHARDS - 1) == {AB}, "a shard without position"
    assert control.unfolded(0) == frozenset()


def test_a_list_that_another_cohort_names_later_is_not_sent_again() -> None:
    control = Control()
    control.define(v="a, b")
    control.fill()
    control.define(v="a, b", w="b, a")
    assert control.fill() == 0


def test_a_list_that_was_gone_between_two_looks_is_sent_again() -> None:
    """The shards may have dropped its registers in the meantime."""
    control = Control()
    control.define(v="a, b")
    control.fill()
    control.define(other="c")
    control.define(v="a, b")
    assert control.fill() > 0


def test_lists_are_sent_again_when_a_shard_may_have_missed_them_and_then_once() -> None:
    control = Control()
    control.define(v="a, b")
    control.fill()
    assert control.fill(s0=0, s1=0) == 0, "they never began anew"
    for began in (
        {"s0": NOW_MS, "s1": 0},
        {"s0": NOW_MS, "s1": NOW_MS - 1},
        {"s0": NOW_MS + 1, "s1": NOW_MS - 1},
        # A store that is an older copy of itself.
        {"s0": NOW_MS, "s1": NOW_MS - 1},
    ):
        assert control.fill(**began) > 0
        assert control.fill(**began) == 0, "whatever any clock says"


def test_a_list_of_nobody_is_folded_at_once() -> None:
    control = Control()
    control.define(v="")
    assert control.fill() == 0
    assert control.unfolded(0) == frozenset()
