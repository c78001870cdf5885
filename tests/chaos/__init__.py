"""Faults at random moments on the whole pipeline, on a real Kafka: `python -m tests.chaos --help`, `docs/reliability.md`."""
