"""A flag's answer: compiled once, decided by plain arithmetic, and explained. Pure.

Depends on ``cohort_store`` and on values that others read before: no I/O, no clock, no logging. Where to start:
``flags.py`` (the rule), ``evaluation.py`` (all flags of one request).
"""
