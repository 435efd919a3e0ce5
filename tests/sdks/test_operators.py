"""Every property operator, with values of the kind that it is about: an SDK's answer is the server's.

Whether the SDK decided it alone or asked does not matter here. What SDKs make of values of another kind (a text that is
to be greater than 7) is their own, and docs/sdks.md says so.
"""

import asyncio
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import redis

from processors.embedded.view import EmbeddedView
from tests.evaluator.building import flag, person_is, registry_of
from tests.evaluator.conftest import publish
from tests.evaluator.serving import SECRET, TOKEN, Evaluator, serving
from tests.sdks.conftest import Start
from tests.sdks.toolchains import TOOLCHAINS
from tests.services.redis_servers import RedisServer

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(600)]

ABSENT = object()


class Kind(NamedTuple):
    """Operators with what they compare with, and values of the kind that they are about."""

    tests: tuple[tuple[str, Any], ...]
    values: tuple[Any, ...]


KINDS = {
    "presence": Kind((("is_set", "is_set"), ("is_not_set", "is_not_set")), (ABSENT, "", "x", 0, False)),
    "text": Kind(
        (
            ("exact", "pro"),
            ("exact", ["pro", "max"]),
            ("exact", "7"),
            ("exact", "true"),
            ("is_not", "pro"),
            ("is_not", ["pro", "7"]),
            ("is_not", "false"),
            ("icontains", "RO"),
            ("not_icontains", "ro"),
            ("icontains", "ï"),
            ("regex", "^p.o$"),
            ("not_regex", "^p"),
            ("regex", "\\d+"),
            ("starts_with", "p"),
            ("not_starts_with", "p"),
            ("ends_with", "o"),
            ("not_ends_with", "o"),
        ),
        (ABSENT, "pro", "max", "free", "", "7", "1.0", "true", "false", "naïve", "漢字", "a.b*c"),
    ),
    "case": Kind((("exact", "pro"), ("is_not", ["PRO", "x"]), ("icontains", "PR")), ("pro", "PRO", "Pro", "PROS", "x")),
    "number": Kind(
        (("gt", 7), ("gte", "7"), ("lt", 7.5), ("lte", "7"), ("gt", -1), ("gte", 0)),
        (ABSENT, 7, 7.25, 7.5, 8, 0, -1, 10**12, 0.1),
    ),
    "date": Kind(
        (
            ("is_date_before", "2026-01-01"),
            ("is_date_after", "2026-01-01T12:00:00Z"),
            ("is_date_after", "-7d"),
            ("is_date_before", "-1m"),
        ),
        (ABSENT, "2025-12-31", "2026-01-01", "2026-01-01T11:59:59Z", "2026-01-01T12:00:01Z", "2126-01-01T00:00:00Z"),
    ),
    "version": Kind(
        (
            ("semver_eq", "1.2.3"),
            ("semver_neq", "1.2.3"),
            ("semver_gt", "1.2.3"),
            ("semver_gte", "1.2.3"),
            ("semver_lt", "1.2.3"),
            ("semver_lte", "1.2.3"),
            ("semver_tilde", "1.2.3"),
            ("semver_caret", "1.2.3"),
            ("semver_wildcard", "1.2.*"),
        ),
        (ABSENT, "1.2.2", "1.2.3", "1.2.4", "1.3.0", "2.0.0", "0.9.9", "1.2.10"),
    ),
}
MINDS_CASE = {"go"}
"""SDKs for which PRO is not pro."""


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory: pytest.TempPathFactory, view_server: EmbeddedView | RedisServer) -> Iterator[Evaluator]:
    flags = [
        flag(f"{name}-{number}", {"properties": [person_is("p", *test)]})
        for name, kind in KINDS.items()
        for number, test in enumerate(kind.tests)
    ]
    with redis.Redis.from_url(view_server.url) as client:
        client.flushall()
    asyncio.run(publish(view_server.url, registry_of(flags)))
    with serving(tmp_path_factory.mktemp("evaluator"), view_server.url) as running:
        running.until_version(1)
        yield running


@pytest.mark.parametrize("language", TOOLCHAINS)
def test_an_sdks_answer_is_the_servers_for_every_operator(language: str, start: Start, evaluator: Evaluator) -> None:
    sdk = start(language, "posthog")
    sdk.ask("open", host=evaluator.url, token=TOKEN, secret=SECRET, poll_ms=30_000, quiet=True)
    wrong = []
    for name, kind in KINDS.items():
        if name == "case" and language in MINDS_CASE:
            continue
        for value in kind.values:
            properties = {} if value is ABSENT else {"p": value}
            said = evaluator.flags("ada", person_properties=properties)["flags"]
            for number, test in enumerate(kind.tests):
                key = f"{name}-{number}"
                found = sdk.ask("flag", key=key, person="ada", properties=properties)["value"]
                if found != said[key]["enabled"]:
                    wrong.append((test, properties, found))
    assert wrong == []
