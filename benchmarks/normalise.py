"""How many bodies a second each connector turns into facts, on one core: `python benchmarks/normalise.py [--seconds 1]`.

The bodies are the tests' own (tests/fixtures/<system>, webhooks and records as the vendor documents them), each in turn. Beside
it what the gateway does with a webhook of the system: its signature verified over the exact bytes. Processor time, best
of five rounds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from material.machine import machine
from schemas.raw import RawHeaders
from streams import stages
from streams.connectors import CONNECTORS, Connector
from streams.errors import InvalidPayload
from streams.settings import ROOT
from streams.stages import StageMap
from tests.every_fixture import SIGN, webhook

FOLDER = ROOT / "tests" / "fixtures"
ROUNDS = 5
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SECRET = b"benchmark-secret"


def headers(system: str, path: Path) -> RawHeaders:
    """As the gateway would have written them for the body in this file, `webhook.EVENT.json` or `record.TYPE.json`."""
    channel, _, kind = path.stem.partition(".")
    vendor = {"event-name": kind, "smartrecruiters-timestamp": str(int(NOW.timestamp()))} if system == "smartrecruiters" else {}
    return RawHeaders(
        tenant="demo",
        account=system,
        system=system,
        channel=channel,  # type: ignore[arg-type]
        received_at=NOW,
        request_id="bench",
        record_type=kind if channel == "record" else None,
        vendor=vendor if channel == "webhook" else {},
    )


def bodies(connector: Connector, mapping: StageMap) -> list[tuple[RawHeaders, bytes]]:
    """Every fixture of the system that gives facts or nothing; those that are refused on purpose are left out."""
    found = []
    for path in sorted((FOLDER / connector.system).glob("*.json")):
        if not path.stem.startswith(("webhook.", "record.")):
            continue
        body = json.dumps(json.loads(path.read_text()), separators=(",", ":")).encode()
        raw = headers(connector.system, path)
        try:
            connector.normalise(raw, body, mapping)
        except InvalidPayload:
            continue
        found.append((raw, body))
    return found


def fastest(work: Callable[[], None], seconds: float) -> float:
    """Seconds of one call, the best of ROUNDS."""
    begun = time.process_time()
    work()
    calls = max(1, int(seconds / ROUNDS / max(time.process_time() - begun, 1e-7)))
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.process_time()
        for _ in range(calls):
            work()
        best = min(best, (time.process_time() - begun) / calls)
    return best


def measure(connector: Connector, mapping: StageMap, seconds: float) -> str:
    told = bodies(connector, mapping)
    facts = sum(len(connector.normalise(raw, body, mapping)) for raw, body in told)

    def every() -> None:
        for raw, body in told:
            connector.normalise(raw, body, mapping)

    names, body = SIGN[connector.system](SECRET, webhook(connector.system))
    each = fastest(every, seconds) / len(told)
    verified = fastest(lambda: connector.verify(names, body, [SECRET]), seconds / 4)
    size = sum(len(body) for _, body in told) / len(told)
    return (
        f"{connector.system:16s} {1 / each:9,.0f} bodies/s {each * 1e6:7.1f} µs   {facts / each / len(told):9,.0f} facts/s   "
        f"{len(told):2d} bodies of {size:5.0f} bytes   verify {verified * 1e6:5.1f} µs"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0, help="that each connector takes")
    options = parser.parse_args()
    print(machine())
    mapping = stages.load(ROOT / "deploy" / "stages.yaml")
    for _, connector in sorted(CONNECTORS.items()):
        print(measure(connector, mapping, options.seconds), flush=True)


if __name__ == "__main__":
    main()
