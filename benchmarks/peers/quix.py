"""Quix Streams 3 as both jobs use it: RocksDB state and changelog on, its other settings as they come."""

from __future__ import annotations

from pathlib import Path

from quixstreams import Application


def application(brokers: str, prefix: str, folder: Path) -> Application:
    return Application(
        broker_address=brokers,
        consumer_group=f"{prefix}quix",
        auto_offset_reset="earliest",
        state_dir=str(folder),
        auto_create_topics=True,
        loglevel="WARNING",
    )
