"""Patterns that take exponential time elsewhere, on texts made for them: answered in time that grows with the text."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cohort_store.errors import BadDefinition
from cohort_store.flags import parse_flag
from cohort_store.registry import Registry
from processors.embedded.view import EmbeddedView
from tests.evaluator.building import flag, person_is, registry_of
from tests.evaluator.conftest import publish
from tests.evaluator.serving import Evaluator, serving
from tests.services.redis_servers import RedisServer

PATTERNS = (
    r"(a+)+$",
    r"(a*)*b",
    r"(a|aa)+$",
    r"(a|a?)+$",
    r"^(([a-z])+.)+[A-Z]([a-z])+$",
    r"(.*a){20}x",
    r"(x+x+)+y",
    r"(?:a?){60}a{60}$",
)
ANSWER_DEADLINE_S = 5.0
TEXTS = ("a" * 900_000 + "!", "x" * 900_000, "é" * 400_000, "aA" * 450_000)


@pytest.fixture(scope="module")
def patterns() -> Registry:
    """A flag a pattern, and one that has none of the patterns."""
    raw = [flag(f"p{n}", {"properties": [person_is("text", "regex", each)]}) for n, each in enumerate(PATTERNS)]
    return registry_of([*raw, flag("not", {"properties": [person_is("text", "not_regex", PATTERNS[0])]})], [])


@pytest.fixture
def matching(tmp_path: Path, view_server: EmbeddedView | RedisServer, patterns: Registry) -> Iterator[Evaluator]:
    """An evaluator of those flags."""
    asyncio.run(publish(view_server.url, patterns))
    with serving(tmp_path, view_server.url) as evaluator:
        evaluator.until_version(patterns.version)
        yield evaluator


@pytest.mark.usefixtures("view_url")
def test_every_pattern_meets_every_text_in_time(matching: Evaluator) -> None:
    for text in TEXTS:
        began = time.monotonic()
        flags = matching.flags("ada", person_properties={"text": text})["flags"]
        assert len(flags) == len(PATTERNS) + 1
        assert flags["not"]["enabled"] is not flags["p0"]["enabled"]
        assert time.monotonic() - began < ANSWER_DEADLINE_S


@pytest.mark.parametrize("pattern", [r"((a{100}){100}){100}", r"(a)\1", r"(?=a)b", "(" * 5_000 + ")" * 5_000, "["])
def test_a_pattern_that_needs_too_much_or_is_none_of_re2s_is_refused_with_the_definition(pattern: str) -> None:
    with pytest.raises(BadDefinition):
        parse_flag(flag("f", {"properties": [person_is("text", "regex", pattern)]}))
