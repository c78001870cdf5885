"""Peers run one after the other on the same node, the same topics' contents and the same core or small job; ratios at the end."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import orjson

from material.load import PARTITIONS
from material.stage import ROOT, Stage, feed, records_in, values_of
from peers.count_job import events
from streams import topics
from streams.settings import Settings

PACKAGES = ROOT / ".bench"
BENCHMARKS = ROOT / "benchmarks"
ENGINES = ("quix", "confluent", "faust")


def installed() -> bool:
    """Whether `make bench` has put the peers' packages where they are looked for."""
    return (PACKAGES / "quixstreams").is_dir()


def create(settings: Settings, names: list[str]) -> None:
    with topics.admin(settings) as client:
        wanted = {name: {"num_partitions": PARTITIONS, "replication_factor": 1} for name in names}
        client.create_topics(wanted, wait_for_metadata=True)


def run(name: str, brokers: str, prefix: str, count: int, folder: Path, limit: float = 900) -> float:
    """Run benchmarks/peers/NAME.py; prints its figures, returns events a second."""
    paths = [str(ROOT), str(BENCHMARKS), str(PACKAGES)]
    command = [sys.executable, str(BENCHMARKS / "peers" / f"{name}.py"), brokers, prefix, str(count), str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=limit, check=False)
    figures = re.findall(r'{"events".*?}', done.stdout)
    if not figures:
        raise SystemExit(f"{name} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    found = json.loads(figures[0])
    rate: float = found["events"] / found["seconds"]
    print(
        f"  {name:26s} {rate:9,.0f} events/s   {found['events']} events in {found['seconds']:.1f} s, "
        f"{found['cpu'] / found['events'] * 1e6:.0f} µs CPU each, peak {found['peak']:.0f} MB",
        flush=True,
    )
    return rate


def core(settings: Settings, count: int) -> dict[str, float]:
    """Our core on each of ENGINES, over the backlog of `count` events in `ats.facts` of `settings`: events a second of each."""
    prefix = settings.topic_prefix
    create(settings, [f"{prefix}out.{engine}" for engine in ENGINES])
    return {engine: run(f"{engine}_core", settings.brokers, prefix, count, settings.state_dir / engine) for engine in ENGINES}


def agree(settings: Settings, own: Settings) -> None:
    """Prints how many obligations that are over on both sides the peers judge otherwise than our worker did (`own`): 0."""
    ours = _settled(own.brokers, own.topic("sla.outcomes"))
    for engine in ENGINES[:-1]:  # plain Faust is stopped before all of its messages are sent
        theirs = _settled(settings.brokers, f"{settings.topic_prefix}out.{engine}")
        both = ours.keys() & theirs.keys()
        differ = sum(ours[key] != theirs[key] for key in both)
        print(f"  verdicts: {len(both)} met or missed with us and with {engine}, {differ} of them differ", flush=True)


def _settled(brokers: str, topic: str) -> dict[str, tuple[str, str]]:
    """Of each obligation that was met, or missed by being done late: its verdict and deadline as last told."""
    last: dict[str, tuple[int, dict[str, str]]] = {}
    for value in values_of(brokers, topic):
        told = orjson.loads(value)
        body, offset = told["body"], told["source_offset"]
        if body["type"] == "obligation" and offset >= last.get(body["obligation_id"], (-1,))[0]:
            last[body["obligation_id"]] = offset, body
    ended = {key: body for key, (_, body) in last.items() if body.get("ended_at")}
    return {key: (body["verdict"], body["deadline"]) for key, body in ended.items() if body["verdict"] in ("met", "missed")}


def small_job(stage: Stage, count: int, rounds: int) -> None:
    """The small fixed job on our engine and on Quix, in turn; prints the ratio of the medians."""
    settings = stage.settings("small")
    prefix = settings.topic_prefix
    create(settings, [f"{prefix}events"])
    feed(stage.brokers, f"{prefix}events", events(count))
    rates: dict[str, list[float]] = {"ours_count": [], "quix_count": []}
    for number in range(rounds):
        for name, found in rates.items():
            engine = name.partition("_")[0]
            own = f"{prefix}{number}."
            create(settings, [f"{own}out.{engine}"])
            found.append(run(name, stage.brokers, f"{prefix},{own}", count, stage.folder / f"small-{name}-{number}"))
    told = {
        name: {records_in(stage.brokers, f"{prefix}{n}.out.{name.partition('_')[0]}") for n in range(rounds)} for name in rates
    }
    ours, quix = (sorted(found)[len(found) // 2] for found in rates.values())
    print(f"  small job: ours / Quix = {ours / quix:.2f}   outcomes {told}", flush=True)
