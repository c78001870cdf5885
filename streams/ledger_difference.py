"""The ledger beside what the facts say: which rows differ, in what, and why. Reads the ledger, writes nothing.

Compared is what a row says, not its digest, for a row may have been altered; and not what moves with every tick (the running
totals of what has not ended), nor the facts behind a derived moment, as a digest leaves them out too. A row has to be what its
newest revision says as well. A row that knows of more than was recomputed is newer and not compared, unless it says to know of
more than there is. That an obligation no longer applies is what is left of one the facts do not give.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson
from pydantic import ValidationError
from sqlalchemy import Column, Connection, Select, Table, Text, cast, exists, select

from schemas.outcome import ApplicationState, Obligation, Verdict
from streams.difference import GONE, no_longer
from streams.ledger_rows import HELD, SAID, STATE, Row, as_revised, chunks, holdings_of, newest_revision, not_as_revised, rows_of
from streams.ledger_tables import UtcInstant, application, holding, obligation, revision
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
    Cause.ALTERED: "the row was altered: it is not what its own digest was taken of, or what its newest revision says",
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
    instead_of: tuple[int, int] | None = None  #: partition and offset that the row has, as it has them


@dataclass(frozen=True, slots=True)
class Place:
    """How far was recomputed: records of `partition` up to and including `offset`.

    `is_there`: whether the partition has a record of that offset by now; to be asked when the row was read, and not before.
    """

    partition: int
    offset: int
    is_there: Callable[[int], bool] = lambda offset: True

    def is_newer(self, row: Row) -> bool:
        return self._is_further(row) and self.is_there(row["source_offset"])

    def is_beyond(self, row: Row) -> bool:
        """Whether it says to know of what nobody has told yet: then it was altered, and would refuse all news."""
        return self._is_further(row) and not self.is_there(row["source_offset"])

    def _is_further(self, row: Row) -> bool:
        return bool(row["source_partition"] == self.partition and row["source_offset"] > self.offset)


@dataclass(slots=True)
class Strays:
    """What only who knows all partitions can tell: whose a row is that bears another requisition than its id has."""

    astray: list[str] = field(default_factory=list)  #: ids of such rows, where the facts of the requisition do not give them
    claimed: list[str] = field(default_factory=list)  #: what facts give that was not found under its requisition, or not at all


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
    for *row, offset, as_it_was in _stored(conn, select(*columns), o.requisition_id, requisitions):
        one = given.get(row[0])
        if one is not None and as_it_was and offset <= place.offset and _decoded(row, INSTANTS) == one.row:
            del given[row[0]]
        else:
            yield row[0], bool(as_it_was)


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


def _place_of(row: Row) -> tuple[int, int]:
    return row["source_partition"], row["source_offset"]


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
        verdicts, place_of = (row["verdict"], body["verdict"]), _place_of(row)
        yield Difference(cause, *subject, fields, *verdicts, body, said.fingerprint, place_of)


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
    try:
        return bool(_as_body(row).digest != row["digest"])
    except (ValidationError, TypeError):
        return True


def _as_body(row: Row) -> Obligation:
    return Obligation.model_validate({**{name: row[name] for name in SAID}, "receipt": row["receipt"]})


def _not_from_facts(conn: Connection, row: Row, place: Place, cause: Cause = Cause.NOT_FROM_FACTS) -> Difference:
    """It no longer applies, in its own words, or in those of its newest revision if its own were altered."""
    revised = newest_revision(conn, row["obligation_id"])
    words = [one for one in (row, revised) if one is not None and not _is_altered(one)]
    words += [row] if not words and _is_readable(row) else []
    body: Body | None = None  # not even its own words can be read
    if words:
        body = no_longer(_as_body(words[0]).model_dump_json(exclude_none=True)).model_dump(exclude_none=True)
    told = row if body is None else {"application_id": None, **body}
    subject = (row["obligation_id"], place.partition, told["requisition_id"], told["application_id"])
    told_of = {"in_ledger": row["verdict"], "body": body, "fingerprint": GONE, "instead_of": _place_of(row)}
    return Difference(cause, *subject, **told_of)


def _is_readable(row: Row) -> bool:
    try:
        _as_body(row)
    except (ValidationError, TypeError):
        return False
    return True


def _application_not_from_facts(row: Row, place: Place) -> Difference:
    """Its body names the row that has to go: of an application the ledger has no history in which to say so."""
    body = ApplicationState(**{name: row[name] for name in STATE}, holdings=()).model_dump(exclude_none=True)
    subject = (row["application_id"], place.partition, row["requisition_id"], row["application_id"])
    told = {"in_ledger": row["state"], "body": body, "fingerprint": GONE, "instead_of": _place_of(row)}
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


# -- applications ----------------------------------------------------------------------------------------------------


def applications(
    conn: Connection, place: Place, given: Iterable[Held], strays: Strays
) -> Iterator[tuple[Difference, str | None]]:
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
        if place.is_beyond(row):
            fields = (*fields, "source_offset")
        if fields:
            subject = (state.subject, place.partition, body["requisition_id"], state.subject)
            other = row["requisition_id"] if row["requisition_id"] != body["requisition_id"] else None
            cause = _state_cause(row, held.get(state.subject, []), fields)
            states, place_of = (row["state"], body["state"]), _place_of(row)
            yield Difference(cause, *subject, fields, *states, body, state.fingerprint, place_of), other
    strays.claimed += bodies
    for key, state in bodies.items():
        body = state.body()
        subject = (key, place.partition, body["requisition_id"], key)
        missing = Difference(Cause.MISSING, *subject, by_facts=body["state"], body=body, fingerprint=state.fingerprint)
        yield missing, None


def _leave_out_what_is_as_stored(conn: Connection, place: Place, bodies: dict[str, Held]) -> None:
    """Nearly all applications are in the ledger as they are said; these are taken out of `bodies`."""
    ids, h = list(bodies), holding.c
    holdings = select(*(h[column] for column in HELD.values()), h.seq, h.application_id).order_by(h.application_id, h.seq)
    held: dict[str, list[list[Any]]] = {}
    for row in _stored(conn, holdings, h.application_id, ids):
        *told, key = _decoded(row, INSTANTS_OF_HELD)
        held.setdefault(key, []).append(told)
    a = application.c
    states = select(*(a[name] for name in STATE), a.source_partition, a.digest, a.source_offset)
    for *said, offset in _stored(conn, states, a.application_id, ids):
        key = said[STATE.index("application_id")]
        body = bodies[key].body()
        wanted = [*map(body.get, STATE), place.partition, digest_of_state(body)]
        same = offset <= place.offset and _decoded(said, INSTANTS_OF_STATE) == wanted
        if same and held.get(key, []) == [[*map(one.get, HELD), seq] for seq, one in enumerate(body["holdings"])]:
            del bodies[key]


NOTHING_HELD = {"end": None, "person": None}
NOTHING_SAID = dict.fromkeys(("ended_at", "requisition_opened_at", "accepted_at"))


def digest_of_state(body: Body) -> str:
    """`ApplicationState.digest` of a body, without making the model: in a tenth of the time."""
    told = {**NOTHING_SAID, **body, "holdings": [{**NOTHING_HELD, **one} for one in body["holdings"]]}
    return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z)).hexdigest()[:16]


def _state_differs(row: Row, held: list[Row], body: Body) -> tuple[str, ...]:
    fields = [name for name in STATE if row[name] != body.get(name)]
    have = [(*(one[column] for column in HELD.values()), one["seq"]) for one in held]
    if have != [(*(one.get(name) for name in HELD), seq) for seq, one in enumerate(body["holdings"])]:
        fields.append("holdings")
    if not fields and row["digest"] != digest_of_state(body):
        fields.append("digest")
    return tuple(fields)


def _state_cause(row: Row, held: list[Row], fields: tuple[str, ...]) -> Cause:
    told = [{name: one[column] for name, column in HELD.items()} for one in held]
    try:
        said = {name: row[name] for name in STATE}
        altered = ApplicationState.model_validate({**said, "holdings": told}).digest != row["digest"]
    except ValidationError:
        altered = True
    if altered or "source_offset" in fields:
        return Cause.ALTERED
    return Cause.INTERVALS if fields == ("holdings",) else Cause.OTHER if "state" not in fields else Cause.VERDICT
