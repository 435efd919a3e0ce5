"""GET /cohorts and GET /cohorts/{key}/members: what is defined, how ready it is, and who is stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from cohort_store.durations import format_instant
from cohort_store.freshness import CohortView, Status, complete_from_ms, is_warm, member_of, status_of
from cohort_store.ports import PAGE_MAX, Membership, Position
from evaluator.definitions.catalog import TeamCatalog
from evaluator.http.messages import Problem, ProblemBody, Request, Response, answer, invalid, not_found
from evaluator.http.service import Service, within_deadline

PAGE_DEFAULT = 100


class CohortRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """One cohort, with the worst status of any shard."""

    id: int
    key: str
    name: str
    version: int
    """The active version's number; 0 while the first is being built."""
    status: Status
    complemented: bool
    """Whether the members are everybody but those stored."""
    listed: bool
    shards_ready: int
    """How many shards have folded the active version."""
    shards: int
    complete_from: str | None = None
    """Where earlier events may be missing: the instant from which on none was."""
    stored: int | None = None
    """How many subjects are stored: members, of a complemented cohort the exceptions."""
    unknown: int = 0
    """Of how many nothing can be said, since too few of their events are kept; `stored` has none of them."""


class CohortsAnswer(msgspec.Struct, frozen=True):
    """Every cohort of the token's team."""

    registry_version: int
    cohorts: list[CohortRow]


class MembersAnswer(msgspec.Struct, frozen=True):
    """One page of a cohort's stored subjects, in no stated order, and how good it is."""

    cohort: str
    id: int
    version: int
    complemented: bool
    """True: `members` are the exceptions, the subjects who are *not* in the cohort."""
    status: Status
    """The worst of any shard; UNAVAILABLE: subjects of some shard are missing from the list."""
    shards_ready: int
    """How many shards have folded the active version; the list is whole where all have."""
    shards: int
    now: str | None
    """As of when: the instant of the slowest shard; null where none has one."""
    members: list[str]
    cursor: str | None
    """Pass it on as `?cursor=` for the next page; null at the end."""


async def get_cohorts(service: Service, request: Request) -> Response:
    catalog = service.authorized(request)
    return answer(CohortsAnswer(service.registry.catalog.version, await cohort_rows(service, catalog)))


async def cohort_rows(service: Service, catalog: TeamCatalog) -> list[CohortRow]:
    """Every cohort of the team. Problem 503 where the store cannot be asked."""
    positions = await within_deadline(service.reader.positions(range(service.shards)))
    now = service.clock.now_ms()
    active = [cohort.handle for cohort in catalog.cohorts.values() if cohort.handle]
    asked = [*active, *(-handle for handle in active)]
    sizes = dict(zip(asked, await within_deadline(service.reader.sizes(asked)), strict=True))
    return [_row(service, cohort, positions.values(), sizes, now) for cohort in catalog.cohorts.values()]


async def get_members(service: Service, request: Request) -> Response:
    catalog = service.authorized(request)
    limit = _limit(request.query.get("limit"))
    cohort = cohort_named(catalog, request.path["key"])
    if not cohort.listed:
        detail = f"cohort {cohort.key} keeps no list of members; set listed: true in its definition and apply it"
        raise Problem(409, ProblemBody("conflict", "not_listed", detail, "key"))
    if not cohort.handle:
        detail = f"no version of cohort {cohort.key} is ready yet; GET /cohorts tells when one is"
        raise Problem(409, ProblemBody("conflict", "building", detail, "key"))
    # Positions first: whoever is stored by a shard that is ready then is in the pages read afterwards.
    positions = await within_deadline(service.reader.positions(range(service.shards)))
    try:
        page = await within_deadline(service.reader.members(cohort.handle, request.query.get("cursor") or None, limit))
    except ValueError as error:
        raise invalid("cursor", "invalid_cursor", f"cursor is not one that an earlier page gave: {error}") from None
    standing = _row(service, cohort, positions.values(), {}, service.clock.now_ms())
    slowest_ms = min((position.now_ms for position in positions.values()), default=None)
    return answer(
        MembersAnswer(
            cohort=cohort.key,
            id=cohort.id,
            version=cohort.number,
            complemented=cohort.complemented,
            status=standing.status,
            shards_ready=standing.shards_ready,
            shards=standing.shards,
            now=None if slowest_ms is None else format_instant(slowest_ms),
            members=list(page.ids),
            cursor=page.cursor,
        )
    )


def _row(
    service: Service, cohort: CohortView, positions: Iterable[Position], sizes: Mapping[int, int], now: int
) -> CohortRow:
    seen = [_as_read(position) for position in positions]
    ready = sum(member_of(cohort, each) is not None for each in seen)
    status = _worst(cohort, seen if len(seen) == service.shards else [*seen, None], service.stale_after_ms, now)
    warm_from_ms = max((each.warm_from_ms for each in seen), default=0)
    is_cold = status in (Status.WARMING, Status.STALE) and not all(is_warm(cohort, each) for each in seen)
    return CohortRow(
        id=cohort.id,
        key=cohort.key,
        name=cohort.name,
        version=cohort.number,
        status=status,
        complemented=cohort.complemented,
        listed=cohort.listed,
        shards_ready=ready,
        shards=service.shards,
        complete_from=format_instant(complete_from_ms(cohort, warm_from_ms)) if is_cold else None,
        stored=sizes.get(cohort.handle),
        unknown=sizes.get(-cohort.handle, 0),
    )


def _worst(cohort: CohortView, seen: Iterable[Membership | None], stale_after_ms: int, now: int) -> Status:
    order = list(Status)
    return max((status_of(cohort, each, stale_after_ms, now) for each in seen), key=order.index)


def _as_read(position: Position) -> Membership:
    """A shard's position as a subject of that shard, stored nowhere, would be read."""
    return Membership(
        frozenset(), position.ready, position.now_ms, position.stale, position.warm_from_ms, position.readers_from
    )


def cohort_named(catalog: TeamCatalog, key: str, attr: str = "key") -> CohortView:
    """A cohort by its key, or by its id. Problem 404 where there is none."""
    cohort = catalog.cohorts.get(key)
    if cohort is None:
        cohort = next((each for each in catalog.cohorts.values() if str(each.id) == key), None)
    if cohort is None:
        raise not_found(
            "cohort_not_found", f"cohort {key[:100]!r} is not defined; GET /cohorts lists those that are", attr
        )
    return cohort


def _limit(text: str | None) -> int:
    if text is None:
        return PAGE_DEFAULT
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= PAGE_MAX):
        raise invalid("limit", "invalid_input", f"limit is {text[:40]!r}; it must be a number from 1 to {PAGE_MAX}")
    return int(text)
