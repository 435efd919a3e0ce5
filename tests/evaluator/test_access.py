"""Who may ask for what, over HTTP: public tokens, secret keys with their rights, and what is told to whom."""

import asyncio
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
import redis

from cohort_store.access_keys import AccessKey, Right
from cohort_store.clocks import FileClock
from cohort_store.errors import Crash
from cohort_store.registry import Registry
from cohort_store.secret_key_file import keep_secret_key, read_secret_key
from processors.access.issuing import Issued, Wanted, issue
from processors.embedded.view import EmbeddedView
from tests.evaluator.building import DAY_MS, NOW_MS, registry_of
from tests.evaluator.conftest import FLAGS, fill, publish
from tests.evaluator.serving import BEARER, SECRET, TOKEN, Evaluator, serving
from tests.services.redis_servers import RedisServer

PATHS = {
    "/cohorts": Right.READ_DEFINITIONS,
    "/cohorts/buyers/members": Right.READ_MEMBERS,
    "/persons/ada": Right.READ_PERSONS,
    "/persons?distinct_id=ada": Right.READ_PERSONS,
    "/persons/ada/why/buyers": Right.EXPLAIN,
}
THEN_MS = NOW_MS + 31 * DAY_MS


def key_with(*rights: Right, team: int = 1, expires_ms: int | None = None) -> Issued:
    return issue(Wanted(team, "a test's", frozenset(rights), expires_ms), NOW_MS)


READER, MEMBERS, PERSONS, WHY = (key_with(right) for right in dict.fromkeys(PATHS.values()))
PUBLIC = key_with(Right.EVALUATE, Right.CAPTURE)
OTHERS = key_with(*Right, team=2)
SHORT = key_with(*Right, expires_ms=THEN_MS + 10_000)
GONE = key_with(*Right)
ISSUED = (READER, MEMBERS, PERSONS, WHY, PUBLIC, OTHERS, SHORT, GONE)


class Guarded:
    """A running evaluator whose registry has keys; its clock is in our hand."""

    def __init__(self, evaluator: Evaluator, url: str, registry: Registry, clock: FileClock) -> None:
        self.evaluator = evaluator
        self.registry = registry
        self.clock = clock
        self._url = url

    def ask(self, path: str, key: str) -> httpx.Response:
        return self.evaluator.client.get(path, headers={"Authorization": f"Bearer {key}"})

    def flags(self, token: str) -> httpx.Response:
        return self.evaluator.client.post("/flags", json={"token": token, "distinct_id": "ada"})

    def keys(self, *keys: AccessKey) -> None:
        """Put exactly these keys in force."""
        self.registry = msgspec.structs.replace(self.registry, keys=keys, version=self.registry.version + 1)
        asyncio.run(publish(self._url, self.registry))
        self.evaluator.until_version(self.registry.version)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, view_server: EmbeddedView | RedisServer) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    clock = FileClock(folder / "clock")
    clock.set(THEN_MS)
    registry = msgspec.structs.replace(registry_of(FLAGS), keys=tuple(issued.key for issued in ISSUED))
    with redis.Redis.from_url(view_server.url) as client:
        client.flushall()
    asyncio.run(fill(view_server.url, registry))
    with serving(folder, view_server.url, f"file:{folder / 'clock'}") as evaluator:
        evaluator.until_version(registry.version)
        yield Guarded(evaluator, view_server.url, registry, clock)


def _refused(response: httpx.Response, status: int) -> tuple[str, str]:
    assert response.status_code == status, response.text
    return response.json()["code"], response.json()["detail"]


@pytest.mark.parametrize("path", PATHS)
def test_a_public_token_reads_nothing_and_is_told_the_right_and_the_command(guarded: Guarded, path: str) -> None:
    for public in (TOKEN, PUBLIC.text):
        code, detail = _refused(guarded.ask(path, public), 403)
        assert code == "permission_denied"
        assert "a public token may evaluate, capture" in detail
        assert f"muster keys create NAME --right {PATHS[path]}" in detail


@pytest.mark.parametrize("path", PATHS)
def test_a_key_opens_what_its_rights_name_and_nothing_else(guarded: Guarded, path: str) -> None:
    for issued in (READER, MEMBERS, PERSONS, WHY):
        response = guarded.ask(path, issued.text)
        if PATHS[path] in issued.key.rights:
            assert response.status_code == 200, response.text
        else:
            code, detail = _refused(response, 403)
            assert (code, issued.key.id in detail) == ("permission_denied", True)
    assert guarded.ask(path, SECRET).status_code == 200


def test_flags_are_evaluated_for_public_tokens_and_for_keys_that_may(guarded: Guarded) -> None:
    for token in (TOKEN, PUBLIC.text, SHORT.text):
        assert guarded.flags(token).json()["flags"]["for-buyers"]["enabled"] is True
    assert _refused(guarded.flags(READER.text), 403)[0] == "permission_denied"


def test_a_key_sees_its_own_team_only(guarded: Guarded) -> None:
    assert guarded.ask("/cohorts", OTHERS.text).json()["cohorts"] == []
    assert guarded.flags(OTHERS.text).json()["flags"] == {}


def test_a_secret_key_beside_another_teams_token_is_refused(guarded: Guarded) -> None:
    assert guarded.ask(f"/cohorts?token={TOKEN}", READER.text).status_code == 200
    assert guarded.ask("/cohorts?token=phc_nobodys", READER.text).status_code == 200
    code, detail = _refused(guarded.ask("/cohorts?token=phc_other", READER.text), 403)
    assert (code, "team 1" in detail) == ("permission_denied", True)


def test_a_secret_key_in_an_address_is_refused_whether_it_is_right_or_not(guarded: Guarded) -> None:
    wrong = "mus_0000000000_" + "x" * 43
    for text in (READER.text, SECRET, wrong):
        assert _refused(guarded.evaluator.client.get(f"/cohorts?token={text}"), 401)[0] == "secret_in_address"


def test_what_is_unknown_revoked_or_expired_looks_the_same_and_only_the_log_tells(guarded: Guarded) -> None:
    near = READER.text[:-1] + ("x" if READER.text[-1] != "x" else "y")
    strangers = ("who", near, key_with(*Right).text, "mus_", "é" * 50)
    guarded.keys(
        *(each.key for each in ISSUED if each is not GONE), msgspec.structs.replace(GONE.key, revoked_ms=NOW_MS)
    )
    told = [guarded.evaluator.client.post("/flags", json={"token": text, "distinct_id": "ada"}) for text in strangers]
    told.append(guarded.flags(GONE.text))
    guarded.clock.set(THEN_MS + 9_999)
    assert guarded.flags(SHORT.text).status_code == 200
    guarded.clock.set(THEN_MS + 10_000)
    told.append(guarded.flags(SHORT.text))
    guarded.clock.set(THEN_MS)
    answers = {(each.status_code, each.text) for each in told}
    assert len(answers) == 1
    assert {status for status, _ in answers} == {401}
    log = guarded.evaluator.log.read_text()
    assert f"refused: POST /flags from 127.0.0.1: revoked (key {GONE.key.id})" in log
    assert f"refused: POST /flags from 127.0.0.1: expired (key {SHORT.key.id})" in log
    assert "refused: POST /flags from 127.0.0.1: unknown" in log
    assert guarded.evaluator.metric('muster_evaluator_refusals_total{why="revoked"}') == 1


def test_a_rotated_key_and_its_successor_count_side_by_side_until_the_overlap_ends(guarded: Guarded) -> None:
    old, new = key_with(*Right), key_with(*Right)
    leaving = msgspec.structs.replace(old.key, expires_ms=THEN_MS + 1_000)
    guarded.keys(leaving, new.key)
    assert [guarded.ask("/cohorts", each.text).status_code for each in (old, new)] == [200, 200]
    guarded.clock.set(THEN_MS + 1_000)
    assert [guarded.ask("/cohorts", each.text).status_code for each in (old, new)] == [401, 200]
    guarded.clock.set(THEN_MS)


def test_no_key_stands_in_clear_in_redis_or_in_the_log(guarded: Guarded, view_server: EmbeddedView) -> None:
    with redis.Redis.from_url(view_server.url) as client:
        copies = b"".join(b"".join(client.hgetall(key).values()) for key in client.keys("*registry*"))
    assert guarded.registry.keys[0].id.encode() in copies
    for issued in ISSUED:
        assert issued.text.split("_", 2)[2].encode() not in copies
        assert issued.text.split("_", 2)[2] not in guarded.evaluator.log.read_text()


def test_what_watches_the_evaluator_needs_no_key(guarded: Guarded) -> None:
    for path in ("/health", "/ready", "/metrics", "/openapi.json"):
        assert guarded.evaluator.client.get(path).status_code == 200


def test_the_owners_key_is_made_once_and_for_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret-key"
    assert keep_secret_key(path, SECRET) == SECRET
    assert keep_secret_key(path, "another" * 10) == SECRET
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["secret-key"]


@pytest.mark.parametrize("text", ["", "short", "x" * 257, "two words of more than thirty-two characters", "é" * 40])
def test_a_file_that_holds_no_key_is_refused_with_the_setting(tmp_path: Path, text: str) -> None:
    path = tmp_path / "secret-key"
    path.write_text(text)
    with pytest.raises(Crash, match="secret key"):
        read_secret_key(path)
    with pytest.raises(Crash, match="MUSTER_SECRET_KEY_FILE"):
        read_secret_key(tmp_path / "nowhere")


def test_the_bearers_word_may_be_written_in_any_case(guarded: Guarded) -> None:
    response = guarded.evaluator.client.get("/cohorts", headers={"Authorization": f"bearer  {SECRET}"})
    assert response.status_code == guarded.evaluator.client.get("/cohorts", headers=BEARER).status_code == 200
