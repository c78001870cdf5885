"""The ledger beside what the facts say: which rows differ, in what, and why. Reads the ledger, writes nothing.

Compared is what a row says, not its digest, for a row may have been altered; and not what moves with every tick (the running
totals of what has not ended), nor the facts behind a derived moment, as a digest leaves them out too. A row has to be what its
newest revision says as well. A row that knows of more than was recomputed is newer and not compared, unless it says to know of
more than there is. That an obligation no longer applies is what is left of one the facts do not give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from pydantic import ValidationError
from sqlalchemy import Connection, Text, cast, exists, select

from schemas.outcome import ApplicationState, Obligation, Verdict
from streams.difference import GONE, no_longer
from streams.ledger_finding import Cause, Difference, Place, Strays, place_of
from streams.ledger_rows import SAID, STATE, Row, as_revised, decoded, instants, newest_revision, not_as_revised, rows_of, stored
from streams.ledger_tables import application, holding, obligation, revision
from streams.receipt import Body, Said

VERSIONS = ("policy_version", "calendar_version", "people_version")
TOTALS = ("elapsed_us", "business_us")  #: of what has not ended they move with every tick
RUNNING = ("intervals", "arithmetic")  #: and so do these of its receipt
INSTANTS = instants(obligation, SAID)


@dataclass(frozen=True, slots=True)
class Given:
    """An obligation that the facts give. `row`: how the ledger should have it, to the byte; None of one that goes on."""

    said: Said
    row: list[Any] | None

    @classmethod
    def of(cls, said: Said, place: Place) -> Given:
        """To be made as soon as it is judged: a seventh less time than once a batch is."""
        body = said.body()
        if "ended_at" not in body:
            return cls(said, None)
        receipt = orjson.dumps(body["receipt"], option=orjson.OPT_UTC_Z).decode()
        return cls(said, [*map(body.get, SAID), place.partition, receipt])


def obligations(
    conn: Connection, place: Place, requisitions: Iterable[str], given: Iterable[Given], strays: Strays
) -> Iterator[Difference]:
    """Differences of all obligations of some requisitions, of which the facts give `given`."""
    rows = {one.said.subject: one for one in given}
    closer = dict(_to_look_at(conn, place, list(requisitions), rows))
    bodies = {key: one.said for key, one in rows.items()}
    for row in rows_of(conn, obligation, obligation.c.obligation_id, list(closer)):
        said = bodies.pop(row["obligation_id"], None)
        if place.is_newer(row):
            continue
        as_revised = closer[row["obligation_id"]]
        if said is not None:
            yield from _differs(row, said, place, as_revised=as_revised)
        elif _is_over(row):
            if not as_revised or place.is_beyond(row):
                yield _not_from_facts(conn, row, place, Cause.ALTERED)
        elif _is_at_home(row):
            yield _not_from_facts(conn, row, place)
        else:
            strays.astray.append(row["obligation_id"])
    if not bodies:
        return
    strays.claimed += bodies
    # a row whose requisition was altered is found by its id only
    for row in rows_of(conn, obligation, obligation.c.obligation_id, list(bodies)):
        yield from _differs(row, bodies.pop(row["obligation_id"]), place, as_revised=False)
    for key, said in bodies.items():
        body = said.body()
        subject = (key, place.partition, body["requisition_id"], body.get("application_id"))
        yield Difference(Cause.MISSING, *subject, by_facts=body["verdict"], body=body, fingerprint=said.fingerprint)


def _to_look_at(
    conn: Connection, place: Place, requisitions: Sequence[str], given: dict[str, Given]
) -> Iterator[tuple[str, bool]]:
    """Ids of rows that are not to the byte what an ended obligation says, and whether they are as they were revised last.

    The others are taken out of `given`.

    Nearly all of a ledger has ended and is as it was written.
    """
    o = obligation.c
    columns = (*(o[name] for name in SAID), o.source_partition, cast(o.receipt, Text), o.source_offset, as_revised())
    for *row, offset, as_it_was in stored(conn, select(*columns), o.requisition_id, requisitions):
        one = given.get(row[0])
        if one is not None and as_it_was and offset <= place.offset and decoded(row, INSTANTS) == one.row:
            del given[row[0]]
        else:
            yield row[0], bool(as_it_was)


def without_facts(
    conn: Connection,
    places: Mapping[int, Place],
    requisitions: Iterable[str],
    judged: Callable[[str, str], bool],
    strays: Strays,
) -> Iterator[Difference]:
    """What the ledger has of requisitions (all but `requisitions`) and applications of which there are no facts at all.

    `places`: of all partitions, not empty. `judged`: whether an application was judged under a requisition.
    """
    somewhere, claimed = next(iter(places.values())), set(strays.claimed)
    names = set(conn.execute(select(obligation.c.requisition_id).distinct()).scalars()) - set(requisitions)
    of_others = list(rows_of(conn, obligation, obligation.c.requisition_id, sorted(names)))
    altered = not_as_revised(conn, [row["obligation_id"] for row in of_others])
    for row in (*of_others, *rows_of(conn, obligation, obligation.c.obligation_id, strays.astray)):
        place = places.get(row["source_partition"], somewhere)
        if row["obligation_id"] in claimed or place.is_newer(row):
            continue
        if not _is_over(row):
            yield _not_from_facts(conn, row, place)
        elif row["obligation_id"] in altered or place.is_beyond(row):
            yield _not_from_facts(conn, row, place, Cause.ALTERED)
    yield from _without_row(conn, places, claimed)
    a = application.c
    pairs = conn.execute(select(a.application_id, a.requisition_id))
    unjudged = [key for key, requisition in pairs if not judged(key, requisition)]
    for row in rows_of(conn, application, a.application_id, unjudged):
        place = places.get(row["source_partition"], somewhere)
        if not place.is_newer(row):
            yield _application_not_from_facts(row, place)


def _without_row(conn: Connection, places: Mapping[int, Place], claimed: set[str]) -> Iterator[Difference]:
    """Revisions and holdings of what has no row, and is not given by facts either."""
    somewhere, r, h = next(iter(places.values())), revision.c, holding.c
    lost = select(r.obligation_id).distinct().where(~exists().where(obligation.c.obligation_id == r.obligation_id))
    for key in conn.execute(lost).scalars().all():
        row = newest_revision(conn, key)
        if key not in claimed and row is not None:
            yield _not_from_facts(conn, row, places.get(row["source_partition"], somewhere))
    lost = select(h.application_id).distinct().where(~exists().where(application.c.application_id == h.application_id))
    for key in conn.execute(lost).scalars().all():
        if key not in claimed:
            yield _holdings_not_from_facts(key, somewhere)


def _is_over(row: Row) -> bool:
    """Whether it says what is left of an obligation that facts do not give."""
    return bool(row["verdict"] == Verdict.CANCELLED and row["reason"] == "no longer applies")


def _is_at_home(row: Row) -> bool:
    """Whether it bears the requisition that its id has."""
    return f":{row['requisition_id']}:" in f"{row['obligation_id']}:"


def _differs(row: Row, said: Said, place: Place, *, as_revised: bool) -> Iterator[Difference]:
    body = said.body()
    fields = different(row, body)
    if row["source_partition"] != place.partition:
        fields = (*fields, "source_partition")
    if place.is_beyond(row):
        fields = (*fields, "source_offset")
    if not as_revised:
        fields = (*fields, "revision")
    if fields:
        cause = _cause(row, body, fields)
        subject = (said.subject, place.partition, body["requisition_id"], body.get("application_id"))
        verdicts = row["verdict"], body["verdict"]
        yield Difference(cause, *subject, fields, *verdicts, body, said.fingerprint, place_of(row))


def different(row: Row, body: Body) -> tuple[str, ...]:
    """The columns in which a row is not what `body` says, parts of the receipt as `receipt.<part>`."""
    running = "ended_at" not in body
    fields = [name for name in SAID if row[name] != body.get(name) and not (running and name in TOTALS)]
    told = orjson.loads(orjson.dumps(body["receipt"], option=orjson.OPT_UTC_Z))
    have = row["receipt"] if isinstance(row["receipt"], dict) else {}
    if have != told:
        for part in sorted(told.keys() | have.keys()):
            one, two = have.get(part), told.get(part)
            if one == two or (running and part in RUNNING) or (part == "facts" and _decisive(one) == _decisive(two)):
                continue
            fields.append(f"receipt.{part}")
    return tuple(fields)


def _decisive(facts: Any) -> list[Any]:
    return [fact for fact in facts or () if fact.get("role") != "because"]


def _cause(row: Row, body: Body, fields: tuple[str, ...]) -> Cause:
    if fields == ("source_partition",) or {"source_offset", "revision"} & set(fields) or _is_altered(row):
        return Cause.ALTERED
    if any(row["receipt"].get(name) != body["receipt"][name] for name in VERSIONS):
        return Cause.OTHER_AGREEMENT
    if fields == ("backfill",):
        return Cause.BACKFILL
    for cause, names in (
        (Cause.VERDICT, {"verdict"}),
        (Cause.DEADLINE, {"deadline", "due_soon_at"}),
        (Cause.INTERVALS, {"receipt.intervals", *TOTALS}),
    ):
        if names & set(fields):
            return cause
    return Cause.RECEIPT if any(name.startswith("receipt.") for name in fields) else Cause.OTHER


def _is_altered(row: Row) -> bool:
    said = _as_body(row)
    try:
        return said is None or said.digest != row["digest"]
    except TypeError:  # a number too large for the digest's JSON
        return True


def _as_body(row: Row) -> Obligation | None:
    """None of a row whose words cannot be read."""
    try:
        return Obligation.model_validate({**{name: row[name] for name in SAID}, "receipt": row["receipt"]})
    except (ValidationError, TypeError):
        return None


def _not_from_facts(conn: Connection, row: Row, place: Place, cause: Cause = Cause.NOT_FROM_FACTS) -> Difference:
    """It no longer applies, in its own words, or in those of its newest revision if its own were altered."""
    revised = newest_revision(conn, row["obligation_id"])
    said = _as_body(next((one for one in (row, revised) if one is not None and not _is_altered(one)), row))
    body: Body | None = None
    if said is not None:
        body = no_longer(said.model_dump_json(exclude_none=True)).model_dump(exclude_none=True)
    told = row if body is None else {"application_id": None, **body}
    subject = (row["obligation_id"], place.partition, told["requisition_id"], told["application_id"])
    told_of = {"in_ledger": row["verdict"], "body": body, "fingerprint": GONE, "instead_of": place_of(row)}
    return Difference(cause, *subject, **told_of)


def _application_not_from_facts(row: Row, place: Place) -> Difference:
    """Its body names the row that has to go: of an application the ledger has no history in which to say so."""
    body = ApplicationState(**{name: row[name] for name in STATE}, holdings=()).model_dump(exclude_none=True)
    subject = (row["application_id"], place.partition, row["requisition_id"], row["application_id"])
    told = {"in_ledger": row["state"], "body": body, "fingerprint": GONE, "instead_of": place_of(row)}
    return Difference(Cause.NOT_FROM_FACTS, *subject, **told)


def _holdings_not_from_facts(key: str, place: Place) -> Difference:
    """Of an application that has no row either; its body names it, and says nothing that is kept."""
    nothing = dict.fromkeys(("tenant", "requisition_id", "team", "state"), "")
    body = {
        "type": "application",
        "application_id": key,
        **nothing,
        "created_at": datetime.min.replace(tzinfo=UTC),
        "holdings": (),
    }
    subject = (key, place.partition, "", key)
    return Difference(Cause.NOT_FROM_FACTS, *subject, ("holdings",), body=body, fingerprint=GONE)
