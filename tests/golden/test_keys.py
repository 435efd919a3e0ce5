"""Access keys as they are stored, in the topic of definitions and in the registry, and lines of the account, frozen."""

import json
from typing import Any

import pytest

from cohort_store.access_keys import Right, digest_of
from cohort_store.definition_files import Name
from cohort_store.registry import Registry, encode_registry
from processors.access.audit import Act, AuditLine, Outcome, encode, pseudonym
from processors.definition_changes import canonical, keys_in
from tests.golden.test_formats import cases


@pytest.mark.parametrize("row", cases("keys.json", "key"))
def test_a_key_is_read_and_written_as_this_very_json(row: dict[str, Any]) -> None:
    (key,) = keys_in({Name.parse(row["topic"]): row["json"].encode()})
    assert canonical(key).decode() == row["json"]
    assert row["topic"] == f"key:{key.team}:{key.id}"
    assert encode_registry(Registry(version=3, keys=(key,))).decode() == row["registry"]


def test_of_a_key_this_digest_is_stored() -> None:
    text = "mus_0123456789_abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
    assert digest_of(text) == "97fa16e78c3129a9d3e517993ca08821d6fb71a39767902f78dbeff2a241018a"


def test_these_words_are_rights_and_stay_so() -> None:
    words = ["evaluate", "capture", "read_definitions", "read_members", "read_persons", "explain"]
    assert list(Right) == words


def test_a_line_of_the_account_is_this_very_json() -> None:
    line = AuditLine(
        "2026-01-12T13:00:00.000Z", Act.FORGET, "ann@host", Outcome.DONE, 1, {"person": pseudonym(1, "user_0443")}
    )
    assert json.loads(encode(line)) == {
        "at": "2026-01-12T13:00:00.000Z",
        "act": "forget",
        "by": "ann@host",
        "outcome": "done",
        "team": 1,
        "about": {"person": "ac1e63a84b25ea4874dc593c8c13b86a"},
    }
