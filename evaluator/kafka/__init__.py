"""What the evaluator reads from Kafka. Foreign exceptions are translated once, into ``cohort_store.errors.Retry``."""
