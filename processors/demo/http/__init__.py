"""Applications over HTTP, with their own client libraries."""
