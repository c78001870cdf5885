"""The tracker on a real Kafka, end to end, beside the same core on other engines. Broker, worker and this share the machine.

    python benchmarks/pipeline.py [--only catchup peers small latency open] [--applications 1000] [--obligations 20000]

catchup   one worker process, real core, all enabled commitments, a backlog of `ats.facts` into `sla.outcomes`: events a second
          at 1 and at 10 events per key per batch, from its first batch to its last one done
peers     the same core and backlog on Quix Streams 3, a plain confluent-kafka loop and plain Faust, with ratios
small     the small fixed job 'SLA count' on our engine and on Quix, with the ratio
latency   events at a steady rate: from their production to the row in the ledger
open      many open obligations: /metrics, the worker's memory, and how late a verdict follows its deadline

The defaults are small and end in a few minutes; full size: --applications 8000 --events 1000000 --obligations 1000000 --rounds 3.
The peers' packages are put into .bench by `make bench` (benchmarks/peers/requirements.txt); without them they are left out.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from material import catch_up, latency, open_obligations, rivals
from material.machine import machine
from material.stage import Stage
from streams.kafka_node import KafkaNode

#: Our worker gets so much more with ten events per key, or it would be over before it is measured: after a start it folds the
#: first 1,000 records of each partition one by one (`streams.tracker.CAREFUL_RECORDS`), which is not how it catches up.
LONGER = {1: 1, 10: 16}
PARTS = ("catchup", "peers", "small", "latency", "open")


def catch_up_and_peers(stage: Stage, options: argparse.Namespace) -> None:
    for per_key in (1, 10):
        print(f"catching up, real core, {per_key} events per key per batch", flush=True)
        fed = catch_up.prepare(stage, "ours", per_key, options.applications * LONGER[per_key], options.facts)
        ours = catch_up.measure(fed)
        if "peers" not in options.only or not rivals.installed():
            continue
        # Of their own, since our worker puts ticks into the topic, which the others know nothing of.
        theirs = catch_up.prepare(stage, "theirs", per_key, options.applications, options.facts)
        for name, rate in rivals.core(theirs.settings, theirs.records).items():
            print(f"  ours / {name} = {ours / rate:.2f}", flush=True)
        rivals.agree(theirs.settings, fed.settings)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--applications", type=int, default=1000, help="of the backlog, at least 1000")
    parser.add_argument("--facts", type=int, default=20, help="of an application")
    parser.add_argument("--events", type=int, default=200_000, help="of the small job")
    parser.add_argument("--rounds", type=int, default=1, help="of the small job")
    parser.add_argument("--rate", type=float, default=200.0, help="events a second while latency is measured")
    parser.add_argument("--seconds", type=float, default=20.0, help="that latency is measured")
    parser.add_argument("--obligations", type=int, default=20_000, help="that are open")
    parser.add_argument("--passing", type=int, default=2_000, help="of them whose deadline passes meanwhile")
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(prefix="mutual-sla-bench-") as folder, KafkaNode(Path(folder) / "kafka", heap="1g") as node:
        stage = Stage(Path(folder), node.bootstrap)
        if {"peers", "small"} & set(options.only) and not rivals.installed():
            print("peers are not installed (`make bench` does that): left out")
        if "catchup" in options.only or "peers" in options.only:
            catch_up_and_peers(stage, options)
        if "small" in options.only and rivals.installed():
            print("the small fixed job", flush=True)
            rivals.small_job(stage, options.events, options.rounds)
        if "latency" in options.only:
            latency.measure(stage, options.rate, options.seconds)
        if "open" in options.only:
            open_obligations.measure(stage, options.obligations, options.passing)
    print(machine().replace("before", "after"))


if __name__ == "__main__":
    main()
