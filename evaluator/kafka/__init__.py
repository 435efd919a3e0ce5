"""Kafka as the evaluator sees it: what it tells others. Only here, and in wiring.py, is aiokafka imported."""
