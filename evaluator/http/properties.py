"""GET /persons/{id}/properties: what is kept of one person's properties, for whoever decides flags locally."""

from __future__ import annotations

import msgspec

from cohort_store.durations import format_instant
from cohort_store.freshness import data_age_ms
from cohort_store.records import decode_registers
from evaluator.http.messages import Request, Response, answer
from evaluator.http.persons import person_asked_for
from evaluator.http.service import Service, within_deadline
from evaluator.reading.person_properties import KeptProperty, described


class PropertiesAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One person's properties as they are kept, and how good that answer is."""

    person: str
    known: bool
    """Whether anything is stored of her."""
    registry_version: int
    properties: dict[str, KeptProperty]
    """By name; those that have a value."""
    unset: list[str]
    """The other properties that are kept where they are told: they were unset, or nobody told them since they are."""
    distinct_id: str | None = None
    """The distinct id by which she was asked for."""
    now: str | None = None
    """The instant for which her shard answers; absent where it lost what it kept, so that properties may be missing."""
    data_age_ms: int | None = None
    """How far that instant is behind the clock."""


async def get_properties(service: Service, request: Request) -> Response:
    catalog = service.authorized(request)
    asked = await person_asked_for(service, request, catalog.team)
    # Read behind the record, so that the record is never of a later instant than the answer.
    membership = (await within_deadline(service.reader.memberships([asked.subject])))[0]
    answered = membership.ready is not None
    properties = described({} if asked.record is None else decode_registers(asked.record), catalog.kept)
    return answer(
        PropertiesAnswer(
            person=asked.subject.id,
            known=asked.record is not None,
            registry_version=service.registry.catalog.version,
            properties=properties,
            unset=sorted(catalog.kept - properties.keys()),
            distinct_id=asked.distinct_id,
            now=format_instant(membership.now_ms) if answered else None,
            data_age_ms=data_age_ms(membership, service.clock.now_ms()) if answered else None,
        )
    )
