"""ClickHouse as the processors see it: tables, statements and sinks."""
