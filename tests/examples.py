"""Examples in lots: where one costs a query or a file, it brings many histories or values, and counts as many."""

from hypothesis import settings


def lots_of(size: int) -> settings:
    """As many examples as the profile asks for, each of which brings `size` of what is tested."""
    return settings(max_examples=-(-settings().max_examples // size))
