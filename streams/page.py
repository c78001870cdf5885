"""What a page says: rows of the ledger to words for the one who owes. Pure but for the zone database.

Times are in the debtor's zone, from the receipt; durations are wall-clock, cut to minutes (the ledger keeps microseconds).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from schemas.policy import Commitment
from streams.contacts import Message

SHOWN = 20  #: obligations told one by one in a message

OVERDUE_NOW = "overdue now"  #: the ending of a due-soon page that an overdue page takes over

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Words:
    """What is needed beside the ledger: the promises by name, and where receipts are read."""

    commitments: Mapping[str, Commitment]
    api_url: str


def late_page(
    words: Words, owner: str, state: str, rows: Sequence[Row], others: int, holders: Mapping[str, str], now: datetime
) -> Message:
    """The page about `rows`, newly overdue or due soon; `others` more were paged before and still are."""
    kind = "overdue" if state == "overdue" else "due soon"
    lines = [_late(words, row, holders, now) for row in rows[:SHOWN]]
    if len(rows) > SHOWN:
        lines.append(f"... and {len(rows) - SHOWN} more.")
    if others:
        lines.append(f"{others} more that you were told of before {'is' if others == 1 else 'are'} still {kind}.")
    return _message(f"{len(rows)} {kind}: {_names(rows)}", lines, ("page", owner, state), rows, now)


def ended_page(words: Words, owner: str, state: str, rows: Sequence[Row], endings: Mapping[str, str], now: datetime) -> Message:
    """Why pages ended, each with its ending."""
    lines = [f"{_subject(row)}: {endings[row['obligation_id']]}. {_receipt(words, row)}" for row in rows[:SHOWN]]
    if len(rows) > SHOWN:
        lines.append(f"... and {len(rows) - SHOWN} more.")
    kind = "overdue" if state == "overdue" else "due soon"
    return _message(f"No longer {kind}: {_names(rows)}", lines, ("ended", owner, state), rows, now)


def ending(row: Row | None, owner: str) -> str:
    """Why an obligation is not `owner`'s late one any more, in words; None is one that the ledger does not have any more."""
    if row is None:
        return "no longer applies"
    if row["owner"] != owner and row["verdict"] in ("open", "overdue"):
        return f"owed by {row['owner']} now"
    at = f" at {local(row, row['ended_at'])}" if row["ended_at"] else ""
    match row["verdict"]:
        case "met":
            return f"kept in time{at}, thank you"
        case "missed":
            late = f", {duration(row['ended_at'] - row['deadline'])} late" if row["ended_at"] and row["deadline"] else ""
            return f"done{at}{late}" if row["ended_at"] else f"closed as missed ({row['reason']})"
        case "cancelled":
            return f"cancelled{at} ({row['reason']}), charged to nobody"
        case "excused":
            return f"excused by an approved exception ({row['reason']})"
        case "unverified":
            return "not judged: the source has not told everything up to the deadline"
        case "overdue":
            return OVERDUE_NOW
        case _:
            return f"due later now, {local(row, row['deadline'])}" if row["deadline"] else "its clock stands still"


def local(row: Row, at: datetime) -> str:
    """An instant in the debtor's zone, such as `Tue 24 Nov 2026 16:00 CET`."""
    return f"{at.astimezone(ZoneInfo(row['receipt']['zone'])):%a %d %b %Y %H:%M %Z}"


def duration(length: timedelta) -> str:
    """Such as `2 d 3 h` or `12 min`; the two largest units, cut."""
    minutes = int(length.total_seconds() // 60)
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts = [f"{number} {unit}" for number, unit in ((days, "d"), (hours, "h"), (rest, "min")) if number]
    return " ".join(parts[:2]) or "less than a minute"


def holder_words(holder: str) -> str:
    """A side or holder as people say it."""
    said = {"talent_acquisition": "Talent Acquisition", "nobody": "nobody", "paused": "nobody (paused)"}
    return said.get(holder, "the " + holder.replace("_", " "))


def _late(words: Words, row: Row, holders: Mapping[str, str], now: datetime) -> str:
    deadline = row["deadline"]
    when = ""
    if deadline is not None:
        distance = f"{duration(now - deadline)} late" if deadline <= now else f"in {duration(deadline - now)}"
        when = f", due {local(row, deadline)} ({distance})"
    holder = holders.get(row["application_id"] or "", row["side"])
    return (
        f"{_subject(row)}{when}. The ball is with {holder_words(holder)}. "
        f"{_remedy(words, row['commitment'])} {_receipt(words, row)}"
    )


def _subject(row: Row) -> str:
    about = f"application {row['application_id']}, " if row["application_id"] else ""
    return f"{row['commitment']} ({about}requisition {row['requisition_id']})"


def _remedy(words: Words, name: str) -> str:
    commitment = words.commitments.get(name)
    if commitment is None:
        return "This promise is no longer in the policy."
    kinds = dict.fromkeys(condition.kind.replace(".", " ").replace("_", " ") for condition in commitment.stop)
    return f"{commitment.description} It is done once the ATS shows: {' or '.join(kinds)}."


def _receipt(words: Words, row: Row) -> str:
    return f"Why: {words.api_url}/v1/obligations/{quote(row['obligation_id'], safe='/:')}"


def _names(rows: Iterable[Row]) -> str:
    return ", ".join(sorted({row["commitment"] for row in rows}))


def _message(subject: str, lines: Sequence[str], about: tuple[str, str, str], rows: Sequence[Row], now: datetime) -> Message:
    kind, owner, state = about
    told = "\x1f".join([*about, *sorted(f"{row['obligation_id']}@{row['deadline']}" for row in rows)])
    obligations = [
        {
            "obligation_id": row["obligation_id"],
            "commitment": row["commitment"],
            "verdict": row["verdict"],
            "deadline": row["deadline"].isoformat() if row["deadline"] else None,
        }
        for row in rows
    ]
    return Message(
        subject=subject,
        text="\n\n".join(lines),
        key=hashlib.sha256(told.encode()).hexdigest()[:32],
        sent_at=now,
        data={"kind": kind, "owner": owner, "state": state, "obligations": obligations},
    )
