"""Finance's commands: close a month, read it back with what was learned since, and what it looked like on an earlier day.

The figures are made in statement.py; here are the checks before a close, the ledger, and what is printed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from schemas.statement import Adjustment, Line, Row, Statement
from streams import closed_periods, drain, ledger, statement_files
from streams.agreement import Agreement
from streams.check import load_agreement
from streams.errors import MutualSLAError, PeriodClosed, Unreachable
from streams.ledger_database import snapshot, writing
from streams.period import Period
from streams.settings import Settings
from streams.statement import Known, adjusted, adjustments, build, disagreements
from streams.topics import NoBroker

DRAIN_SECONDS = 60.0  #: for what was accepted to come to the ledger
SHOWN = 20  #: undecided obligations listed by id before "and n more"


class NotClosable(MutualSLAError):
    """The month cannot be closed yet; every reason is listed."""

    exit_code = 65


class NotClosed(MutualSLAError):
    """No statement of that month is in the ledger."""

    exit_code = 65


def run(settings: Settings, period: str, out: Path | None, now: datetime, *, accept_unverified: bool = False) -> None:
    """Close `period` and write its folder under `out`. Closing it again with the same figures only writes the files again.

    What is in the topics now is waited for, a minute at most: a closed month stays as it is, and after an import the ticks come
    before its facts. Where there is no broker (the ledger may be all that is left) that is said, and the ledger's word is closed.

    A close that died before its files were there is made good by the next: what it closed is written then. Files of another close
    (the ledger is not the one that it was) are not written over: they may be the last copy.

    Raises NotClosable with all reasons at once, and PeriodClosed if it was closed with other figures.
    """
    agreement = load_agreement(settings.deploy_dir)
    folder = (out or settings.state_dir / "statements") / period
    month = Period.month(period, agreement.policy.reporting_zone)
    engine = ledger.open_ledger(settings.ledger)
    try:
        with snapshot(engine) as conn:
            was_closed = closed_periods.load(conn, month.name) is not None
        behind = [] if was_closed or now < month.end else _on_its_way(settings)

        def attempt() -> tuple[Statement, tuple[Line, ...], bool]:
            with writing(engine) as conn:
                found = close(conn, month, agreement, now, settings, accept_unverified=accept_unverified, behind=behind)
                _refuse_other_files(found[0], folder)
                return found

        try:
            said, lines, fresh = attempt()
        except IntegrityError:  # somebody else closed it meanwhile: now it is closed, with these figures or with others
            said, lines, fresh = attempt()
    except PeriodClosed:
        with snapshot(engine) as conn:
            closed = closed_periods.load(conn, month.name)
        if closed is not None and statement_files.content_of(folder) is None:
            statement_files.write(*closed[:2], folder)
            _say(f"{period}: the files of its close were not there; they are now, as it was closed, in {folder}")
        raise
    finally:
        engine.dispose()
    statement_files.write(said, lines, folder)
    word = "closed" if fresh else "was already closed with these figures; nothing changed"
    _say(f"{period} {word}: {said.control.obligations} obligations, content {said.content_sha256[:12]}, in {folder}")
    if unverified := said.control.verdicts["unverified"]:
        _say(f"{unverified} unverified obligations were accepted; they are in obligations.csv and count for nobody")


def _refuse_other_files(said: Statement, folder: Path) -> None:
    there = statement_files.content_of(folder)
    if there not in (None, said.content_sha256):
        raise NotClosable(
            f"{folder} has the files of another close (content {there[:12]}, this one {said.content_sha256[:12]}), perhaps of a "
            "ledger that is no more: keep them elsewhere, or give another folder with --out"
        )


def _on_its_way(settings: Settings) -> list[str]:
    """Where something that was accepted still is, if it does not come to the ledger."""
    try:
        drain.wait(settings, DRAIN_SECONDS)
    except NoBroker as error:
        _say(f"closing what the ledger knows, without asking whether more is on its way: {error}")
    except (drain.Undrained, Unreachable) as error:
        return [str(error)]
    return []


def close(
    conn: Connection,
    month: Period,
    agreement: Agreement,
    now: datetime,
    settings: Settings,
    *,
    accept_unverified: bool = False,
    behind: Sequence[str] = (),
) -> tuple[Statement, tuple[Line, ...], bool]:
    """The statement of `month`, stored; and whether it is new. In the caller's transaction. Raises as `run` does.

    `behind` says what the ledger does not know yet.
    """
    before = closed_periods.load(conn, month.name)
    if before is None:
        faults = [*behind, *(fault for check in CHECKS for fault in check(conn, month, now, settings))]
        faults += _undecided(conn, month, accept_unverified=accept_unverified)
        if faults:
            raise NotClosable("\n".join([f"{month.name} cannot be closed:", *faults]))
    listed = closed_periods.entries(conn, month)
    said, lines = build(listed, month, agreement.policy, agreement.people, _known(conn, month, agreement))
    if faults := disagreements(said, lines):
        raise NotClosable("\n".join([f"{month.name} does not reconcile:", *faults]))
    if before is not None:
        if before[0].content_sha256 != said.content_sha256:
            why = f"`mutual-sla report {month.name}` lists the adjustments"
            if before[1] == lines:
                why = "every line is as it was: what is made of them is made otherwise by this release, policy or people"
            raise PeriodClosed(
                f"{month.name} was closed with other figures (content {before[0].content_sha256[:12]}, now "
                f"{said.content_sha256[:12]}); it stays as it is. {why}"
            )
        return before[0], before[1], False
    closed_periods.store(conn, said, lines, {entry.obligation_id: entry.revision_no for entry in listed})
    return said, lines, True


def _known(conn: Connection, month: Period, agreement: Agreement) -> Known:
    ticks = [at for at in ledger.ticks(conn).values() if at is not None]
    return Known(
        until=min(ticks, default=month.end),
        without_deadline=closed_periods.without_deadline(conn, month),
        position={f"{topic}:{number}": offset for (topic, number), offset in sorted(ledger.positions(conn).items())},
        calendars_version=agreement.calendars.version,
    )


# -- checks: each returns its faults ---------------------------------------------------------------------------------


def _has_ended(_conn: Connection, month: Period, now: datetime, _settings: Settings) -> list[str]:
    return [f"the month ends {month.end.isoformat()}, and now it is {now.isoformat()}"] if now < month.end else []


def _has_been_read(conn: Connection, month: Period, _now: datetime, settings: Settings) -> list[str]:
    """Every partition's tick in the ledger is behind the month's end: what happened in it has gone through."""
    topic = settings.topic("sla.outcomes")
    ticks = ledger.ticks(conn)
    expected = {number for _, number in ledger.positions(conn, topic)} | set(ticks)
    faults = [] if expected else ["the ledger has never read anything: is the ledger writer running?"]
    for number in sorted(expected):
        tick = ticks.get(number)
        if tick is None:
            faults.append(f"partition {number} has not reported its time yet")
        elif tick < month.end:
            faults.append(f"partition {number} has come only to {tick.isoformat()}")
    return faults


CHECKS = (_has_ended, _has_been_read)


def _undecided(conn: Connection, month: Period, *, accept_unverified: bool) -> list[str]:
    rows = closed_periods.undecided(conn, month)
    faults: list[str] = []
    for verdict, meaning in (("open", "still open"), ("unverified", "unverified: their source was silent")):
        found = [row for row in rows if row["verdict"] == verdict]
        if not found or (verdict == "unverified" and accept_unverified):
            continue
        faults.append(f"{len(found)} obligations due in the month are {meaning}")
        faults += [f"  {row['obligation_id']}, due {row['deadline'].isoformat()}" for row in found[:SHOWN]]
        if len(found) > SHOWN:
            faults.append(f"  and {len(found) - SHOWN} more")
        if verdict == "unverified":
            faults.append("  let the source catch up, or close with --accept-unverified: they then count for nobody")
    return faults


# -- reading back ----------------------------------------------------------------------------------------------------


def report(settings: Settings, period: str, *, as_json: bool) -> None:
    """Print a closed month as it was said, and each adjustment since. Raises NotClosed."""
    agreement = load_agreement(settings.deploy_dir)
    engine = ledger.open_ledger(settings.ledger)
    try:
        with snapshot(engine) as conn:
            said, changes = reported(conn, Period.month(period, agreement.policy.reporting_zone), agreement)
    finally:
        engine.dispose()
    if as_json:
        _json(document(said, changes))
        return
    _table(f"{period}, closed at {said.known_until.isoformat()}, content {said.content_sha256[:12]}", said)
    if not changes:
        _say("no adjustments: nothing learned since changes a verdict, a month or a cell")
        return
    table = Table("line", "±", "department", "side", "commitment", "verdict", "learned", "cause", title="Adjustments")
    for one in changes:
        cell = (one.cell.department, one.cell.side, one.cell.commitment)
        table.add_row(one.line_id, f"{one.sign:+d}", *cell, one.verdict, f"{one.learned_at:%Y-%m-%d}", one.cause)
    Console().print(table)


def reported(conn: Connection, month: Period, agreement: Agreement) -> tuple[Statement, tuple[Adjustment, ...]]:
    """A closed month and what was learned since. Raises NotClosed."""
    found = closed_periods.load(conn, month.name)
    if found is None:
        raise NotClosed(f"{month.name} is not closed; `mutual-sla close {month.name}` closes it")
    said, lines, revisions = found
    inside = {
        entry.obligation_id: entry for entry in closed_periods.entries(conn, Period(said.period, said.zone, said.start, said.end))
    }
    now = {**closed_periods.current(conn, revisions.keys() - inside.keys()), **inside}
    changed = [key for key, entry in now.items() if revisions.get(key) != entry.revision_no]
    then = closed_periods.known_then(conn, changed, said.known_until, revisions)
    return said, adjustments(said, lines, then, now, agreement.people)


def document(said: Statement, changes: Sequence[Adjustment]) -> dict[str, Any]:
    """A statement with its adjustments, for programs; what finance may see."""
    public = said.model_dump(
        mode="json", exclude={"departments", "cells", "control"} if said.withheld else {"departments", "cells"}
    )
    totals = [
        {"cell": cell.model_dump(), **{name: getattr(counts, name) for name in counts.__slots__}, "n": counts.n}
        for cell, counts in adjusted(said, changes).items()
    ]
    return {"statement": public, "adjustments": [one.model_dump(mode="json") for one in changes], "adjusted": totals}


def as_of(settings: Settings, day: datetime, period: str | None, *, as_json: bool) -> None:
    """Print a month's figures as they were known at `day`, from the ledger's revisions. Nothing is stored."""
    agreement = load_agreement(settings.deploy_dir)
    zone = agreement.policy.reporting_zone
    month = Period.month(period, zone) if period else Period.of(day, zone)
    engine = ledger.open_ledger(settings.ledger)
    try:
        with snapshot(engine) as conn:
            said = as_known(conn, month, day, agreement)
    finally:
        engine.dispose()
    if as_json:
        _json(document(said, ()))
    else:
        _table(f"{month.name} as known at {day.isoformat()}", said)


def as_known(conn: Connection, month: Period, day: datetime, agreement: Agreement) -> Statement:
    """The month's statement as it would have been at `day`: deadlines up to then, and only what had been learned."""
    known = Known(until=day, calendars_version=agreement.calendars.version)
    return build(closed_periods.entries_as_of(conn, month, day), month, agreement.policy, agreement.people, known)[0]


def _table(title: str, said: Statement) -> None:
    if said.withheld:
        _say(f"{title}: {said.control.obligations} obligations of fewer than five people; no figures are shown")
        return
    # The files have a column for each verdict; this fits a terminal of 80 columns.
    table = Table(title=title, box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("department", "side", "commitment"):
        table.add_column(heading, overflow="fold")
    for heading in ("met", "n", "kept", "not counted", "median h", "p90 h"):
        table.add_column(heading, justify="right", no_wrap=heading != "not counted")
    for row in said.rows:
        table.add_row(*_columns(row))
    console = Console()
    console.print(table)
    index = Table("department", "talent acquisition", "hiring manager", "partnership index")
    for one in said.indices:
        index.add_row(one.department, *map(_figure, (one.talent_acquisition, one.hiring_manager, one.partnership_index)))
    console.print(index)


SHORT_SIDES = {"talent_acquisition": "TA", "hiring_manager": "manager"}


def _columns(row: Row) -> list[str]:
    cell = [row.cell.department, SHORT_SIDES.get(row.cell.side, row.cell.side), row.cell.commitment]
    not_counted = row.cancelled + row.excused + row.unverified
    figures = map(_figure, (row.met, row.n, row.adherence, not_counted, row.median_hours, row.p90_hours))
    return [*cell, *figures]


def _figure(value: object) -> str:
    return "–" if value is None else str(value)


def _json(value: object) -> None:
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode() + "\n")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
