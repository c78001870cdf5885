"""A compact, seeded history of hiring as facts, of any size: for tests that need many facts rather than a company's life."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any

from schemas.fact import Fact, Origin, fact_id
from tests.stories import ACCOUNT

HOUR = timedelta(hours=1)


def hiring(*, requisitions: int, applications: int, start: datetime, seed: int) -> list[Fact]:
    """Facts in order of receipt; most are received in minutes, some days late, and some twice."""
    dice = Random(seed)
    told: list[Fact] = []
    for number in range(requisitions):
        told += _requisition(f"r{number}", applications, start + dice.uniform(0, 240) * HOUR, dice)
    told += [fact.model_copy(update={"received_at": fact.received_at + 9 * HOUR}) for fact in dice.sample(told, len(told) // 20)]
    return sorted(told, key=lambda fact: (fact.received_at, fact.fact_id))


def _requisition(requisition: str, applications: int, at: datetime, dice: Random) -> Iterator[Fact]:
    people = {"hiring_manager": (f"{ACCOUNT}/mgr",), "recruiter": (f"{ACCOUNT}/rec",)}
    yield _fact(dice, "requisition.opened", at, requisition, people=people)
    yield _fact(dice, "requisition.approved", at + 20 * HOUR, requisition)
    yield _fact(dice, "requisition.intake_held", at + 40 * HOUR, requisition)
    if dice.random() < 0.2:
        yield _fact(dice, "requisition.held", at + dice.uniform(60, 200) * HOUR, requisition)
        yield _fact(dice, "requisition.resumed", at + dice.uniform(200, 260) * HOUR, requisition)
    for number in range(applications):
        yield from _application(requisition, f"{requisition}a{number}", at + dice.uniform(41, 200) * HOUR, dice)
    if dice.random() < 0.2:
        yield _fact(dice, "requisition.closed", at + 500 * HOUR, requisition)


def _application(requisition: str, application: str, at: datetime, dice: Random) -> Iterator[Fact]:
    yield _fact(dice, "application.created", at, requisition, application)
    for stage in ("screen", "manager_review", "interview", "debrief", "offer"):
        at += dice.uniform(1, 90) * HOUR
        if dice.random() < 0.2:
            yield _fact(dice, dice.choice(("application.rejected", "application.withdrawn")), at, requisition, application)
            return
        if dice.random() < 0.15:
            return
        yield _fact(dice, "application.stage_changed", at, requisition, application, attributes={"stage": stage})


def _fact(dice: Random, kind: str, at: datetime, requisition: str, application: str | None = None, **more: Any) -> Fact:
    at = at.replace(microsecond=0)
    late = dice.uniform(24, 120) if dice.random() < 0.03 else dice.uniform(0, 0.2)
    return Fact(
        fact_id=fact_id("test", ACCOUNT, kind, [requisition, application or "", str(more.get("attributes"))], at),
        kind=kind,
        tenant="test",
        account=ACCOUNT,
        system="greenhouse",
        occurred_at=at,
        occurred_at_source=Origin.OBJECT,
        received_at=at + late * HOUR,
        requisition_id=f"{ACCOUNT}/{requisition}",
        application_id=f"{ACCOUNT}/{application}" if application else None,
        **more,
    )
