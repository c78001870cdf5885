"""What every connector reads and writes with: a JSON object that names what is missing, and the maker of facts.

Vendors send ids as numbers or text, nulls, and fields under other names in another version of their API. `Node` takes all of
that and raises InvalidPayload with a reason and the field's path, never with a value, because the path goes to `ats.rejected`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import orjson

from schemas.fact import Fact, Origin, fact_id
from schemas.raw import RawHeaders
from streams.errors import InvalidPayload
from streams.period import YEARS
from streams.stages import UNMAPPED, StageMap

#: What an id may look like; anything else might be free text, and that must not get into a fact.
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
#: Longer is no stage's name, but text that slipped in.
STAGE_NAME_LENGTH = 120
#: How deep objects and lists may be in each other: what is deeper cannot be written again.
DEPTH = 254
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLIS_END = int(datetime(2200, 1, 1, tzinfo=UTC).timestamp()) * 1000


def parse(body: bytes) -> Node:
    """The body as a JSON object. Raises InvalidPayload: `not_utf8`, `not_json`, `not_an_object` or `nested_too_deep`."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as wrong:
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise InvalidPayload("not_utf8", f"byte {error.start}") from None
        raise InvalidPayload("not_json", f"line {wrong.lineno}, column {wrong.colno}: {wrong.msg}") from None
    if not isinstance(value, dict):
        raise InvalidPayload("not_an_object")
    if body.count(b"{") + body.count(b"[") > DEPTH:  # of few bodies
        written(value)
    return Node(value, "")


def written(value: object) -> bytes:
    """A value of JSON as JSON again. Raises InvalidPayload(`nested_too_deep`)."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        raise InvalidPayload("nested_too_deep", f"over {DEPTH} objects or lists in each other") from None


@dataclass(frozen=True, slots=True)
class Node:
    """One JSON object and its path in the body. Of several names the first that is there and not null counts."""

    value: Mapping[str, Any]
    path: str

    def _find(self, names: tuple[str, ...]) -> tuple[Any, str]:
        for name in names:
            found = self.value.get(name)
            if found is not None:
                return found, self.path_of(name)
        return None, self.path_of(" or ".join(names))

    def path_of(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def missing(self, *names: str) -> InvalidPayload:
        """The error for a field that must be there."""
        return InvalidPayload("missing_field", self.path_of(" or ".join(names)))

    def node(self, *names: str) -> Node | None:
        """An object, None where absent or null."""
        found, path = self._find(names)
        if found is None:
            return None
        if not isinstance(found, dict):
            raise InvalidPayload("not_an_object", path)
        return Node(found, path)

    def required_node(self, *names: str) -> Node:
        found = self.node(*names)
        if found is None:
            raise self.missing(*names)
        return found

    def items(self, *names: str) -> list[Any]:
        """A list, empty where absent or null."""
        found, path = self._find(names)
        if found is None:
            return []
        if not isinstance(found, list):
            raise InvalidPayload("not_a_list", path)
        return found

    def nodes(self, *names: str) -> Iterator[Node]:
        """The objects of a list; nulls in it are passed over."""
        _, path = self._find(names)
        for index, item in enumerate(self.items(*names)):
            if item is None:
                continue
            if not isinstance(item, dict):
                raise InvalidPayload("not_an_object", f"{path}[{index}]")
            yield Node(item, f"{path}[{index}]")

    def id(self, *names: str) -> str | None:
        """A native id as text, whether it came as a number or text; None where absent or null."""
        found, path = self._find(names)
        return None if found is None else native_id(found, path)

    def required_id(self, *names: str) -> str:
        found = self.id(*names)
        if found is None:
            raise self.missing(*names)
        return found

    def text(self, *names: str) -> str | None:
        """Non-empty text, None where absent, null or empty."""
        found, path = self._find(names)
        if found is None:
            return None
        if not isinstance(found, str):
            raise InvalidPayload("not_text", path)
        return found.strip() or None

    def word(self, known: frozenset[str], *names: str) -> str | None:
        """A word of the vendor's vocabulary in lower case; `other` for one that is not `known`, so that no free text passes."""
        found = self.text(*names)
        if found is None:
            return None
        word = found.casefold()
        return word if word in known else "other"

    def flag(self, *names: str) -> bool | None:
        found, path = self._find(names)
        if found is not None and not isinstance(found, bool):
            raise InvalidPayload("not_a_boolean", path)
        return found

    def instant(self, *names: str) -> datetime | None:
        """An ISO-8601 instant in UTC, None where absent or null. A time without a zone, or a bare date, is refused."""
        found, path = self._find(names)
        if found is None:
            return None
        try:
            moment = datetime.fromisoformat(found)
        except (TypeError, ValueError):
            raise InvalidPayload("not_a_time", path) from None
        if moment.tzinfo is None:
            raise InvalidPayload("time_without_zone", path)
        if moment.year not in YEARS:
            raise InvalidPayload("time_out_of_range", path)
        return moment.astimezone(UTC)

    def millis(self, *names: str) -> datetime | None:
        """An instant given as whole milliseconds since 1970 in UTC, None where absent or null."""
        found, path = self._find(names)
        if found is None:
            return None
        if not isinstance(found, int) or isinstance(found, bool):
            raise InvalidPayload("not_a_time", path)
        if not 0 <= found < MILLIS_END:
            raise InvalidPayload("time_out_of_range", path)
        return EPOCH + timedelta(milliseconds=found)

    def required_millis(self, *names: str) -> datetime:
        found = self.millis(*names)
        if found is None:
            raise self.missing(*names)
        return found

    def required_instant(self, *names: str) -> datetime:
        found = self.instant(*names)
        if found is None:
            raise self.missing(*names)
        return found

    def day(self, *names: str) -> date | None:
        """A date YYYY-MM-DD, None where absent or null."""
        found, path = self._find(names)
        if found is None:
            return None
        try:
            day = date.fromisoformat(found)
        except (TypeError, ValueError):
            raise InvalidPayload("not_a_date", path) from None
        if day.year not in YEARS:
            raise InvalidPayload("time_out_of_range", path)
        return day


def native_id(value: object, path: str) -> str:
    """An id as text. Raises InvalidPayload(`not_an_id`) for anything that is neither a whole number nor short and plain."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return str(value)
    if isinstance(value, str) and ID.fullmatch(value):
        return value
    raise InvalidPayload("not_an_id", path)


class When(NamedTuple):
    """When something happened, and how we know."""

    at: datetime
    origin: Origin
    not_before: datetime | None = None


def on_day(day: date, known_by: Iterable[datetime | None]) -> When | None:
    """A calendar day of an unknown place as what it is: some instant in it, between two bounds.

    The day begins first at UTC+14 and ends last at UTC-12. `known_by`: instants by which it must have happened (we had read
    of it, the offer was resolved); the earliest that is inside the bounds becomes the upper one. None if the day has not
    begun anywhere at the first of `known_by`.
    """
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    first, last = midnight - timedelta(hours=14), midnight + timedelta(hours=36)
    limits = [moment for moment in known_by if moment is not None]
    if limits and limits[0] < first:
        return None
    return When(min([last, *(moment for moment in limits if moment >= first)]), Origin.OBJECT, first)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a body came from; makes its facts."""

    raw: RawHeaders
    stages: StageMap

    @property
    def delivery(self) -> When:
        """Nothing better is known than when we received it."""
        return When(self.raw.received_at, Origin.DELIVERY)

    @property
    def noticed(self) -> When:
        """For state that has no time of its own: so now, and not yet when a poll last saw it different, if one did."""
        return self.noticed_after(None)

    def noticed_after(self, created_at: datetime | None) -> When:
        """The same for what cannot have been so before `created_at`, if that is known."""
        began = max((at for at in (created_at, self.raw.changed_since) if at is not None), default=None)
        return self.delivery if began is None else When(self.raw.received_at, Origin.POLL, min(began, self.raw.received_at))

    def stage(self, name: str, path: str, *broader: str) -> dict[str, object]:
        """The attributes of a stage by the vendor's name of it; `broader` names are tried where that one is unmapped.

        Raises InvalidPayload(`not_a_stage_name`) for what cannot be a name.
        """
        if len(name) > STAGE_NAME_LENGTH or not name.isprintable():
            raise InvalidPayload("not_a_stage_name", path)
        found = (self.stages.of(self.raw.account, one) for one in (name, *broader))
        return {"stage": next((stage for stage in found if stage != UNMAPPED), UNMAPPED), "stage_name": name}

    def when(self, moment: datetime | None) -> When:
        """The object's own time where there is one, else the delivery's."""
        return self.delivery if moment is None else When(moment, Origin.OBJECT)

    def ref(self, native: str | None) -> str | None:
        return None if native is None else f"{self.raw.account}/{native}"

    def refs(self, natives: Iterable[str]) -> tuple[str, ...]:
        return tuple(f"{self.raw.account}/{native}" for native in natives)

    def fact(
        self,
        kind: str,
        when: When,
        native: tuple[str, ...],
        *,
        occurrence: datetime | str | None = None,
        requisition: str | None = None,
        application: str | None = None,
        candidate: str | None = None,
        interview: str | None = None,
        person: str | None = None,
        actor: str | None = None,
        people: Mapping[str, tuple[str, ...]] | None = None,
        attributes: Mapping[str, object] | None = None,
    ) -> Fact:
        """A fact of this body. `native`, and `occurrence` (default: the time, to the second), make its id; ids are native."""
        raw = self.raw
        return Fact(
            fact_id=fact_id(raw.tenant, raw.account, kind, native, when.at if occurrence is None else occurrence),
            kind=kind,
            tenant=raw.tenant,
            account=raw.account,
            system=raw.system,
            occurred_at=when.at,
            occurred_at_source=when.origin,
            occurred_not_before=when.not_before,
            received_at=raw.received_at,
            requisition_id=self.ref(requisition),
            application_id=self.ref(application),
            candidate_id=self.ref(candidate),
            interview_id=self.ref(interview),
            person=self.ref(person),
            actor=self.ref(actor),
            people={role: self.refs(natives) for role, natives in (people or {}).items()},
            attributes={name: value for name, value in (attributes or {}).items() if value is not None},
            backfill=raw.backfill,
        )
