"""What the provider asks of an evaluator over HTTP, and what it is told."""
