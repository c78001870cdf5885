"""The demo end to end, small: eight weeks, three requisitions, real Kafka and HTTP; its figures against the pure core."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from schemas.fact import Watermark
from schemas.outcome import Obligation
from streams import demo, ledger, ports, run_state
from streams.adherence import Counts
from streams.check import load_agreement
from streams.errors import InvalidConfiguration
from streams.obligations import evaluate
from streams.roles import PORTS
from streams.settings import Settings
from streams.simulated_company import Scale
from streams.simulated_feed import Delivery
from tests.simulated import CONNECTOR, facts_of

SEED = 11
SMALL = Scale(requisitions=3, applications=90, weeks=8)


@pytest.mark.kafka
def test_a_small_demo_says_what_the_pure_core_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[list[Delivery]] = []
    original = demo.feed

    def listen(*arguments: object) -> list[Delivery]:
        told.append(original(*arguments))  # type: ignore[arg-type]
        return told[0]

    monkeypatch.setattr(demo, "feed", listen)
    settings = Settings(state_dir=tmp_path, **{name: ports.free() for name in PORTS})  # others may be starting up, too
    figures = demo.run(settings, seed=SEED, exit_after=True, scale=SMALL)

    engine = ledger.connect(f"sqlite:///{tmp_path / 'demo' / 'ledger.db'}")
    with ledger.snapshot(engine) as conn:
        rows = ledger.list_obligations(conn, 10_000)
        learned = ledger.newest_learned(conn)
    engine.dispose()
    assert learned is not None
    agreement = load_agreement(settings.deploy_dir)
    kinds = tuple(sorted(CONNECTOR.webhook_kinds.union(*CONNECTOR.record_kinds.values())))
    end = max(delivery.at for delivery in told[0])
    complete = Watermark(account="greenhouse", kinds=kinds, complete_until=end, received_at=end)
    facts, _ = facts_of(told[0], settings)
    pure = evaluate(facts, agreement.policy, agreement.calendars, agreement.people, [complete], learned).obligations

    assert len(pure) > 20
    # What was told and taken back, because its facts came late, stays in the ledger; the core has never heard of it.
    standing = [row for row in rows if row["reason"] != "no longer applies"]
    assert {row["obligation_id"]: row["verdict"] for row in standing} == verdicts(pure)
    assert len(rows) - len(standing) < 0.05 * len(rows)
    assert figures.verdicts == counts(rows)
    assert figures.dead_letters == {"unknown_action": 2, "not_json": 1, "not_utf8": 1, "missing_field": 1}
    assert run_state.read(tmp_path / "demo") is None, "everything has stopped"


def verdicts(obligations: tuple[Obligation, ...]) -> dict[str, str]:
    return {obligation.obligation_id: str(obligation.verdict) for obligation in obligations}


def counts(rows: list[dict[str, Any]]) -> dict[str, Counts]:
    found: dict[str, Counter[str]] = {}
    for row in rows:
        found.setdefault(row["commitment"], Counter())[row["verdict"]] += 1
    return {commitment: Counts(**numbers) for commitment, numbers in found.items()}


def test_a_directory_that_no_demo_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "ledger.db").write_text("somebody's")
    with pytest.raises(InvalidConfiguration, match="no demo made"):
        demo.run(Settings(state_dir=tmp_path), seed=SEED, exit_after=True, scale=SMALL)
    assert (tmp_path / "demo" / "ledger.db").read_text() == "somebody's"
