"""Examples in lots: where one costs a query or a file, it brings several histories or values.

The long profile counts those, since it would take hours else; no profile draws fewer than EXAMPLES_MIN examples.
"""

from hypothesis import settings

EXAMPLES_MIN = 300


def lots_of(size: int) -> settings:
    """The profile's number of what is tested, of which each example brings `size`."""
    return settings(max_examples=max(EXAMPLES_MIN, settings().max_examples // size))
