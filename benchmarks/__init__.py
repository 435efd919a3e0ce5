"""Measurements of speed, each as a ratio to a floor of the same run. `python -m benchmarks` runs all of them.

Nothing here asserts a speed; what is asserted is that the answers were right while it was measured.
"""
