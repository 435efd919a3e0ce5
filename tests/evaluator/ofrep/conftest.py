"""A registry whose flags have every kind of value that OpenFeature knows, and one that cannot be read."""

import msgspec
import pytest

from cohort_store.flags import parse_flag, plain_flag
from cohort_store.registry import Registry
from tests.evaluator.building import flag, in_cohort, person_is, registry_of, variants
from tests.evaluator.conftest import FLAGS

PAYLOADS = {"small": {"size": 3, "shape": "round"}, "large": '{"size": 8}'}
OFREP_FLAGS = (
    *FLAGS,
    flag("everybody", {}),
    flag("nobody"),
    flag("a-few", {"rollout_percentage": 0}),
    flag("some", {"rollout_percentage": 100, "properties": [person_is("plan", "exact", "pro")]}),
    flag(
        "boxes",
        {"properties": [in_cohort("buyers")], "variant": "small"},
        multivariate=variants(small=50, large=50),
        payloads=PAYLOADS,
        muster={"openfeature_value": "payload"},
    ),
    flag("seconds", {}, payloads={"true": 30}, muster={"openfeature_value": "payload"}),
    flag("ratio", {}, payloads={"true": "0.25"}, muster={"openfeature_value": "payload"}),
    flag("words", {"properties": [in_cohort("buyers")], "variant": "red"}, multivariate=variants(red=50, blue=50)),
)
UNREADABLE = {**plain_flag(parse_flag(flag("from-tomorrow", {}))), "muster": {"on_unavailable": "dream"}}


@pytest.fixture(scope="module")
def registry() -> Registry:
    """What the evaluator of this folder serves."""
    registry = registry_of(OFREP_FLAGS)
    team = registry.team(1)
    team = msgspec.structs.replace(team, flags=(*team.flags, UNREADABLE))
    return msgspec.structs.replace(registry, teams={**registry.teams, 1: team})
