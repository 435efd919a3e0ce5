"""The lines of `muster flag`: every kind of set, test and verdict has words."""

import msgspec
import pytest

from cohort_store.flags import parse_flag
from evaluator.deciding.condition_sets import Group
from evaluator.deciding.explaining import Question, explain_flag
from evaluator.deciding.flags import compile_flag
from processors.cli.flag_explanation import lines_of
from tests.evaluator.building import NOW_MS, flag, variants

BY_COMPANY = {"type": "group", "key": "seats", "operator": "gt", "value": 10, "group_type_index": 0}


def lines(question: Question, **more: object) -> list[str]:
    groups = [{"properties": [BY_COMPANY], "aggregation_group_type_index": 0, "rollout_percentage": 50}]
    raw = flag("f", *groups, **more)
    parsed = parse_flag(raw)
    found = explain_flag(compile_flag(parsed, {}), parsed, question, None)
    told = {"flags": {"f": msgspec.to_builtins(found)}, "distinct_id": "ada", "person": "ada", "at": "now"}
    return list(lines_of({**told, "source": "store"}, "f"))


def test_a_set_about_a_group_that_the_question_does_not_name_is_skipped() -> None:
    said = lines(Question("ada", {}, NOW_MS, {}), multivariate=variants(a=100.0))
    assert (
        "no     set 1, skipped: the question has no id of the group, or the device, that it is about, decides" in said
    )
    assert "no       seats gt 10: the group has none" in said


def test_a_groups_property_is_told_with_what_was_found() -> None:
    said = lines(Question("ada", {}, NOW_MS, {}, groups={0: Group("acme", {"seats": 12})}))
    assert "yes      seats gt 10: it is 12" in said
    assert any("set 1, 50 % (" in line for line in said)


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (True, "yes    early access: she chose to have it"),
        (False, "yes    early access: she chose not to have it"),
        (None, "no     early access: she did not choose"),
    ],
)
def test_early_access_and_a_holdout_stand_before_the_sets(value: bool | None, line: str) -> None:
    properties = {} if value is None else {"$feature_enrollment/f": value}
    question = Question("ada", properties, NOW_MS, {})
    said = lines(question, feature_enrollment=True, holdout={"id": 7, "exclusion_percentage": 100})
    assert said[1:3] == [line, "yes    holdout (holdout-7): she is left out"]
