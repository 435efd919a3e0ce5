"""ClickHouse as the evaluator sees it: what is asked about the past. Nothing is written here."""
