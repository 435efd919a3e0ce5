"""Sources, versions that take over, and what status says of them."""

from cohort_store.clocks import SteppedClock
from cohort_store.definition_files import GROUP_TYPE, read_definitions
from cohort_store.definition_text import DefinitionText
from cohort_store.kafka.topics import DELTAS
from cohort_store.memory import MemoryStore
from cohort_store.ports import Offset, Position, ShardCommit
from cohort_store.registry import Registry, decode_registry, encode_registry
from processors.control.compiler import compiled
from processors.control.life import (
    ABSENT_LOOKS_MAX,
    Retirement,
    SourceWatch,
    building,
    dropping,
    ready_of,
    taking_over,
    with_sources,
)
from processors.control.status import Status, status_of
from processors.definition_changes import Applied, canonical_values, registry_values

DAY_MS = 86_400_000


def position(ready: int, *, next_offset: int = 0, now_ms: int = 0, warm_from_ms: int = 0) -> Position:
    offsets = {DELTAS: Offset(next_offset, b"")}
    return Position(b"x", 0, 1, now_ms, ready, offsets, warm_from_ms=warm_from_ms)


def registry_of(*whens: str, now: int = 0) -> Registry:
    """One team-1 cohort `c`, edited from one tree to the next."""
    registry = Registry()
    for number, when in enumerate(whens):
        text = f"cohorts: [{{key: c, when: {when}}}]".encode()
        values = canonical_values(read_definitions([DefinitionText("f.yaml", text)]))
        registry = compiled(registry, Applied(str(number), values), now)
    return registry


async def standing(
    registry: Registry, *positions: Position, now: int = 0, ends: dict[int, int] | None = None
) -> Status:
    store = MemoryStore(2)
    await store.commit([ShardCommit(shard, None, each) for shard, each in enumerate(positions)])
    clock = SteppedClock(now)
    return await status_of(registry, store, shards=2, now=clock.now_ms(), ends=ends)


def test_all_shards_are_as_ready_as_the_last_of_them() -> None:
    assert ready_of({0: position(3), 1: position(5)}, 2) == 3
    assert ready_of({0: position(3)}, 2) == 0


def test_a_version_takes_over_at_the_registry_version_that_brought_it_and_not_before() -> None:
    registry = registry_of("{kind: performed, event: a, within: 1d}", "{kind: performed, event: b, within: 1d}")
    assert building(registry)
    assert taking_over(1)(registry) is registry
    assert not building(taking_over(2)(registry))


def edited(before: str, after: str) -> Registry:
    """One cohort, edited from one event to another, with the edit in force."""
    registry = registry_of(*(f"{{kind: performed, event: {event}, within: 1d}}" for event in (before, after)))
    return taking_over(registry.version)(registry)


def test_what_was_retired_goes_some_time_after_the_mirror_shows_the_registry_without_it() -> None:
    registry, retirement = edited("a", "b"), Retirement(kept_ms=100)
    ended = registry.version
    assert registry.retired_in() == {ended}
    assert retirement.look(registry, ended - 1, 1_000) == 0
    assert retirement.look(registry, ended, 2_000) == 0, "the mirror shows it from here on"
    assert [retirement.look(registry, ended, 2_000 + passed) for passed in (99, 100, 101)] == [0, ended, ended]
    assert dropping(ended)(registry).retired_in() == set()
    assert dropping(ended - 1)(registry) is registry


def test_a_mirror_that_goes_back_begins_the_time_of_what_is_retired_anew() -> None:
    registry, retirement = edited("a", "b"), Retirement(kept_ms=100)
    ended = registry.version
    assert retirement.look(registry, ended, 0) == 0
    assert retirement.look(registry, ended - 1, 99) == 0
    assert [retirement.look(registry, ended + 1, at) for at in (150, 249, 250)] == [0, 0, ended]


def test_each_version_that_was_retired_has_its_own_time() -> None:
    first, retirement = edited("a", "b"), Retirement(kept_ms=100)
    values = canonical_values(
        read_definitions(
            [DefinitionText("f.yaml", b"cohorts: [{key: d, when: {kind: performed, event: d, within: 1d}}]")]
        )
    )
    both = compiled(first, Applied("pruned", values), 0)
    assert both.retired_in() == {first.version, both.version}
    looks = [(first, 0), (both, 50), (both, 100), (both, 149), (both, 150)]
    told = [retirement.look(registry, registry.version, at) for registry, at in looks]
    assert told == [0, 0, first.version, first.version, both.version]


def test_a_control_that_begins_anew_lets_the_whole_time_pass_again() -> None:
    registry = edited("a", "b")
    assert Retirement(kept_ms=100).look(registry, registry.version, 10**9) == 0


def test_sources_that_did_not_change_make_no_version() -> None:
    registry = with_sources({"t": (0, 1)})(Registry())
    assert (registry.version, dict(registry.sources)) == (1, {"t": (0, 1)})
    assert with_sources({"t": (0, 1)})(registry) is registry


def test_a_topic_that_is_not_configured_any_more_is_struck_at_once() -> None:
    assert SourceWatch(["kept"]).look({"kept": (0,), "removed": (0,)}, {"removed": (0,)}) == {"kept": (0,)}


def test_a_configured_topic_is_struck_only_when_it_stays_away() -> None:
    watch, known = SourceWatch(["t"]), {"t": (0, 1)}
    for _ in range(ABSENT_LOOKS_MAX - 1):
        assert watch.look({}, known) == known
    assert watch.look({}, known) == {}
    assert watch.look({"t": (0, 1, 2)}, {}) == {"t": (0, 1, 2)}


def test_an_absence_is_forgotten_when_the_topic_is_seen_again() -> None:
    watch, known = SourceWatch(["t"]), {"t": (0,)}
    for _ in range(3):
        for _ in range(ABSENT_LOOKS_MAX - 1):
            assert watch.look({}, known) == known
        assert watch.look(known, known) == known


async def test_a_cohort_warms_from_the_later_of_its_birth_and_its_shards_until_a_window_has_passed() -> None:
    registry = registry_of("{kind: performed, event: a, within: 1d}", now=1_000)
    shards = position(1), position(1, warm_from_ms=5_000)
    (cohort,) = (await standing(registry, *shards, now=5_000 + DAY_MS - 1)).cohorts
    assert (cohort.state, cohort.complete_from_ms, cohort.warming_until_ms) == ("warming", 5_000, 5_000 + DAY_MS)
    (cohort,) = (await standing(registry, *shards, now=5_000 + DAY_MS)).cohorts
    assert cohort.state == "ready"


async def test_a_cohort_of_all_time_never_stops_warming() -> None:
    registry = registry_of("{kind: first_time, event: a, within: 1d}")
    (cohort,) = (await standing(registry, position(1), position(1), now=10**13)).cohorts
    assert (cohort.state, cohort.warming_until_ms) == ("warming", None)


async def test_a_cohort_since_an_instant_is_complete_where_no_event_since_then_was_missed() -> None:
    since_ms = 1_704_067_200_000
    for activated_ms, state in [(since_ms - 1, "ready"), (since_ms, "ready"), (since_ms + 1, "warming")]:
        registry = registry_of("{kind: performed, event: a, since: 2024-01-01}", now=activated_ms)
        (cohort,) = (await standing(registry, position(1), position(1), now=10**13)).cohorts
        assert cohort.state == state


async def test_a_cohort_that_one_shard_has_not_folded_is_unavailable() -> None:
    registry = registry_of("{kind: performed, event: a, within: 1d}")
    for positions in ([position(1)], [position(1), position(0)]):
        (cohort,) = (await standing(registry, *positions)).cohorts
        assert cohort.state == "unavailable"


async def test_an_edited_cohort_shows_the_version_that_answers_and_the_one_to_come() -> None:
    registry = registry_of("{kind: performed, event: a, within: 1d}", "{not: {kind: performed, event: b, within: 1d}}")
    (cohort,) = (await standing(registry, position(1), position(1))).cohorts
    assert (cohort.version, cohort.building, cohort.complemented) == (1, 2, False)


async def test_shards_are_as_old_and_as_far_behind_as_the_slowest_of_them() -> None:
    shards = position(1, next_offset=7, now_ms=900), position(0, next_offset=3, now_ms=400)
    status = await standing(registry_of("{kind: performed, event: a, within: 1d}"), *shards, now=1_000, ends={0: 10})
    assert (status.shards.ready, status.shards.known, status.shards.total) == (1, 2, 2)
    assert (status.shards.now_ms, status.shards.age_ms, status.shards.lag) == (400, 600, 7)


async def test_figures_that_need_what_is_away_are_left_open() -> None:
    status = await standing(Registry())
    assert (status.shards.now_ms, status.shards.age_ms, status.shards.lag) == (None, None, None)


def test_group_types_are_in_force_with_the_apply_that_names_them_and_can_be_read_back() -> None:
    text = b"group_types: {company: 0}\nflags: [{key: f, filters: {aggregation_group_type_index: 0, groups: [{}]}}]"
    values = canonical_values(read_definitions([DefinitionText("f.yaml", text)]))
    registry = compiled(Registry(), Applied("a", values), 0)
    assert registry.team(1).group_types == {"company": 0}
    assert registry_values(decode_registry(encode_registry(registry))) == values
    without = {name: value for name, value in values.items() if name.kind != GROUP_TYPE}
    refused = compiled(registry, Applied("b", without), 0)
    assert "team 1 does not name" in refused.refused
    assert refused.team(1).group_types == {"company": 0}
    assert compiled(registry, Applied("c", {}), 0).teams == {}
