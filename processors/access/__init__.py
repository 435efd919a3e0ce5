"""Who may ask, and what was done by whom: access keys, and the account of administrative acts.

Keys are definitions of their own kind, so they live where cohorts do: in the topic of definitions and in the registry
that control makes of it. Depends on the topic's rules (``definition_changes``) and on Kafka; never on the evaluator.
"""
