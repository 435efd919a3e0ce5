"""What becomes of a team's keys when one is made, revoked or replaced, and when a key counts."""

import re

import msgspec
import pytest

from cohort_store.access_keys import (
    ALL_RIGHTS,
    KEPT_MS,
    KEYS_MAX,
    NAME_CHARACTERS_MAX,
    PUBLIC_RIGHTS,
    AccessKey,
    KeyState,
    Right,
    digest_of,
    fits,
    id_in,
    is_secret,
)
from cohort_store.errors import BadDefinition
from processors.access.issuing import Issued, Keys, Wanted, added, issue, revoked, rotated

NOW_MS = 1_768_222_800_000
HOUR_MS = 3_600_000


def made(*rights: Right, expires_ms: int | None = None, name: str = "dashboard") -> Issued:
    return issue(Wanted(1, name, frozenset(rights or (Right.EXPLAIN,)), expires_ms), NOW_MS)


def keys_of(*issued: Issued) -> Keys:
    return {each.key.id: each.key for each in issued}


def test_a_key_names_its_kind_and_id_and_nothing_of_its_secret_is_stored() -> None:
    secret, public = made(*ALL_RIGHTS), made(*PUBLIC_RIGHTS)
    assert re.fullmatch(r"mus_[0-9a-f]{10}_[A-Za-z0-9_-]{43}", secret.text)
    assert re.fullmatch(r"mup_[0-9a-f]{10}_[A-Za-z0-9_-]{43}", public.text)
    assert (is_secret(secret.text), is_secret(public.text)) == (True, False)
    assert id_in(secret.text) == secret.key.id
    assert secret.text.split("_", 2)[2] not in msgspec.json.encode(secret.key).decode()
    assert fits(secret.text, secret.key.digest)
    assert not fits(public.text, secret.key.digest)


def test_no_two_keys_are_the_same() -> None:
    assert len({made().text for _ in range(200)}) == 200


@pytest.mark.parametrize("text", ["", "mus_", "mus_0123456789_short", "mux_0123456789_" + "x" * 43, "phc_muster", "é"])
def test_a_text_that_is_no_key_names_none(text: str) -> None:
    assert id_in(text) is None
    assert len(digest_of(text)) == 64


@pytest.mark.parametrize(("after_ms", "state"), [(-1, "alive"), (0, "expired"), (1, "expired")])
def test_a_key_counts_until_the_millisecond_at_which_it_runs_out(after_ms: int, state: str) -> None:
    assert made(expires_ms=NOW_MS + HOUR_MS).key.state_at(NOW_MS + HOUR_MS + after_ms) == state


def test_a_right_that_this_version_does_not_know_gives_nothing() -> None:
    key = AccessKey("0123456789", 1, "of a newer version", digest_of("x"), ("fly", "explain"), NOW_MS)
    assert key.granted() == {Right.EXPLAIN}


def test_a_revoked_key_counts_no_more_and_revoking_it_again_changes_nothing() -> None:
    first, second = made(), made()
    after = revoked(keys_of(first, second), first.key.id, NOW_MS + 1)
    assert [key.state_at(NOW_MS + 1) for key in after.values()] == [KeyState.REVOKED, KeyState.ALIVE]
    assert revoked(after, first.key.id, NOW_MS + 9) == after
    with pytest.raises(BadDefinition, match="muster keys list"):
        revoked(after, "ffffffffff", NOW_MS)


def test_a_rotated_key_counts_beside_its_successor_until_the_overlap_ends() -> None:
    old = made(Right.EXPLAIN, Right.READ_PERSONS)
    after, new = rotated(keys_of(old), old.key.id, HOUR_MS, NOW_MS)
    assert (new.key.name, new.key.rights, new.key.expires_ms) == ("dashboard", ("read_persons", "explain"), None)
    assert set(after) == {old.key.id, new.key.id}
    for at_ms, state in ((-1, KeyState.ALIVE), (0, KeyState.EXPIRED)):
        assert after[old.key.id].state_at(NOW_MS + HOUR_MS + at_ms) is state
    assert after[new.key.id].state_at(NOW_MS + 10**12) is KeyState.ALIVE


def test_no_overlap_lengthens_a_keys_life_and_its_successor_lives_as_long_as_it_did() -> None:
    old = made(expires_ms=NOW_MS + HOUR_MS)
    after, new = rotated(keys_of(old), old.key.id, 2 * HOUR_MS, NOW_MS + 1)
    assert after[old.key.id].expires_ms == NOW_MS + HOUR_MS
    assert new.key.expires_ms == NOW_MS + 1 + HOUR_MS


def test_a_key_that_does_not_count_is_not_rotated() -> None:
    old = made()
    with pytest.raises(BadDefinition, match="revoked"):
        rotated(revoked(keys_of(old), old.key.id, NOW_MS), old.key.id, HOUR_MS, NOW_MS)


def test_what_ended_long_ago_is_forgotten_when_the_next_key_is_made() -> None:
    old, new = made(), made()
    gone = revoked(keys_of(old), old.key.id, NOW_MS)
    assert set(added(gone, new.key, NOW_MS + KEPT_MS - 1)) == {old.key.id, new.key.id}
    assert set(added(gone, new.key, NOW_MS + KEPT_MS)) == {new.key.id}


def test_a_team_has_so_many_keys_and_not_one_more() -> None:
    keys = keys_of(*(made() for _ in range(KEYS_MAX - 1)))
    full = added(keys, made().key, NOW_MS)
    with pytest.raises(BadDefinition, match=f"{KEYS_MAX} keys; at most {KEYS_MAX}"):
        added(full, made().key, NOW_MS)


@pytest.mark.parametrize("name", ["", "  ", "x" * (NAME_CHARACTERS_MAX + 1), "two\nlines", "\x1b[31m"])
def test_a_name_that_no_list_can_show_is_refused(name: str) -> None:
    with pytest.raises(BadDefinition, match="no name for a key"):
        made(name=name)


def test_a_key_that_could_never_be_used_is_refused() -> None:
    with pytest.raises(BadDefinition, match="without rights"):
        issue(Wanted(1, "idle", frozenset()), NOW_MS)
    with pytest.raises(BadDefinition, match="is past"):
        made(expires_ms=NOW_MS)
