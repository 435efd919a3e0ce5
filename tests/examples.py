"""Profiles of Hypothesis beside the plain one: examples in lots, and properties that are not of the evaluation rule.

No profile draws fewer than EXAMPLES_MIN examples.
"""

from hypothesis import settings

EXAMPLES_MIN = 300
ASIDE = 10
"""How many times fewer examples a property gets that is no equivalence of the evaluation rule."""


def lots_of(size: int) -> settings:
    """The profile's number of what is tested, of which each example brings `size`.

    For tests where an example costs a query or a file: the long profile would take hours else.
    """
    return settings(max_examples=max(EXAMPLES_MIN, settings().max_examples // size))


def aside() -> settings:
    """For properties of a codec or of the compiler: what the evaluation rule promises takes the long profile's time."""
    return lots_of(ASIDE)
