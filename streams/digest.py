"""The weekly digest of a team, to both its sides: goals missed, goals met, what is late now, one suggestion, thanks.

In: the ledger as of an instant. Out: one text a team, to the terminal or to the team's contact (else the company's). Goals are
judged over 90 days with n and a 95 % interval, because a week is too little to judge anybody by; thanks are for the week.
Percentages are rounded to whole ones, here only. A digest is sent once a week by whatever schedules `mutual-sla digest --send`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from rich.console import Console
from sqlalchemy import Connection, select

from schemas.outcome import Side
from streams import adherence, ledger
from streams.adherence import Counts
from streams.agreement import Agreement
from streams.contacts import Message, Post
from streams.ledger_database import connect, snapshot
from streams.ledger_tables import obligation
from streams.page import duration, holder_words
from streams.settings import Settings
from streams.snapshot import ROLLING, holders, in_force

WEEK = timedelta(days=7)
JUDGED = ROLLING["90d"]
LATE_SHOWN = 10

log = structlog.get_logger()

#: (side, commitment) -> counts, of one team
Cells = Mapping[tuple[str, str], Counts]


@dataclass(frozen=True, slots=True)
class Facts:
    """What one team's digest is made of."""

    judged: Cells  #: deadlines of the last 90 days
    week: Cells  #: deadlines of the last 7 days
    late: Sequence[Mapping[str, Any]]  #: overdue now, earliest deadline first
    ball: Mapping[str, str]  #: application -> who holds the ball now
    held: Mapping[str, float]  #: holder -> share of all applications' time
    lateness: Mapping[str, timedelta]  #: commitment -> median lateness of those done late


def run(settings: Settings, as_of: datetime, send: bool) -> None:
    """Print every team's digest, or send it. Raises InvalidConfiguration, SQLAlchemyError, Undelivered."""
    from streams.check import load_agreement

    agreement = load_agreement(settings.deploy_dir)
    engine = connect(settings.ledger)
    with snapshot(engine) as conn:
        found = gather(conn, as_of)
    engine.dispose()
    post = Post(settings)
    for team, facts in found.items():
        text = compose(agreement, team, facts, as_of)
        if not send:
            Console().print(text + "\n", markup=False, highlight=False, soft_wrap=True)
            continue
        known = agreement.people.teams.get(team)
        contacts = [known.digest] if known else []
        _, channel = post.send_first([*contacts, agreement.people.company.contact], _message(team, text, as_of))
        log.info("digest_sent", team=team, channel=channel)


def gather(conn: Connection, as_of: datetime) -> dict[str, Facts]:
    """The facts of each team that had something due in the last 90 days or has something late now, by team."""
    judged, week = (_by_team(ledger.adherence_counts(conn, as_of - length, as_of, as_of)) for length in (JUDGED, WEEK))
    o = obligation.c
    columns = (o.obligation_id, o.commitment, o.side, o.owner, o.team, o.application_id, o.requisition_id, o.deadline)
    query = select(*columns).where(o.verdict == "overdue").order_by(o.deadline, o.obligation_id)
    late: dict[str, list[Mapping[str, Any]]] = {}
    for row in conn.execute(query).mappings():
        late.setdefault(row["team"], []).append(dict(row))
    return {
        team: Facts(
            judged=judged.get(team, {}),
            week=week.get(team, {}),
            late=(of_team := late.get(team, [])),
            ball=holders(conn, [row["application_id"] for row in of_team[:LATE_SHOWN] if row["application_id"]]),
            held=_held(conn, team, as_of),
            lateness=_lateness(conn, team, as_of),
        )
        for team in sorted(judged.keys() | late.keys())
    }


def compose(agreement: Agreement, team: str, facts: Facts, as_of: datetime) -> str:
    """The digest of one team, ready to read."""
    known = agreement.people.teams.get(team)
    local = as_of.astimezone(ZoneInfo(agreement.policy.reporting_zone))
    parts = [f"{known.name if known else team}: how we kept our word to each other, week to {local:%a %d %b %Y}"]
    for title, lines in (
        ("Goals missed, by more than chance (90 days)", _goals(agreement, facts, as_of, met=False)),
        ("Goals met (90 days)", _goals(agreement, facts, as_of, met=True)),
        ("Late now, and who holds the ball", _late(agreement, facts, as_of)),
        ("One thing to try", _suggestion(agreement, facts, as_of)),
        ("Thanks", _thanks(facts)),
    ):
        parts.append("\n".join([title, *(f"  - {line}" for line in lines or ["none"])]))
    return "\n\n".join(parts)


def _goals(agreement: Agreement, facts: Facts, as_of: datetime, *, met: bool) -> list[str]:
    """The commitments whose goal was missed, or met, of both sides; what is in between is neither."""
    lines = []
    for side in Side:
        for commitment in in_force(agreement.policy, as_of).values():
            counts = facts.judged.get((side, commitment.name), Counts())
            found = adherence.standing(counts, commitment.objective, agreement.policy.minimum_for(commitment))
            if found == ("goal_met" if met else "course_correct"):
                lines.append(f"{holder_words(side)}: {_share(commitment.name, counts)}; the goal is {commitment.objective:.0%}")
    return lines


def _share(name: str, counts: Counts) -> str:
    interval = adherence.wilson(counts.met, counts.n)
    assert interval is not None and counts.adherence is not None
    low, high = interval
    return f"{name} kept {counts.met} of {counts.n} ({counts.adherence:.0%}, 95 % interval {low:.0%} to {high:.0%})"


def _late(agreement: Agreement, facts: Facts, as_of: datetime) -> list[str]:
    lines = []
    for row in facts.late[:LATE_SHOWN]:
        person = agreement.people.person(row["owner"])
        about = f"application {row['application_id']}" if row["application_id"] else f"requisition {row['requisition_id']}"
        late = f", {duration(as_of - row['deadline'])} late" if row["deadline"] else ""
        ball = facts.ball.get(row["application_id"] or "", row["side"])
        owner = person.name if person else row["owner"]
        lines.append(f"{row['commitment']}, {about}{late}: owed by {owner}, the ball is with {holder_words(ball)}")
    if len(facts.late) > LATE_SHOWN:
        lines.append(f"and {len(facts.late) - LATE_SHOWN} more")
    return lines


def _suggestion(agreement: Agreement, facts: Facts, as_of: datetime) -> list[str]:
    """Where most promises are late, and what the facts say about it; nothing where nothing was late."""
    agreed = in_force(agreement.policy, as_of)
    timed = {name for name, commitment in agreed.items() if commitment.quality is None}
    late = {(counts.missed + counts.overdue, key) for key, counts in facts.judged.items() if key[1] in timed}
    number, (side, name) = max(late, default=(0, ("", "")))
    if number == 0:
        return []
    counts = facts.judged[side, name]
    parts = [f"Start with {name}, which {holder_words(side)} owes: {number} of {counts.n} were late"]
    if name in facts.lateness:
        parts.append(f", half of those done late by more than {duration(facts.lateness[name])}")
    parts.append(f". The promise: {agreed[name].description or name}")
    if facts.held:
        holder, share = max(facts.held.items(), key=lambda item: (item[1], item[0]))
        parts.append(f" Of all the time applications took, {share:.0%} was with {holder_words(holder)}.")
    return ["".join(parts)]


def _thanks(facts: Facts) -> list[str]:
    """A side that kept everything that was due this week."""
    lines = []
    for side in Side:
        week = sum((counts for (of, _), counts in facts.week.items() if of == side), Counts())
        if 0 < week.n == week.met:
            kept = f"all {week.n} promises that were" if week.n > 1 else "the one promise that was"
            lines.append(f"{holder_words(side)} kept {kept} due this week")
    return lines


def _by_team(groups: Sequence[ledger.Group]) -> dict[str, dict[tuple[str, str], Counts]]:
    found: dict[str, dict[tuple[str, str], Counts]] = {}
    for group in groups:
        team, side, commitment = group.key
        found.setdefault(team, {})[side, commitment] = group.counts
    return found


def _held(conn: Connection, team: str, as_of: datetime) -> dict[str, float]:
    """The share of the applications' time each holder had the ball, among those who can act."""
    totals = {row["holder"]: row["seconds"] for row in ledger.holder_totals(conn, as_of, team)}
    counted = {holder: totals[holder] for holder in ("talent_acquisition", "hiring_manager", "candidate") if totals.get(holder)}
    whole = sum(counted.values())
    return {holder: seconds / whole for holder, seconds in counted.items()}


def _lateness(conn: Connection, team: str, as_of: datetime) -> dict[str, timedelta]:
    """By how much what was done late was late, the median of each commitment."""
    o = obligation.c
    query = select(o.commitment, o.deadline, o.ended_at).where(
        o.team == team, o.verdict == "missed", o.deadline >= as_of - JUDGED, o.deadline <= as_of, o.ended_at > o.deadline
    )
    found: dict[str, list[float]] = {}
    for commitment, deadline, ended in conn.execute(query):
        found.setdefault(commitment, []).append((ended - deadline).total_seconds())
    return {commitment: timedelta(seconds=median(lengths)) for commitment, lengths in found.items()}


def _message(team: str, text: str, as_of: datetime) -> Message:
    subject, _, body = text.partition("\n\n")
    week = as_of.isocalendar()
    return Message(
        subject=subject,
        text=body,
        key=hashlib.sha256(f"digest\x1f{team}\x1f{week.year}\x1f{week.week}".encode()).hexdigest()[:32],
        sent_at=as_of,
        data={"kind": "digest", "team": team},
    )
