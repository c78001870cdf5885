"""How many records a second `mutual-sla import` takes from a file into a real Kafka: `python benchmarks/import.py [RECORDS]`.

Makes a CSV and a JSON-lines file of a year of applications, imports each twice (the second time nothing is sent), and prints
records per second of the whole command: judging the file, sending it, and waiting for every acknowledgement.
"""

from __future__ import annotations

import csv
import json
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from streams import clock, imports, topics
from streams.kafka_node import KafkaNode
from streams.settings import Settings

MAPPING = """
account: greenhouse
csv:
  facts:
    - kind: application.stage_changed
      where: {Event: [Moved]}
      occurred_at: At
      requisition_id: Req
      application_id: App
      candidate_id: Cand
      attributes: {stage_name: Stage}
"""
START = datetime(2025, 1, 1, tzinfo=UTC)


def make(folder: Path, records: int) -> tuple[Path, Path, Path]:
    mapping, rows, lines = folder / "mapping.yaml", folder / "history.csv", folder / "history.jsonl"
    mapping.write_text(MAPPING)
    with rows.open("w", newline="") as table, lines.open("w") as facts:
        writer = csv.writer(table)
        writer.writerow(["Event", "At", "Req", "App", "Cand", "Stage"])
        for number in range(records):
            at = (START + timedelta(seconds=number * 150)).isoformat()
            req, app, cand = str(number % 500), str(number // 4), str(number // 4)
            writer.writerow(["Moved", at, req, app, cand, "Onsite interview"])
            fact = {"kind": "application.stage_changed", "occurred_at": at, "attributes": {"stage_name": "Onsite interview"}}
            fact |= {"requisition_id": f"greenhouse/{req}", "application_id": f"greenhouse/{app}"}
            facts.write(json.dumps(fact | {"candidate_id": f"greenhouse/{cand}"}) + "\n")
    return mapping, rows, lines


def main(records: int) -> None:
    with tempfile.TemporaryDirectory() as name, KafkaNode(Path(name) / "kafka") as node:
        folder = Path(name)
        settings = Settings(brokers=node.bootstrap, state_dir=folder / "state")
        topics.verify(settings)
        mapping, rows, lines = make(folder, records)
        for path in (rows, lines):
            for turn in ("first", "again"):
                began = time.perf_counter()
                imports.run(settings, [path], clock.SystemClock(), mapping=mapping, account=None)
                seconds = time.perf_counter() - began
                print(
                    f"{path.suffix} {turn}: {records} records in {seconds:.1f} s, {records / seconds:,.0f} records/s", flush=True
                )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
