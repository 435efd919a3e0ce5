"""The hash is PostHog's: vectors of its SDK, digests written out by hand, and boundaries."""

from random import Random

import pytest
from posthog.feature_flags import _hash, get_matching_variant

from evaluator.deciding.bucketing import VARIANT_SALT, bucket, variant_for, variant_table, within_rollout

VECTORS = 2_000

# The first 15 hexadecimal digits of `printf '%s' 'flag.idsalt' | sha1sum`.
GOLDEN = [
    ("simple-flag", "distinct_id", "", 0x588078F5A1D57FA),
    ("simple-flag", "distinct_id", VARIANT_SALT, 0x8B4D0F2DE80DD27),
    ("holdout", "ada", "", 0xB5926290B45A977),
    ("größe", "Zoë", "", 0x1D642943ED1B056),
]


def _pairs(seed: int) -> list[tuple[str, str]]:
    random = Random(seed)

    def word() -> str:
        return "".join(random.choices("abcXYZ019-_.:é✓ ", k=random.randint(1, 24)))

    return [(word(), word()) for _ in range(VECTORS)]


@pytest.mark.parametrize(("flag", "who", "salt", "digits"), GOLDEN)
def test_a_bucket_is_fifteen_digits_of_the_sha1_over_the_greatest(flag: str, who: str, salt: str, digits: int) -> None:
    assert bucket(flag, who, salt) == digits / float(0xFFFFFFFFFFFFFFF)


@pytest.mark.parametrize("salt", ["", VARIANT_SALT])
def test_two_thousand_buckets_agree_with_posthogs_sdk(seed: int, salt: str) -> None:
    vectors = _pairs(seed)
    assert [bucket(flag, who, salt) for flag, who in vectors] == [_hash(flag, who, salt) for flag, who in vectors]


def test_variants_of_two_thousand_people_agree_with_posthogs_sdk(seed: int) -> None:
    shares = {"control": 33.3, "test": 33.3, "other": 33.4}
    table = variant_table(shares.items())
    multivariate = {"variants": [{"key": key, "rollout_percentage": share} for key, share in shares.items()]}
    for flag, who in _pairs(seed):
        definition = {"key": flag, "filters": {"multivariate": multivariate}}
        expected = get_matching_variant(definition, who)  # type: ignore[no-untyped-call]
        assert variant_for(table, flag, who) == expected


def test_a_share_just_below_at_and_just_above_the_bucket() -> None:
    value = bucket("simple-flag", "distinct_id")
    step = 1 / 0xFFFFFFFFFFFFF
    verdicts = [within_rollout("simple-flag", "distinct_id", share) for share in (value - step, value, value + step)]
    assert verdicts == [False, True, True]


def test_a_variants_upper_bound_belongs_to_the_next_variant() -> None:
    value = bucket("simple-flag", "distinct_id", VARIANT_SALT)
    at_the_bound = ((value, "first"), (1.0, "second"))
    below_the_bound = ((value + 1e-12, "first"), (1.0, "second"))
    assert variant_for(at_the_bound, "simple-flag", "distinct_id") == "second"
    assert variant_for(below_the_bound, "simple-flag", "distinct_id") == "first"


def test_no_variant_above_the_last_bound_and_none_of_an_empty_table() -> None:
    assert variant_for(((0.1, "first"),), "simple-flag", "distinct_id") is None
    assert variant_for((), "simple-flag", "distinct_id") is None


def test_a_lone_surrogate_in_an_id_is_hashed_and_not_an_error() -> None:
    assert 0 <= bucket("simple-flag", "\ud800") <= 1
