"""The ledger beside what the facts say: which rows differ, in what, and why. Reads the ledger, writes nothing.

Compared is what a row says, not its digest, for a row may have been altered; and not what moves with every tick (the running
totals of what has not ended), nor the facts behind a derived moment, as a digest leaves them out too. A row that knows of more
than was recomputed is newer and not compared. That an obligation no longer applies is what is left of one the facts do not give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson
from pydantic import ValidationError
from sqlalchemy import Column, Connection, Select, Table, Text, cast, select

from schemas.outcome import ApplicationState, Obligation, Verdict
from streams.difference import GONE, no_longer
from streams.ledger_rows import HELD, SAID, STATE, Row, chunks, holdings_of, rows_of
from streams.ledger_tables import UtcInstant, application, holding, obligation
from streams.receipt import Body, Held, Said

VERSIONS = ("policy_version", "calendar_version", "people_version")
TOTALS = ("elapsed_us", "business_us")  #: of what has not ended they move with every tick
RUNNING = ("intervals", "arithmetic")  #: and so do these of its receipt


class Cause(StrEnum):
    """Why a row differs; of several the first that holds."""

    MISSING = "missing"
    NOT_FROM_FACTS = "not_from_facts"
    ALTERED = "altered"
    OTHER_AGREEMENT = "other_agreement"
    BACKFILL = "backfill"
    VERDICT = "verdict"
    DEADLINE = "deadline"
    INTERVALS = "intervals"
    RECEIPT = "receipt"
    OTHER = "other"
    TRACKER = "tracker"


WORDS: Mapping[Cause, str] = {
    Cause.MISSING: "the facts give it, the ledger does not have it",
    Cause.NOT_FROM_FACTS: "the ledger has it, the facts do not give it",
    Cause.ALTERED: "the row was altered: it is not what its own digest was taken of",
    Cause.OTHER_AGREEMENT: "judged under another version of the policy, calendars or people",
    Cause.BACKFILL: "only whether it was learned from history differs",
    Cause.VERDICT: "another verdict",
    Cause.DEADLINE: "the same verdict by another deadline",
    Cause.INTERVALS: "the same verdict by other intervals or totals",
    Cause.RECEIPT: "another receipt",
    Cause.OTHER: "other words",
    Cause.TRACKER: "the tracker's row lacks facts that the log has",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """One subject that differs; `body` is what should be said of it, None where nothing can."""

    cause: Cause
    subject: str
    partition: int
    requisition_id: str
    application_id: str | None
    fields: tuple[str, ...] = ()
    in_ledger: str | None = None  #: verdict or state
    by_facts: str | None = None
    body: Body | None = None
    fingerprint: str = ""  #: by which the tracker knows what it said


@dataclass(frozen=True, slots=True)
class Place:
    """How far was recomputed: records of `partition` up to and including `offset`."""

    partition: int
    offset: int

    def is_newer(self, row: Row) -> bool:
        return bool(row["source_partition"] == self.partition and row["source_offset"] > self.offset)


# -- obligations -----------------------------------------------------------------------------------------------------


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


def obligations(conn: Connection, place: Place, requisitions: Iterable[str], given: Iterable[Given]) -> Iterator[Difference]:
    """Differences of all obligations of some requisitions, of which the facts give `given`."""
    rows = {one.said.subject: one for one in given}
    closer = list(_to_look_at(conn, list(requisitions), rows))
    bodies = {key: one.said for key, one in rows.items()}
    for row in rows_of(conn, obligation, obligation.c.obligation_id, closer):
        said = bodies.pop(row["obligation_id"], None)
        if place.is_newer(row):
            continue
        if said is not None:
            yield from _differs(row, said, place)
        elif _is_left_over(row):
            yield _not_from_facts(row, place)
    if not bodies:
        return
    # a row whose requisition was altered is found by its id only
    for row in rows_of(conn, obligation, obligation.c.obligation_id, list(bodies)):
        yield from _differs(row, bodies.pop(row["obligation_id"]), place)
    for key, said in bodies.items():
        body = said.body()
        subject = (key, place.partition, body["requisition_id"], body.get("application_id"))
        yield Difference(Cause.MISSING, *subject, by_facts=body["verdict"], body=body, fingerprint=said.fingerprint)


def _to_look_at(conn: Connection, requisitions: Sequence[str], given: dict[str, Given]) -> Iterator[str]:
    """Ids of rows that are not to the byte what an ended obligation says; the others are taken out of `given`.

    Nearly all of a ledger has ended and is as it was written.
    """
    query = select(*(obligation.c[name] for name in SAID), obligation.c.source_partition, cast(obligation.c.receipt, Text))
    for row in _stored(conn, query, obligation.c.requisition_id, requisitions):
        one = given.get(row[0])
        if one is not None and _decoded(row, INSTANTS) == one.row:
            del given[row[0]]
        else:
            yield row[0]


def _stored(conn: Connection, query: Select[Any], key: Column[Any], ids: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Rows as the driver gives them: as SQLAlchemy's one costs more than to read it."""
    for some in chunks(ids):
        with conn.execute(query.where(key.in_(some))) as result:
            cursor: Any = result.cursor
            yield from cursor


def _decoded(row: Sequence[Any], instants: Sequence[int]) -> list[Any]:
    """The values of a row whose `instants` are the text that SQLite has of them, or instants already."""
    told = list(row)
    for number in instants:
        if isinstance(told[number], str):
            told[number] = datetime.fromisoformat(told[number])
    return told


def _instants(table: Table, names: Iterable[str]) -> tuple[int, ...]:
    return tuple(number for number, name in enumerate(names) if isinstance(table.c[name].type, UtcInstant))


INSTANTS = _instants(obligation, SAID)
INSTANTS_OF_STATE = _instants(application, STATE)
INSTANTS_OF_HELD = _instants(holding, HELD.values())


def without_facts(
    conn: Connection, places: Mapping[int, Place], requisitions: Iterable[str], judged: Callable[[str, str], bool]
) -> Iterator[Difference]:
    """What the ledger has of requisitions (all but `requisitions`) and applications of which there are no facts at all.

    `judged`: whether an application was judged under a requisition.
    """
    known = set(requisitions)
    names = conn.execute(select(obligation.c.requisition_id).distinct()).scalars()
    for row in rows_of(conn, obligation, obligation.c.requisition_id, sorted(set(names) - known)):
        place = places.get(row["source_partition"], Place(row["source_partition"], row["source_offset"]))
        if _is_left_over(row) and not place.is_newer(row):
            yield _not_from_facts(row, place)
    a = application.c
    pairs = conn.execute(select(a.application_id, a.requisition_id))
    unjudged = [key for key, requisition in pairs if not judged(key, requisition)]
    for row in rows_of(conn, application, a.application_id, unjudged):
        place = places.get(row["source_partition"], Place(row["source_partition"], row["source_offset"]))
        if not place.is_newer(row):
            yield _application_not_from_facts(row, place)


def _is_left_over(row: Row) -> bool:
    """Whether the facts should give it; one whose requisition was altered is dealt with where it belongs."""
    ended = row["verdict"] == Verdict.CANCELLED and row["reason"] == "no longer applies"
    return not ended and f":{row['requisition_id']}:" in f"{row['obligation_id']}:"


def _differs(row: Row, said: Said, place: Place) -> Iterator[Difference]:
    body = said.body()
    fields = different(row, body)
    if row["source_partition"] != place.partition:
        fields = (*fields, "source_partition")
    if fields:
        cause = _cause(row, body, fields)
        subject = (said.subject, place.partition, body["requisition_id"], body.get("application_id"))
        yield Difference(cause, *subject, fields, row["verdict"], body["verdict"], body, said.fingerprint)


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
    if fields == ("source_partition",) or _is_altered(row):
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
    try:
        return bool(_as_body(row).digest != row["digest"])
    except (ValidationError, TypeError):
        return True


def _as_body(row: Row) -> Obligation:
    return Obligation.model_validate({**{name: row[name] for name in SAID}, "receipt": row["receipt"]})


def _not_from_facts(row: Row, place: Place) -> Difference:
    try:
        body: Body | None = no_longer(_as_body(row).model_dump_json(exclude_none=True)).model_dump(exclude_none=True)
    except (ValidationError, TypeError, KeyError):
        body = None  # not even its own words can be read
    subject = (row["obligation_id"], place.partition, row["requisition_id"], row["application_id"])
    return Difference(Cause.NOT_FROM_FACTS, *subject, in_ledger=row["verdict"], body=body, fingerprint=GONE)


def _application_not_from_facts(row: Row, place: Place) -> Difference:
    """Its body names the row that has to go: of an application the ledger has no history in which to say so."""
    body = ApplicationState(**{name: row[name] for name in STATE}, holdings=()).model_dump(exclude_none=True)
    subject = (row["application_id"], place.partition, row["requisition_id"], row["application_id"])
    return Difference(Cause.NOT_FROM_FACTS, *subject, in_ledger=row["state"], body=body, fingerprint=GONE)


# -- applications ----------------------------------------------------------------------------------------------------


def applications(conn: Connection, place: Place, given: Iterable[Held]) -> Iterator[tuple[Difference, str | None]]:
    """Differences of applications, each with the other requisition that its row is about, if it is.

    An application that moved is told by both of its requisitions, and the row is what was told last: whether the other tells
    of it only who knows all partitions can say.
    """
    bodies = {state.subject: state for state in given}
    _leave_out_what_is_as_stored(conn, place, bodies)
    ids = list(bodies)
    held = holdings_of(conn, ids)
    for row in rows_of(conn, application, application.c.application_id, ids):
        state = bodies.pop(row["application_id"])
        if place.is_newer(row):
            continue
        body = state.body()
        fields = _state_differs(row, held.get(state.subject, []), body)
        if row["source_partition"] != place.partition:
            fields = (*fields, "source_partition")
        if fields:
            subject = (state.subject, place.partition, body["requisition_id"], state.subject)
            other = row["requisition_id"] if row["requisition_id"] != body["requisition_id"] else None
            cause = _state_cause(row, held.get(state.subject, []), fields)
            yield Difference(cause, *subject, fields, row["state"], body["state"], body, state.fingerprint), other
    for key, state in bodies.items():
        body = state.body()
        subject = (key, place.partition, body["requisition_id"], key)
        missing = Difference(Cause.MISSING, *subject, by_facts=body["state"], body=body, fingerprint=state.fingerprint)
        yield missing, None


def _leave_out_what_is_as_stored(conn: Connection, place: Place, bodies: dict[str, Held]) -> None:
    """Nearly all applications are in the ledger as they are said; these are taken out of `bodies`."""
    ids, h = list(bodies), holding.c
    holdings = select(*(h[column] for column in HELD.values()), h.application_id).order_by(h.application_id, h.seq)
    held: dict[str, list[list[Any]]] = {}
    for row in _stored(conn, holdings, h.application_id, ids):
        *told, key = _decoded(row, INSTANTS_OF_HELD)
        held.setdefault(key, []).append(told)
    states = select(*(application.c[name] for name in STATE), application.c.source_partition)
    for row in _stored(conn, states, application.c.application_id, ids):
        key = row[STATE.index("application_id")]
        body = bodies[key].body()
        same = _decoded(row, INSTANTS_OF_STATE) == [*map(body.get, STATE), place.partition]
        if same and held.get(key, []) == [[*map(one.get, HELD)] for one in body["holdings"]]:
            del bodies[key]


def _state_differs(row: Row, held: list[Row], body: Body) -> tuple[str, ...]:
    fields = [name for name in STATE if row[name] != body.get(name)]
    have = [tuple(one[column] for column in HELD.values()) for one in held]
    if have != [tuple(one.get(name) for name in HELD) for one in body["holdings"]]:
        fields.append("holdings")
    return tuple(fields)


def _state_cause(row: Row, held: list[Row], fields: tuple[str, ...]) -> Cause:
    told = [{name: one[column] for name, column in HELD.items()} for one in held]
    try:
        said = {name: row[name] for name in STATE}
        altered = ApplicationState.model_validate({**said, "holdings": told}).digest != row["digest"]
    except ValidationError:
        altered = True
    if altered:
        return Cause.ALTERED
    return Cause.INTERVALS if fields == ("holdings",) else Cause.OTHER if "state" not in fields else Cause.VERDICT
