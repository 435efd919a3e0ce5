"""A text for a coding assistant that cleans up after a stale flag: what to look for, to keep and to remove. Pure.

Keys and values stand in it as JSON texts, so that nothing in a flag's name can be taken for an instruction.
"""

from __future__ import annotations

import msgspec

from cohort_store.flags import FlagDefinition, payload_text
from evaluator.usage.staleness import Evidence, Finding, StaleKind, value_for_everybody

PAYLOAD_SHOWN_MAX = 500


def prompt(flag: FlagDefinition, finding: Finding) -> str:
    """What to do about the finding, as steps."""
    if finding.kind in _IN_CODE:
        return _steps(f"Remove the feature flag {_text(flag.key)} from this code base.", finding, _code(flag, finding))
    return _steps(f"Simplify the feature flag {_text(flag.key)}.", finding, _definition(flag, finding.evidence))


_IN_CODE = frozenset(
    {
        StaleKind.NEVER_CALLED,
        StaleKind.NOT_CALLED,
        StaleKind.SWITCHED_OFF,
        StaleKind.FULLY_ROLLED_OUT,
        StaleKind.SAME_ANSWER,
    }
)


def _code(flag: FlagDefinition, finding: Finding) -> list[str]:
    value = finding.evidence.value
    if value is None:
        value = value_for_everybody(flag)
    sought = "calls of the flag SDK, constants, tests, mocks, configuration and documentation"
    steps = [f"Find every place that names {_text(flag.key)}: {sought}."]
    if finding.kind in (StaleKind.NEVER_CALLED, StaleKind.NOT_CALLED):
        steps.append(
            "Nothing seems to ask for it, so expect dead code. "
            "If code that still runs does ask for it, stop and say where."
        )
    if value is None:
        steps.append("Its value depends on the person: ask which branch is to stay before you remove one.")
    else:
        steps.append(
            f"Keep what the code does where the flag's value is {_value(value)}: "
            "put that branch in place of the check, and delete the other branches with all that only they use."
        )
        payload = flag.filters.payloads.get(value if isinstance(value, str) else "true") if value else None
        if payload is not None:
            text = payload_text(payload)
            shown = text if len(text) <= PAYLOAD_SHOWN_MAX else f"{text[:PAYLOAD_SHOWN_MAX]}…"
            steps.append(f"Where the code reads the flag's payload, put this JSON text in its place: {_text(shown)}")
    drop = f"delete {_text(flag.key)} from the flag definitions"
    return [
        *steps,
        "Change nothing else, and run the tests.",
        f"When that is deployed, {drop} and run `muster apply FILES --prune` with all of the team's files.",
    ]


def _definition(flag: FlagDefinition, evidence: Evidence) -> list[str]:
    cohort = _text(evidence.cohort or "")
    places = ", ".join(f"filters.groups[{index}]" for index in evidence.condition_indexes)
    never = f"needs the person in {cohort} and nobody is, or out of it and everybody is in"
    return [
        f"Find the definition of the flag {_text(flag.key)}; in {places} it asks cohort {cohort}.",
        f"A set that {never} never matches: remove the set. Where the test always holds, remove the test alone.",
        "Where the cohort is not defined any more, ask which cohort takes its place, or which of the two is meant.",
        "If all sets that are left give everybody the same value, say so: the flag can go from the code as well.",
        "Check the change with `muster apply FILES --dry-run`, then apply it.",
    ]


def _steps(head: str, finding: Finding, steps: list[str]) -> str:
    numbered = "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))
    return f"{head}\n\nWhy: {finding.detail}.\n\n{numbered}\n"


def _text(value: str) -> str:
    return msgspec.json.encode(value).decode()


def _value(value: bool | str) -> str:
    return _text(value) if isinstance(value, str) else ("on (true)" if value else "off (false)")
