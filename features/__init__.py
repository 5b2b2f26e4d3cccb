"""What is remembered of a merchant, and what is computed from it. No Kafka, no clock, no I/O."""
