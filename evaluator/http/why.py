"""GET /persons/{id}/why/{cohort}: the reason of a membership, out of the person's own record."""

from __future__ import annotations

import msgspec

from cohort_store.durations import format_instant, parse_instant_ms
from cohort_store.explaining import Why, explain
from cohort_store.freshness import CohortView, Status, data_age_ms, member_of, status_of, trouble_with
from cohort_store.ports import Membership
from cohort_store.records import EMPTY, decode_record
from evaluator.http.cohorts import cohort_named
from evaluator.http.messages import Problem, ProblemBody, Request, Response, answer, invalid
from evaluator.http.persons import person_asked_for
from evaluator.http.service import Service, within_deadline


class WhyAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why one person is in one cohort, or is not, and how good that answer is."""

    person: str
    known: bool
    """Whether anything is stored of her. Nothing stored is the same as never seen, and answers all the same."""
    status: Status
    registry_version: int
    data_age_ms: int
    """How far the instant of her data is behind the clock."""
    why: Why
    distinct_id: str | None = None
    """The distinct id by which she was asked for."""


async def get_why(service: Service, request: Request) -> Response:
    catalog = service.authorized(request)
    cohort = cohort_named(catalog, request.path["cohort"], "cohort")
    asked = await person_asked_for(service, request, catalog.team)
    # Read behind the record, so that the record is never of a later instant than the answer.
    membership = (await within_deadline(service.reader.memberships([asked.subject])))[0]
    found = catalog.registry.cohort(cohort.key)
    if found is None or found.active is None or member_of(cohort, membership) is None:
        detail = f"nothing can be said yet: {trouble_with(cohort, membership)}"
        raise Problem(409, ProblemBody("conflict", "not_ready", detail, "cohort"))
    at = _instant(request.query.get("at"), cohort, membership)
    record = EMPTY if asked.record is None else decode_record(asked.record)
    now = service.clock.now_ms()
    return answer(
        WhyAnswer(
            person=asked.subject.id,
            known=asked.record is not None,
            status=status_of(cohort, membership, service.stale_after_ms, now),
            registry_version=service.registry.catalog.version,
            data_age_ms=data_age_ms(membership, now),
            why=explain(record, catalog.registry, found, found.active, at),
            distinct_id=asked.distinct_id,
        )
    )


def _instant(text: str | None, cohort: CohortView, membership: Membership) -> int:
    """The instant of the question: that of her data, or a later one. Problem 400, and 409 for one that is past."""
    if text is None:
        return membership.now_ms
    try:
        at = parse_instant_ms(text)
    except ValueError as error:
        raise invalid("at", "invalid_input", str(error)) from None
    if at < membership.now_ms:
        since = format_instant(membership.now_ms)
        detail = (
            f"what is kept of her answers from {since} on; ask the history: "
            f"muster why PERSON {cohort.key} --at {format_instant(at)}"
        )
        raise Problem(409, ProblemBody("conflict", "past", detail, "at"))
    return at
