"""How flags are used: answers counted and told to Kafka by the minute, and which flags have had their day."""
