"""GET /persons/{id}: one person's memberships, with version, status and data age."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from cohort_store.durations import format_instant
from cohort_store.freshness import data_age_ms
from cohort_store.ports import Membership
from cohort_store.subjects import ID_BYTES_MAX, PERSON, Subject, shard_of
from evaluator.deciding.evaluation import CohortAnswer, describe
from evaluator.http.messages import Request, Response, answer, invalid
from evaluator.http.service import Service, within_deadline


class PersonAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One person: every cohort of the team, whether she is in it, and how good that answer is."""

    person: str
    known: bool
    """Whether anything is stored of her. Nothing stored is the same as never seen, and answers all the same."""
    registry_version: int
    shard: int
    cohorts: list[CohortAnswer]
    distinct_id: str | None = None
    """The distinct id by which she was asked for."""
    now: str | None = None
    """The instant for which the shard answers; absent where it cannot."""
    data_age_ms: int | None = None
    """How far that instant is behind the clock."""


class Asked(NamedTuple):
    """Whom a request is about."""

    subject: Subject
    record: bytes | None
    """Packed; None where nothing is stored of her."""
    distinct_id: str | None
    """The distinct id by which she was asked for."""


async def get_person(service: Service, request: Request) -> Response:
    catalog = service.authorized(request)
    asked = await person_asked_for(service, request, catalog.team)
    membership = (await within_deadline(service.reader.memberships([asked.subject])))[0]
    now = service.clock.now_ms()
    cohorts = [describe(cohort, membership, service.stale_after_ms, now) for cohort in catalog.cohorts.values()]
    return answer(_answer(service, asked, membership, now, cohorts))


async def person_asked_for(service: Service, request: Request, team: int) -> Asked:
    """The person of the path's `id`, or of `?distinct_id=`; an id of which nothing is stored may be a distinct id."""
    distinct_id = request.query.get("distinct_id")
    if distinct_id is not None:
        person = (await _person_of(service, team, _checked(distinct_id, "distinct_id"))) or distinct_id
    else:
        person = _checked(request.path.get("id", ""), "id")
    subject = Subject(team, PERSON, person)
    record = await _record(service, subject)
    if record is None and distinct_id is None:
        other = await _person_of(service, team, person)
        if other is not None:
            distinct_id, subject = person, Subject(team, PERSON, other)
            record = await _record(service, subject)
    return Asked(subject, record, distinct_id)


def _answer(
    service: Service, asked: Asked, membership: Membership, now: int, cohorts: list[CohortAnswer]
) -> PersonAnswer:
    answered = membership.ready is not None
    return PersonAnswer(
        person=asked.subject.id,
        known=asked.record is not None,
        registry_version=service.registry.catalog.version,
        shard=shard_of(asked.subject, service.shards),
        cohorts=cohorts,
        distinct_id=asked.distinct_id,
        now=format_instant(membership.now_ms) if answered else None,
        data_age_ms=data_age_ms(membership, now) if answered else None,
    )


async def _person_of(service: Service, team: int, distinct_id: str) -> str | None:
    return (await within_deadline(service.reader.persons([(team, distinct_id)])))[0]


async def _record(service: Service, subject: Subject) -> bytes | None:
    return (await within_deadline(service.reader.records([subject])))[0]


def _checked(text: str, attr: str) -> str:
    if not text:
        raise invalid(attr, "required", f"{attr} is empty; send a person's id, or ?distinct_id=")
    if len(text.encode()) > ID_BYTES_MAX:
        raise invalid(attr, "too_long", f"{attr} is longer than {ID_BYTES_MAX} bytes; no person has such an id")
    return text
