"""What one POST brings, turned into bodies for `ats.raw`: polled records, and facts that people report. Pure.

In: the bytes of the request and who sent it. Out: the bodies, one record each, or `Refused` naming the first that is wrong;
then nothing of the request is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson
from pydantic import Field, ValidationError

from schemas.base import Agreed, Instant
from schemas.fact import Json, manual_fact_id
from streams.access import Identity
from streams.connectors.payload import DEPTH, written
from streams.door import Refused
from streams.errors import InvalidPayload
from streams.period import YEARS

#: How far the caller's clock may be ahead of ours.
SKEW = timedelta(minutes=5)
MAX_ELEMENTS = 10_000  #: of one request
JSON_LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})

#: What would say who asked or approved: it comes from the bearer token, never from a body.
FROM_THE_TOKEN = frozenset(
    {"actor", "actor_role", "role", "identity", "requester", "requested_by", "approver", "approved_by", "decided_by"}
)
#: Kinds that not every role may report.
ROLES_OF_KIND: Mapping[str, frozenset[str]] = {
    "exception.approved": frozenset({"approver", "hiring_manager"}),
    "request.declined": frozenset({"talent_acquisition"}),
}
#: Without these attributes the kind means nothing.
ATTRIBUTES_OF_KIND: Mapping[str, tuple[str, ...]] = {
    "exception.requested": ("exception_id", "commitment", "from", "until", "reason_code"),
    "exception.approved": ("exception_id",),
    "request.declined": ("reason_code",),
}
SUBJECTS = ("requisition_id", "application_id", "candidate_id", "interview_id")


class Reported(Agreed):
    """The body of POST /facts: what happened, when, to what. Ids are `{account}/{native id}`."""

    kind: str
    occurred_at: Instant
    requisition_id: str | None = None
    application_id: str | None = None
    candidate_id: str | None = None
    interview_id: str | None = None
    person: str | None = None
    attributes: dict[str, Json] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FactDesk:
    """What is needed to judge a reported fact; `accounts` are those that ids may name."""

    tenant: str
    account: str  #: under which reported facts run
    accounts: Collection[str]
    kinds: Collection[str]

    def accept(self, body: bytes, who: Identity, now: datetime) -> list[tuple[str, bytes]]:
        """(fact_id, body) of each fact in a JSON object or array. Raises Refused: 422, or 403 for a role that may not."""
        whole = _parse(body)
        elements = whole if isinstance(whole, list) else [whole]
        _check_count(elements)
        bodies = [_written(element, number) for number, element in enumerate(elements)]
        return [
            (self._judge(element, number, who, now), bodies[number] if whole is elements else body)
            for number, element in enumerate(elements)
        ]

    def _judge(self, element: Json, index: int, who: Identity, now: datetime) -> str:
        fact = _reported(element, index)
        if fact.kind not in self.kinds:
            raise _bad(index, "this kind cannot be reported", f"one of: {', '.join(sorted(self.kinds))}")
        if who.role not in ROLES_OF_KIND.get(fact.kind, {who.role}):
            allowed = ", ".join(sorted(ROLES_OF_KIND[fact.kind]))
            raise Refused(403, f"element {index}: {who.role} may not report {fact.kind}", f"use a token with the role {allowed}")
        if fact.occurred_at > now + SKEW:
            raise _bad(index, "occurred_at is in the future", "report it when it has happened")
        missing = [name for name in ATTRIBUTES_OF_KIND.get(fact.kind, ()) if name not in fact.attributes]
        if missing:
            raise _bad(index, f"attributes lack {', '.join(missing)}", f"{fact.kind} needs them")
        if fact.kind == "exception.requested":
            _check_interval(fact.attributes, index)
        subjects = [getattr(fact, name) for name in SUBJECTS]
        if not any(subjects):
            raise _bad(index, "it names no subject", f"give one of {', '.join(SUBJECTS)}")
        self._check_ids([*subjects, fact.person], index)
        exception_id = fact.attributes.get("exception_id")
        return manual_fact_id(
            self.tenant, self.account, fact.kind, fact.occurred_at, [*subjects, fact.person], who.name, exception_id
        )

    def _check_ids(self, ids: Collection[str | None], index: int) -> None:
        for one in ids:
            account, slash, native = (one or "").partition("/")
            if one is not None and not (slash and native and account in self.accounts):
                mend = f"ids and persons are written account/native-id; accounts: {', '.join(sorted(self.accounts))}"
                raise _bad(index, "an id names no account", mend)


def account_of_subject(body: bytes) -> str:
    """The account of what an accepted fact is about: the fact has to meet the links of that account's objects."""
    said = orjson.loads(body)
    subject: str = next(said[name] for name in SUBJECTS if said.get(name))
    return subject.partition("/")[0]


def split_records(body: bytes, media: str | None, limit: int) -> list[bytes]:
    """The records of a JSON array, a single object or JSON lines, at most `limit` bytes each.

    A line and a single object keep their exact bytes; an array's elements are written anew. Raises Refused (422, 413).
    """
    if media in JSON_LINES:
        records = [line for line in (line.strip(b" \t\r") for line in body.split(b"\n")) if line]
        _check_count(records)
        for index, line in enumerate(records):
            _check_object(_parse(line, index), index)
    else:
        whole = _parse(body)
        elements = whole if isinstance(whole, list) else [whole]
        _check_count(elements)
        for index, element in enumerate(elements):
            _check_object(element, index)
        records = [_written(e, n) for n, e in enumerate(elements)] if whole is elements else [body.strip()]
    for index, record in enumerate(records):
        if len(record) > limit:
            raise _bad(index, "the record is too large", f"at most {limit} bytes each; nothing of the batch was kept")
    return records


def complete_until(text: str, now: datetime) -> datetime:
    """The instant up to which a poll has read everything. Raises Refused (422): no time of our age, or in the future."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None or instant.year not in YEARS:
        raise Refused(422, "complete_until is not an instant", "write 2026-05-04T09:00:00Z; a + in a query is written %2B")
    if instant > now + SKEW:
        raise Refused(422, "complete_until is in the future", "give the time at which the poll began")
    return instant


def _parse(body: bytes, index: int | None = None) -> Json:
    try:
        parsed: Json = orjson.loads(body)
    except orjson.JSONDecodeError:
        where = "the body" if index is None else f"element {index}"
        mend = "send a JSON object or array, or JSON lines with content type application/x-ndjson"
        raise Refused(422, f"{where} is not JSON", mend) from None
    return parsed


def _written(element: Json, index: int) -> bytes:
    try:
        return written(element)
    except InvalidPayload:
        raise _bad(index, "it is nested too deeply", f"at most {DEPTH} objects or lists in each other") from None


def _check_count(elements: Collection[object]) -> None:
    if len(elements) > MAX_ELEMENTS:
        raise Refused(413, "too many elements", f"at most {MAX_ELEMENTS} in one request")


def _check_object(element: Json, index: int) -> None:
    if not isinstance(element, dict):
        raise _bad(index, "it is not a JSON object", "one object for each record; nothing of the batch was kept")


def _check_interval(attributes: Mapping[str, Json], index: int) -> None:
    try:
        first, last = (datetime.fromisoformat(str(attributes[name])) for name in ("from", "until"))
        fine = None not in (first.tzinfo, last.tzinfo) and first < last
    except ValueError:
        fine = False
    if not fine:
        raise _bad(index, "from and until are no interval", "two ISO-8601 instants with a zone, from before until")


def _reported(element: Json, index: int) -> Reported:
    if not isinstance(element, dict):
        raise _bad(index, "it is not a JSON object", "one object for each fact")
    attributes = element.get("attributes")
    names = {*element, *(attributes if isinstance(attributes, dict) else ())}
    if claimed := sorted(names & FROM_THE_TOKEN):
        raise _bad(index, f"{', '.join(claimed)} cannot be given", "who asks or approves comes from the bearer token")
    try:
        return Reported.model_validate(element)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False, include_url=False)]
        raise _bad(index, "; ".join(faults), "docs/gateway.md shows a fact") from None


def _bad(index: int, error: str, mend: str) -> Refused:
    return Refused(422, f"element {index}: {error}", mend)
