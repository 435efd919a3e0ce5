"""What both sides of the store need of ClickHouse: the client, and the table that evaluations are counted in."""
