"""History from a file: one canonical fact (channel `import` of `ats.raw`) to a Fact, and the reading of times people wrote.

A fact says what happened, when and to what; who it belongs to (tenant, account) and when we learned it come from the headers.
Nothing is guessed: a date without a time, a time without a zone or a date that could be two days is refused with its mend.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from schemas.fact import FACT_KINDS, Fact, Origin, fact_id
from schemas.raw import RawHeaders
from streams.connectors.payload import native_id, parse
from streams.errors import InvalidPayload
from streams.period import YEARS
from streams.stages import StageMap

SKEW = timedelta(minutes=5)  #: how far a file's clock may be ahead of ours
SUBJECTS = ("requisition_id", "application_id", "candidate_id", "interview_id")
#: Attributes that tell apart what else has the same kind, subject and second.
TELLING = ("scorecard_id", "offer_id", "exception_id", "stage_name", "stage")
FIELDS = frozenset(Fact.model_fields) - {"received_at", "backfill"}
IGNORED = ("type", "received_at", "backfill")  #: what `mutual-sla normalise` prints and the headers know better

EXAMPLE = "2026-05-04T09:00:00+02:00"
SLASHED = re.compile(r"\d{1,2}[/.]\d{1,2}[/.]\d{2,4}")
LONGEST_TEXT = 200  #: of an attribute: longer is prose, and prose may speak of a person


def moment(value: object, field: str, zone: ZoneInfo | None = None, pattern: str | None = None) -> datetime:
    """The instant somebody wrote down, in UTC; `pattern` as strptime takes it, `zone` for times that name none.

    Raises InvalidPayload with the field and the mend: a date without a time, a US or other slashed date, a time without a zone,
    a local time that happens twice or never (the two nights of daylight saving), a number.
    """
    if not isinstance(value, str):
        raise InvalidPayload("not_a_time", f"{field}: write text such as {EXAMPLE}")
    text = value.strip()
    try:
        found = datetime.strptime(text, pattern) if pattern else datetime.fromisoformat(text)  # noqa: DTZ007
    except ValueError:
        raise _unreadable(text, field, pattern) from None
    if pattern is None and _is_date(text):
        raise InvalidPayload("date_without_time", f"{field}: write the time and zone too, such as {EXAMPLE}")
    if found.tzinfo is None:
        if zone is None:
            raise InvalidPayload("time_without_zone", f"{field}: write {EXAMPLE}, or give `zone:` in the mapping")
        found = _local(found, zone, field)
    if found.year not in YEARS:
        raise InvalidPayload("time_out_of_range", field)
    return found.astimezone(UTC)


def _is_date(text: str) -> bool:
    """Whether ISO 8601 has a day here and no time of it: 2026-03-02, 20260302, 2026-W10-1."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _unreadable(text: str, field: str, pattern: str | None) -> InvalidPayload:
    if pattern is not None:
        return InvalidPayload("not_a_time", f"{field}: it is not written as `format: {pattern}` says")
    if SLASHED.match(text):
        return InvalidPayload(
            "ambiguous_date", f"{field}: is the month or the day first? write {EXAMPLE}, or give `format:` in the mapping"
        )
    return InvalidPayload("not_a_time", f"{field}: write {EXAMPLE}, or give `format:` in the mapping")


def _local(naive: datetime, zone: ZoneInfo, field: str) -> datetime:
    first, second = naive.replace(tzinfo=zone, fold=0), naive.replace(tzinfo=zone, fold=1)
    if first.utcoffset() != second.utcoffset():
        exists = first.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == naive
        what = "happens twice" if exists else "does not exist"
        raise InvalidPayload("unclear_local_time", f"{field}: this time {what} when the clocks change: write its offset")
    return first


def read(raw: RawHeaders, body: bytes, stages: StageMap) -> Fact:
    """The fact of one body of channel `import`. Raises InvalidPayload naming the field and, for people, the mend."""
    return fact_of(raw, dict(parse(body).value), stages)


def fact_of(raw: RawHeaders, said: dict[str, Any], stages: StageMap) -> Fact:
    """The same, of the parsed object. Ids need their account in front; a `fact_id` is kept, else it is made of what happened."""
    said = {name: value for name, value in said.items() if name not in IGNORED and value is not None}
    if foreign := sorted(set(said) - FIELDS):
        raise InvalidPayload("unknown_field", ", ".join(foreign[:5]))
    if said.get("kind") not in FACT_KINDS:
        raise InvalidPayload("unknown_kind", "kind: docs/import.md lists them")
    for name, mine in (("tenant", raw.tenant), ("account", raw.account)):
        if said.get(name, mine) != mine:
            raise InvalidPayload(f"another_{name}", f"{name}: this import is for {mine}")
    times = {"occurred_at": moment(said.get("occurred_at"), "occurred_at")}
    if "occurred_not_before" in said:
        times["occurred_not_before"] = moment(said["occurred_not_before"], "occurred_not_before")
    if times["occurred_at"] > raw.received_at + SKEW:
        raise InvalidPayload("in_the_future", "occurred_at: only what has happened is a fact")
    attributes = said.get("attributes", {})
    if not isinstance(attributes, dict):
        raise InvalidPayload("not_an_object", "attributes")
    _refuse_prose(attributes, "attributes")
    _check_refs(said, raw.account)
    subjects = [said.get(name) for name in SUBJECTS]
    if not any(subjects):
        raise InvalidPayload("missing_field", f"one of {', '.join(SUBJECTS)}")
    telling = [attributes.get(name) for name in TELLING]
    native = [str(one) if one is not None else "" for one in (*subjects, said.get("person"), *telling)]
    identity = fact_id(raw.tenant, raw.account, said["kind"], ["import", *native], times["occurred_at"])
    if "stage_name" in attributes and "stage" not in attributes:
        attributes = {**attributes, "stage": stages.of(raw.account, str(attributes["stage_name"]))}
    known = {"tenant": raw.tenant, "account": raw.account, "received_at": raw.received_at, "backfill": raw.backfill}
    defaults = {"fact_id": identity, "system": raw.system, "occurred_at_source": Origin.EVENT}
    try:
        return Fact.model_validate({**defaults, **said, **known, **times, "attributes": attributes})
    except ValidationError as error:
        raise InvalidPayload("invalid_fact", ", ".join(sorted({str(e["loc"][0]) for e in error.errors()}))) from None


def _check_refs(said: dict[str, Any], account: str) -> None:
    named = [(name, said[name]) for name in (*SUBJECTS, "person", "actor") if name in said]
    people = said.get("people", {})
    if not isinstance(people, dict) or not all(isinstance(refs, list | tuple) for refs in people.values()):
        raise InvalidPayload("not_an_object", "people: role -> list of people")
    named += [(f"people.{role}", ref) for role, refs in people.items() for ref in refs]
    for field, ref in named:
        prefix, slash, native = ref.partition("/") if isinstance(ref, str) else ("", "", "")
        if prefix != account or not slash:
            raise InvalidPayload("not_an_id", f"{field}: write {account}/native-id")
        native_id(native, field)


def _refuse_prose(value: object, path: str) -> None:
    """No free text in a fact: it could hold what a candidate wrote, or what was written of them."""
    if isinstance(value, str) and (len(value) > LONGEST_TEXT or "\n" in value):
        raise InvalidPayload("not_short_text", f"{path}: an attribute holds ids, words and numbers, no prose")
    for name, item in value.items() if isinstance(value, dict) else ():
        _refuse_prose(item, f"{path}.{name}")
    for item in value if isinstance(value, list) else ():
        _refuse_prose(item, path)
