"""One track worker, the real process with the real core and every default commitment, through a backlog into sla.outcomes."""

from __future__ import annotations

from dataclasses import dataclass

from material.load import BATCH, PARTITIONS, backlog
from material.stage import Stage, feed, peak_megabytes, records_in, role, taken_until
from streams.settings import Settings

RECORDS = "mutual_sla_worker_records_total"
BATCHES = "mutual_sla_worker_batches_total"


@dataclass(frozen=True)
class Backlog:
    """What was fed: settings whose `ats.facts` holds it, how it was cut, and how many records it is."""

    settings: Settings
    per_key: int
    records: int


def prepare(stage: Stage, name: str, per_key: int, applications: int, facts: int) -> Backlog:
    """About `applications` of `facts` facts, over as many partitions as can be given whole blocks.

    A smaller one of the same `per_key` holds the first part of each partition of a larger one, as long as both fill all of them.
    """
    settings = stage.settings(f"{name}{per_key}")
    at_once = BATCH // per_key
    partitions = max(1, min(PARTITIONS, applications // at_once))
    each = max(1, applications // partitions // at_once) * at_once
    load = backlog(range(partitions), each, facts, per_key)
    return Backlog(settings, per_key, feed(stage.brokers, settings.topic("ats.facts"), load))


def measure(fed: Backlog, limit: float = 900) -> float:
    """Prints the figures of one worker; returns its events a second, from its first batch to its last one done."""
    settings = fed.settings
    with role(settings, "worker", "track") as worker:
        seconds, cpu = taken_until(settings.track_metrics_port, RECORDS, fed.records, worker, limit)
        peak = peak_megabytes(worker.pid)
    outcomes = records_in(settings.brokers, settings.topic("sla.outcomes"))
    rate = fed.records / seconds
    print(
        f"  our track worker           {rate:9,.0f} events/s   {fed.records} events in "
        f"{seconds:.1f} s, {cpu / fed.records * 1e6:.0f} µs CPU each, {outcomes} outcomes, peak {peak:.0f} MB",
        flush=True,
    )
    return rate
