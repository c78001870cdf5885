"""Whoever holds the ball, times add up exactly: over holders to elapsed time, over any grouping to the same microseconds."""

from __future__ import annotations

import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.outcome import HOLDERS, ApplicationState, Holding
from streams import holding_time, ledger
from streams.check import load_agreement
from streams.ledger_database import snapshot
from streams.settings import ROOT
from tests.ledger_samples import T0, deliver, outcome, ready

AGREEMENT = load_agreement(ROOT / "deploy")
SIDES = ("talent_acquisition", "hiring_manager")
PEOPLE = (None, "p-001", "p-005", "p-011", "p-nobody-knows")
NOW = T0 + timedelta(days=40)
MIDDLE = T0 + timedelta(days=9, hours=7, microseconds=1)

holdings = st.lists(st.tuples(st.sampled_from(HOLDERS), st.sampled_from(PEOPLE), st.integers(1, 10**12)), min_size=1, max_size=8)


def application(number: int, told: list[tuple[str, str | None, int]]) -> ApplicationState:
    """Holdings of so many microseconds each, one after the other; the last is still going on."""
    start, found = T0 + timedelta(microseconds=number), list[Holding]()
    for place, (holder, person, us) in enumerate(told):
        end = None if place == len(told) - 1 else start + timedelta(microseconds=us)
        who = person if holder in SIDES else None
        found.append(Holding(start=start, end=end, holder=holder, person=who, cause="f", state="s"))
        start = end or start
    return ApplicationState(
        tenant="demo",
        application_id=f"acme/a{number}",
        requisition_id=f"acme/r{number % 3}",
        team=("platform", "data")[number % 2],
        state="s",
        created_at=found[0].start,
        holdings=tuple(found),
    )


@settings(deadline=None, max_examples=40)
@given(st.lists(holdings, min_size=1, max_size=6))
def test_times_add_up_to_the_microsecond_however_they_are_grouped(told: list[list[tuple[str, str | None, int]]]) -> None:
    applications = [application(number, one) for number, one in enumerate(told)]
    with tempfile.TemporaryDirectory() as folder:
        engine = ledger.open_ledger(f"sqlite:///{folder}/ledger.db")
        ready(engine)
        deliver(engine, [outcome(one, 5) for one in applications])
        with snapshot(engine) as conn:
            rows = {by: holding_time.times(conn, AGREEMENT, NOW, by.split(",")) for by in (*holding_time.BY, "team,person")}
            parts = [
                holding_time.times(conn, AGREEMENT, until, ["team"], since=since)
                for since, until in ((None, MIDDLE), (MIDDLE, NOW), (NOW, NOW))
            ]
            elapsed = {r["holder"]: round(r["seconds"] * 1e6) for r in ledger.holder_totals(conn, NOW, "platform")}
        engine.dispose()
    for one in applications:  # every moment of its life is somebody's, once; what nobody holds for good is over
        held = [h for h in one.holdings if h.holder != "nobody"]  # rejected, and then its requisition closed: twice nobody's
        end = (held[-1].end or NOW) if held else one.created_at
        assert sum(r["us"] for r in rows["application"] if r["application"] == one.application_id) == us(end - one.created_at)
    sums = {by: totals(found) for by, found in rows.items()}
    assert sums["application"] == sums["requisition"] == sums["team"]
    assert +sum((totals(part) for part in parts), Counter()) == +sums["team"], "cut in two, the same"
    assert sums["person"] == sums["team,person"] == {k: v for k, v in sums["team"].items() if k[0] in SIDES}
    assert {r["holder"]: r["us"] for r in rows["team"] if r["team"] == "platform"} == elapsed
    for row in [row for found in rows.values() for row in found]:
        assert (row["business_us"] is None) == (row["holder"] not in SIDES)
        assert 0 <= (row["business_us"] or 0) <= row["us"]


def test_a_close_after_a_rejection_prolongs_no_life() -> None:
    """TA has it for a day, it is rejected; a month later its requisition is closed: still one day is somebody's, and no more."""
    days = [T0 + timedelta(days=day) for day in (0, 1, 31)]
    held = (
        Holding(start=days[0], end=days[1], holder="talent_acquisition", person="p-001", cause="f", state="applied"),
        Holding(start=days[1], end=days[2], holder="nobody", cause="f", state="rejected"),
        Holding(start=days[2], holder="nobody", cause="f", state="closed"),
    )
    state = application(0, [("candidate", None, 1)]).model_copy(update={"holdings": held})
    with tempfile.TemporaryDirectory() as folder:
        engine = ledger.open_ledger(f"sqlite:///{folder}/ledger.db")
        ready(engine)
        deliver(engine, [outcome(state, 5)])
        with snapshot(engine) as conn:
            rows = holding_time.times(conn, AGREEMENT, NOW, ["team"])
            elapsed = ledger.holder_totals(conn, NOW)
        engine.dispose()
    assert [(r["holder"], r["seconds"]) for r in rows] == [("talent_acquisition", 86_400)]
    assert [(r["holder"], r["seconds"]) for r in elapsed] == [("talent_acquisition", 86_400)]


def us(length: timedelta) -> int:
    return length // timedelta(microseconds=1)


def totals(rows: list[dict[str, object]]) -> Counter[tuple[object, str]]:
    found: Counter[tuple[object, str]] = Counter()
    for row in rows:
        for clock in ("us", "business_us"):
            found[row["holder"], clock] += int(str(row[clock] or 0))
    return found


def test_a_holding_counts_on_the_calendar_of_who_holds_it() -> None:
    """A Monday held by somebody in Berlin has their seven and a half hours; the candidate has no working day."""
    monday = datetime(2026, 5, 4, 0, tzinfo=UTC)
    held = (
        Holding(start=monday, end=monday + timedelta(days=1), holder="talent_acquisition", person="p-001", cause="f", state="s"),
        Holding(start=monday + timedelta(days=1), holder="candidate", cause="f", state="s"),
    )
    state = ApplicationState(
        tenant="demo", application_id="a", requisition_id="r", team="platform", state="s", created_at=monday, holdings=held
    )
    calendar, _ = AGREEMENT.people.calendar_for("p-001", "platform", AGREEMENT.calendars, monday)
    assert calendar.name == "de-berlin"
    with tempfile.TemporaryDirectory() as folder:
        engine = ledger.open_ledger(f"sqlite:///{folder}/ledger.db")
        ready(engine)
        deliver(engine, [outcome(state, 5)])
        with snapshot(engine) as conn:
            candidate, recruiter = holding_time.times(conn, AGREEMENT, monday + timedelta(days=2), ["application"])
        engine.dispose()
    assert recruiter["seconds"] == candidate["seconds"] == 86_400
    assert recruiter["business_seconds"] == 7.5 * 3600
    assert candidate["business_seconds"] is None
