"""From definitions to the next registry: handles, versions, resolved references, and the bounds.

`assign` is pure. It refuses whole (BadDefinition): a reference to nobody, a circle, more kept entries
than a record may hold. A cohort whose resolved tree did not change keeps its version; one that changed,
itself or through a reference, gets the next one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec

from cohort_store.conditions.condition import AnyCondition, Condition, RegisterCondition, Sharing
from cohort_store.definitions import CohortDefinition, Node, parse_tree, to_plain
from cohort_store.errors import BadDefinition, Crash
from cohort_store.group_types import GroupTypes
from cohort_store.inheriting import Kept, Known
from cohort_store.plans import conditions_of, holds_for_empty
from cohort_store.references import references_of, resolve_all
from cohort_store.registry import Cohort, CohortVersion, Fill, Registry, TeamRegistry, VersionState
from cohort_store.static_lists import TeamList, lists_in

TIMELINE_ENTRIES_MAX = 4_096
RECORD_BYTES_MAX = 64 * 1024
SHARED_PART = 8
ENTRY_BYTES = 14
"""A kept entry at most: 9 bytes of time difference and 5 of tag."""
VALUE_BYTES = 9
"""A kept entry's value at most."""
TIMELINE_BYTES = 10
"""A timeline's own part of a record at most: its selector, width and length."""

_deterministic = msgspec.json.Encoder(order="deterministic").encode


def assign(
    registry: Registry,
    cohorts: Sequence[CohortDefinition],
    flags: Mapping[int, Sequence[Any]],
    *,
    applied: str,
    now: int,
    group_types: Mapping[int, GroupTypes] | None = None,
) -> Registry:
    """The registry in which exactly these definitions are in force, one version above `registry`.

    New and changed cohorts get versions in state `building`, but for a cohort's first, which is active at
    once: there is nothing older to answer in its place. A first one that reads a static list is building too, until
    the list has been sent to all shards. What was active in a cohort that is gone is retired.
    `now` is the instant of compiling.
    """
    types = group_types or {}
    by_team: dict[int, list[CohortDefinition]] = {team: [] for team in {*registry.teams, *flags, *types}}
    for cohort in cohorts:
        by_team.setdefault(cohort.team, []).append(cohort)
    step = _Assignment(registry, now)
    made = {team: step.team(team, of_team, flags.get(team, ())) for team, of_team in sorted(by_team.items())}
    teams = {team: msgspec.structs.replace(each, group_types=types.get(team, {})) for team, each in made.items()}
    version = registry.version + 1
    changed = _alive(teams) != _alive(registry.teams)
    return msgspec.structs.replace(
        registry,
        version=version,
        cohorts_version=version if changed else registry.cohorts_version,
        next_handle=step.next_handle,
        next_cohort_id=step.next_cohort_id,
        teams={
            team: each
            for team, each in teams.items()
            if each.cohorts or each.flags or each.selectors or each.group_types
        },
        applied=applied,
        refused="",
    )


def activate(
    registry: Registry, ready: int, unfolded: Collection[TeamList] = (), *, with_history: bool = False
) -> Registry:
    """Let every building version that all shards have folded (`ready`: the lowest shard's) take over, all at once.

    One waits that reads a list in `unfolded`, where there is a history (`with_history`) one that awaits its own, and
    any while a cohort that it refers to, or that refers to it, has a newer version that waits: the two flip together.
    Returns `registry` itself where there is none. A version that is replaced is retired.
    """
    version = registry.version + 1
    lists = {team: {each.digest for each in unfolded if each.team == team} for team in registry.teams}
    teams = {
        team: _team_activated(of_team, ready, version, lists[team], with_history=with_history)
        for team, of_team in registry.teams.items()
    }
    if all(teams[team] is of_team for team, of_team in registry.teams.items()):
        return registry
    return msgspec.structs.replace(registry, version=version, cohorts_version=version, teams=teams)


def backfill(registry: Registry, begins_ms: Mapping[int, int | None], since_ms: int | None = None) -> Registry:
    """Note that history was filled in for the versions of these handles, and where each one's history begins.

    None: there was none. `since_ms`: what came before was not read. One that was filled in before then stays as it was;
    one that lacked its history is complete from there on, and is left so. Returns `registry` itself where that is no
    news of any version that is still there.
    """

    def fill(version: CohortVersion) -> CohortVersion:
        if version.handle not in begins_ms:
            return version
        begins = begins_ms[version.handle]
        if since_ms is None or begins is None or begins >= since_ms:
            from_ms = version.activated_ms if begins is None else min(begins, version.activated_ms)
            return msgspec.structs.replace(version, activated_ms=from_ms, backfilled=True, fill=Fill.ONCE)
        if version.backfilled:
            return msgspec.structs.replace(version, fill=Fill.ONCE)
        return msgspec.structs.replace(version, activated_ms=min(since_ms, version.activated_ms), fill=Fill.LEFT)

    return _with_versions(registry, fill)


def ask_backfill(registry: Registry, handles: Collection[int]) -> Registry:
    """Let history be filled in for the versions of these handles, once more where it was."""

    def ask(version: CohortVersion) -> CohortVersion:
        asked = Fill.AGAIN if version.backfilled else Fill.ONCE
        return msgspec.structs.replace(version, fill=asked if version.handle in handles else version.fill)

    return _with_versions(registry, ask)


def leave_backfill(registry: Registry, handles: Collection[int]) -> Registry:
    """Let the versions of these handles stay as they are: no history is filled in for them until somebody asks."""

    def leave(version: CohortVersion) -> CohortVersion:
        left = Fill.ONCE if version.backfilled else Fill.LEFT
        return msgspec.structs.replace(version, fill=left if version.handle in handles else version.fill)

    return _with_versions(registry, leave)


def drop_retired(registry: Registry, through: int) -> Registry:
    """Let go of what was retired with registry version `through` or before; `registry` itself where nothing was."""
    dropped = [retired_in for retired_in in registry.retired_in() if retired_in <= through]
    if not dropped:
        return registry
    teams = {
        team: msgspec.structs.replace(
            of_team, retired=tuple(each for each in of_team.retired if each.versions[0].retired_in > through)
        )
        for team, of_team in registry.teams.items()
    }
    version = registry.version + 1
    return msgspec.structs.replace(
        registry, version=version, cohorts_version=version, readers_from=max(dropped), teams=teams
    )


def check(cohorts: Sequence[CohortDefinition]) -> None:
    """Raise BadDefinition for anything that `assign` would refuse in these cohorts alone."""
    assign(Registry(), cohorts, {}, applied="", now=0)


class _Assignment:
    """The running numbers of one `assign`."""

    def __init__(self, registry: Registry, now: int) -> None:
        self.registry = registry
        self.now = now
        self.next_handle = registry.next_handle
        self.next_cohort_id = registry.next_cohort_id

    def team(self, team: int, cohorts: Sequence[CohortDefinition], flags: Sequence[Any]) -> TeamRegistry:
        before = self.registry.team(team)
        if not cohorts and not before.cohorts:
            return msgspec.structs.replace(before, flags=tuple(flags))
        known: dict[str, CohortDefinition] = {}
        for cohort in cohorts:
            if cohort.key in known:
                raise BadDefinition(cohort.key, f"team {team} defines this key twice; keep one of the two")
            known[cohort.key] = cohort
        trees = {key: (when, parse_tree(when)) for key, when in resolve_all(known).items()}
        present = {cohort.key: parse_tree(cohort.active.when) for cohort in before.cohorts if cohort.active}
        selectors = self._selectors(before, present, trees)
        kept = _kept(before, present)
        of_key = {cohort.key: cohort for cohort in before.cohorts}
        after = tuple(self._cohort(of_key.get(key), known[key], tree, kept) for key, tree in trees.items())
        dropped = [cohort for cohort in before.cohorts if cohort.key not in known and cohort.active]
        gone = (_retired(cohort, self.registry.version + 1) for cohort in dropped)
        return TeamRegistry(team, after, (*before.retired, *gone), selectors, tuple(flags))

    def _selectors(
        self, before: TeamRegistry, present: Mapping[str, Node], trees: Mapping[str, tuple[Any, Node]]
    ) -> dict[str, int]:
        """Every selector's handle; the bounds count what is to be kept beside what active versions keep till then.

        Not what is retired: it goes in seconds, and no edit is to be refused for it.
        """
        selectors = dict(before.selectors)
        bounds = _Bounds()
        for key, node in present.items():
            if key in trees:
                bounds.add(key, node)
        for key, (_, node) in trees.items():
            for selector in bounds.add(key, node):
                if selector not in selectors:
                    selectors[selector] = self._handle()
        return selectors

    def _cohort(
        self, before: Cohort | None, definition: CohortDefinition, tree: tuple[Any, Node], kept: Kept
    ) -> Cohort:
        when, node = tree
        versions = before.versions if before else ()
        # Members are listed as they join, so a list that is asked for later needs a version whose members all join.
        is_newly_listed = before is not None and definition.listed and not before.listed
        if not versions or is_newly_listed or not _same(versions[-1].when, when):
            active = before.active if before else None
            complemented = holds_for_empty(node)
            is_ready = active is None and next(lists_in(when), None) is None
            known = kept.known_of(conditions_of(node), self.now)
            fresh = CohortVersion(
                handle=self._handle(),
                number=versions[-1].number + 1 if versions else 1,
                when=when,
                registry_version=self.registry.version + 1,
                activated_ms=known.from_ms,
                complemented=complemented,
                state=VersionState.ACTIVE if is_ready else VersionState.BUILDING,
                replaces=active.handle if active else 0,
                # Before a first version everybody was on the side that is not stored.
                replaces_complemented=active.complemented if active else complemented and not is_ready,
                backfilled=known.backfilled,
            )
            versions = (*(v for v in versions if v.state is VersionState.ACTIVE), fresh)
        cohort_id = before.id if before else self._cohort_id()
        source = to_plain(definition)
        return Cohort(cohort_id, definition.key, source, versions, definition.name, definition.listed)

    def _handle(self) -> int:
        self.next_handle += 1
        return self.next_handle - 1

    def _cohort_id(self) -> int:
        self.next_cohort_id += 1
        return self.next_cohort_id - 1


class _Bounds:
    """What a record of the team holds at most, as cohort after cohort is added. A shared condition counts once."""

    def __init__(self) -> None:
        self.counted: set[AnyCondition] = set()
        self.registers: set[str] = set()
        self.entries: Counter[str] = Counter()
        self.shared: dict[tuple[str, str], int] = {}
        self.record_bytes = 0

    def add(self, key: str, node: Node) -> list[str]:
        """Count a cohort's conditions; their selectors' texts. Raises BadDefinition beyond a bound."""
        found: list[str] = []
        for condition in conditions_of(node):
            if condition in self.counted:
                continue
            self.counted.add(condition)
            if isinstance(condition, RegisterCondition):
                self._add_register(key, condition)
                continue
            for selector in condition.selectors:
                text = selector.canonical()
                found.append(text)
                entry_bytes = ENTRY_BYTES if selector.value is None else ENTRY_BYTES + VALUE_BYTES
                entries = self._further(condition, text)
                self.record_bytes += entry_bytes * entries
                if text not in self.entries:
                    self.record_bytes += TIMELINE_BYTES
                self.entries[text] += entries
                _check_bounds(key, self.entries[text], self.record_bytes)
        return found

    def _further(self, condition: Condition, timeline: str) -> int:
        """What a condition counts for: the entries that it keeps beside those that conditions before it keep already.

        An eighth of its own at least, since each has to look at what is kept: that bounds their number.
        """
        shares = condition.shares if isinstance(condition, Sharing) else None
        if shares is None:
            return condition.entries_max
        before = self.shared.get((timeline, shares), 0)
        self.shared[timeline, shares] = max(before, condition.entries_max)
        return max(condition.entries_max - before, condition.entries_max // SHARED_PART)

    def _add_register(self, key: str, condition: RegisterCondition) -> None:
        if condition.register not in self.registers:
            self.registers.add(condition.register)
            self.record_bytes += condition.bytes_max
            _check_bounds(key, 0, self.record_bytes)


def _kept(team: TeamRegistry, present: Mapping[str, Node]) -> Kept:
    """By what is in force: a worker that learns what replaces it still has every entry that it keeps."""
    kept = Kept()
    for cohort in team.cohorts:
        if cohort.active:
            known = Known(cohort.active.activated_ms, cohort.active.backfilled)
            kept.add(conditions_of(present[cohort.key]), known)
    return kept


def _alive(teams: Mapping[int, TeamRegistry]) -> set[int]:
    """The handles of every version that is evaluated."""
    return {
        version.handle
        for team in teams.values()
        for cohort in (*team.cohorts, *team.retired)
        for version in cohort.versions
    }


def _same(before: Any, after: Any) -> bool:
    """Whether two trees are the same JSON; as Python values 1 and true would be equal too."""
    return _deterministic(before) == _deterministic(after)


def _team_activated(
    team: TeamRegistry, ready: int, version: int, unfolded: set[str], *, with_history: bool
) -> TeamRegistry:
    building = {c.key: c.versions[-1] for c in team.cohorts if c.versions[-1].state is VersionState.BUILDING}
    waiting = {key for key, fresh in building.items() if fresh.registry_version > ready}
    if with_history:
        waiting |= {key for key, fresh in building.items() if fresh.awaits_history}
    if unfolded:
        waiting |= {key for key, fresh in building.items() if not unfolded.isdisjoint(lists_in(fresh.when))}
    if len(waiting) == len(building):
        return team
    if waiting:
        waiting = _with_linked(waiting, {c.key: c.source["when"] for c in team.cohorts if c.key in building})
    chosen = building.keys() - waiting
    if not chosen:
        return team
    cohorts = tuple(_activated(cohort, version) if cohort.key in chosen else cohort for cohort in team.cohorts)
    replaced = (_retired(cohort, version) for cohort in team.cohorts if cohort.key in chosen and cohort.active)
    return msgspec.structs.replace(team, cohorts=cohorts, retired=(*team.retired, *replaced))


def _with_versions(registry: Registry, change: Callable[[CohortVersion], CohortVersion]) -> Registry:
    """The registry with every version that is not retired changed; itself where that changes nothing."""
    teams = {team: _team_with_versions(of_team, change) for team, of_team in registry.teams.items()}
    if teams == registry.teams:
        return registry
    return msgspec.structs.replace(registry, version=registry.version + 1, teams=teams)


def _team_with_versions(team: TeamRegistry, change: Callable[[CohortVersion], CohortVersion]) -> TeamRegistry:
    cohorts = (msgspec.structs.replace(each, versions=tuple(map(change, each.versions))) for each in team.cohorts)
    return msgspec.structs.replace(team, cohorts=tuple(cohorts))


def _with_linked(keys: set[str], trees: Mapping[str, Any]) -> set[str]:
    """The keys, with all that are linked to one of them by references among `trees`, whichever way."""
    links: dict[str, set[str]] = {key: set() for key in trees}
    for key, when in trees.items():
        for named in references_of(when):
            if named in links:
                links[key].add(named)
                links[named].add(key)
    reached, fresh = set(keys), list(keys)
    while fresh:
        further = links[fresh.pop()] - reached
        reached |= further
        fresh += further
    return reached


def _activated(cohort: Cohort, version: int) -> Cohort:
    active = msgspec.structs.replace(cohort.versions[-1], state=VersionState.ACTIVE, in_force_from=version)
    return msgspec.structs.replace(cohort, versions=(active,))


def _retired(cohort: Cohort, version: int) -> Cohort:
    """The cohort's active version, going out of force with registry version `version`, and of the rest what it needs.

    What is building goes with no trace: no reader has ever asked it.
    """
    active = cohort.active
    if active is None:
        raise Crash(f"cohort {cohort.key} has no active version in the registry; was it written by a newer version?")
    gone = msgspec.structs.replace(active, state=VersionState.RETIRED, retired_in=version)
    return Cohort(cohort.id, cohort.key, None, (gone,), listed=cohort.listed)


def _check_bounds(key: str, entries: int, record_bytes: int) -> None:
    if entries > TIMELINE_ENTRIES_MAX:
        problem = f"{entries} entries to keep of one selector, with this cohort's; at most {TIMELINE_ENTRIES_MAX}"
        raise BadDefinition(key, f"{problem}: lower n, or share conditions between cohorts")
    if record_bytes > RECORD_BYTES_MAX:
        problem = f"{record_bytes} bytes a record at worst, with this cohort's; at most {RECORD_BYTES_MAX}"
        raise BadDefinition(key, f"{problem}: lower n, share selectors, or name fewer properties")
