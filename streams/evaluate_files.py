"""`mutual-sla evaluate`: facts from JSON lines through the same core as the stream, without Kafka."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

from schemas.fact import Fact, Watermark
from streams import fact_files
from streams.check import load_agreement
from streams.errors import InvalidPayload
from streams.obligations import evaluate, routed
from streams.settings import Settings
from streams.yaml_lines import Faults


def run(settings: Settings, files: list[Path], as_of: datetime, known_at: datetime | None) -> int:
    """Print each obligation as a JSON line, ordered by id; returns the exit code: 65 if a line could not be read, or an exception
    excuses nothing: who asked for it approved it, or it does not say who or which.

    Lines are facts and watermarks as in `ats.facts` (ticks are passed over: `--as-of` is the time). Where the files hold
    no watermark, every source counts as complete up to `as_of`; a line on stderr says so.
    """
    agreement = load_agreement(settings.deploy_dir)
    faults = Faults()
    records = list(fact_files.read(files, faults, agreement.people))
    facts = [r for r in records if isinstance(r, Fact)]
    watermarks = [r for r in records if isinstance(r, Watermark)]
    if not watermarks:
        print(f"no watermarks in the input: every source counts as complete up to {as_of.isoformat()}", file=sys.stderr)  # noqa: T201
    adrift = [f for f in routed(facts) if f.requisition_id is None]
    for fact in adrift:
        print(f"{fact.fact_id}: {fact.kind} belongs to no requisition that the input tells of: left out", file=sys.stderr)  # noqa: T201
    try:
        found = evaluate(facts, agreement.policy, agreement.calendars, agreement.people, watermarks, as_of, known_at)
    except (ValueError, OverflowError) as error:
        raise InvalidPayload("not_a_time", f"an attribute of a fact cannot be read: {error}; write it with its offset") from error
    for obligation in sorted(found.obligations, key=lambda o: o.obligation_id):
        print(obligation.model_dump_json())  # noqa: T201
    for fault in faults.lines():
        print(fault, file=sys.stderr)  # noqa: T201
    return 65 if faults else 0
