"""Answers and counts for the tests of what is told about flags."""

from typing import Any

from cohort_store.flag_evaluations import FlagEvaluations
from evaluator.deciding.flags import FlagAnswer, Metadata, Reason


def answered(key: str, value: bool | str = True, code: str = "condition_match") -> FlagAnswer:
    variant = value if isinstance(value, str) else None
    return FlagAnswer(key, bool(value), variant, Reason(code, 0, ""), Metadata(0, 1, None, None))


def counted(flag: str = "f", value: str = "true", **fields: Any) -> FlagEvaluations:
    usual: dict[str, Any] = {
        "team_id": 1,
        "flag": flag,
        "value": value,
        "reason": "condition_match",
        "count": 1,
        "from_ms": 1_000,
        "last_called_ms": 2_000,
        "evaluator": "e1",
        "sequence": 1,
    }
    return FlagEvaluations(**usual | fields)
