"""Kafka as the evaluator sees it: what it tells others, and the changes that it follows.

Only here, and in wiring.py, is aiokafka imported.
"""
