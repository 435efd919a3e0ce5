"""GET /persons/{id}/why/{cohort} on a real server, over a real view."""

import pytest

from cohort_store.durations import format_instant
from cohort_store.registry import Registry
from tests.evaluator.building import DAY_MS, NOW_MS
from tests.evaluator.conftest import LATER_MS
from tests.evaluator.serving import BEARER, Evaluator

PERFORMED = {"event": "purchase", "within": "7d"}


def test_the_reason_is_told_with_what_decides_and_when_it_changes(evaluator: Evaluator, registry: Registry) -> None:
    assert evaluator.get("/persons/ivy/why/buyers") == {
        "person": "ivy",
        "known": True,
        "status": "OK",
        "registry_version": registry.version,
        "data_age_ms": 2_000,
        "why": {
            "cohort": "buyers",
            "version": 1,
            "now": format_instant(NOW_MS + 31 * DAY_MS),
            "member": False,
            "reason": {
                "kind": "performed",
                "holds": False,
                "condition": PERFORMED,
                "decided_by": [{"events": "purchase", "times": []}],
                "changes_at": format_instant(LATER_MS),
            },
            "changes_at": format_instant(LATER_MS),
        },
    }


def test_an_instant_to_come_is_answered_as_if_nothing_more_were_done(evaluator: Evaluator) -> None:
    for at, member in ((LATER_MS - 1, False), (LATER_MS, True), (LATER_MS + 7 * DAY_MS, False)):
        why = evaluator.get("/persons/ivy/why/1", at=format_instant(at))["why"]
        assert (why["member"], why["now"]) == (member, format_instant(at))
        assert why["reason"]["decided_by"][0]["times"] == ([format_instant(LATER_MS)] if member else [])


def test_somebody_never_seen_has_reasons_too(evaluator: Evaluator) -> None:
    found = evaluator.get("/persons/nobody/why/sleepers")
    assert (found["known"], found["why"]["member"]) == (False, True)
    (part,) = found["why"]["reason"]["parts"]
    assert (found["why"]["reason"]["kind"], part["kind"], part["holds"]) == ("not", "performed", False)


def test_a_distinct_id_stands_for_its_person(evaluator: Evaluator) -> None:
    for who, query in (("browser-ada", {}), ("x", {"distinct_id": "browser-ada"})):
        found = evaluator.get(f"/persons/{who}/why/buyers", **query)
        assert (found["person"], found["distinct_id"]) == ("ada", "browser-ada")


@pytest.mark.parametrize(
    ("path", "status", "code", "attr"),
    [
        ("/persons/ivy/why/ghosts", 404, "cohort_not_found", "cohort"),
        ("/persons/ivy/why/buyers?at=soon", 400, "invalid_input", "at"),
        ("/persons/ivy/why/buyers?at=2026-02-12T12:59:59.999Z", 409, "past", "at"),
        (f"/persons/{'x' * 401}/why/buyers", 400, "too_long", "id"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_the_reason(
    evaluator: Evaluator, path: str, status: int, code: str, attr: str
) -> None:
    response = evaluator.client.get(path, headers=BEARER)
    assert (response.status_code, response.json()["code"], response.json()["attr"]) == (status, code, attr)


def test_an_instant_that_is_past_is_sent_to_the_history(evaluator: Evaluator) -> None:
    response = evaluator.client.get("/persons/ivy/why/buyers?at=2026-01-01", headers=BEARER)
    assert "muster why PERSON buyers --at 2026-01-01T00:00:00.000Z" in response.json()["detail"]
