"""ClickHouse as the processors see it: tables, statements and sinks. Only here is clickhouse-connect imported."""
