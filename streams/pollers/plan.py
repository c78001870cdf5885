"""What a vendor's poll is made of: questions, answers and records, without a socket. A driver asks and keeps.

A plan is a generator: it yields `Ask` and is sent the answer's JSON, or yields `Found`, a record to be kept. So it is the same
however it is driven, and can be tested by hand. Paging is done here, limits, retries and tokens are the driver's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import orjson

from streams.errors import MutualSLAError


class UnexpectedAnswer(MutualSLAError):
    """The vendor answered something else than its documentation says; names the path and the field, never a value."""

    exit_code = 65


class Ask(NamedTuple):
    """A GET: the path below the account's base URL, and the query; a POST of `json` where that is given.

    The answer is the JSON; with `linked`, the pair of it and the query of the `Link` header's next page (None: the last).
    """

    path: str
    params: Mapping[str, str] = {}
    json: Mapping[str, Any] | None = None
    linked: bool = False


class Found(NamedTuple):
    """A record, as it goes to `ats.raw`."""

    record_type: str
    body: dict[str, Any]


Plan = Generator[Ask | Found, Any, None]


class Signal(NamedTuple):
    """What a webhook says is worth reading now, because it does not say more itself."""

    record_type: str
    about: str  #: tells it from other signals of the type: one that comes again while it waits is one
    plan: Callable[[datetime | None], Plan]  #: as a poll's, but of no more than what it is about


#: The path of a link that a vendor sent, below its API; raises where it leads elsewhere.
PathOf = Callable[[str], str]
#: The signals in a webhook: the vendor's telling headers, and the body.
Follow = Callable[[Mapping[str, str], Mapping[str, Any], PathOf], Iterator[Signal]]
Answers = Generator[Ask, Any, list[dict[str, Any]]]


def objects(answer: Any, path: str, *names: str) -> list[dict[str, Any]]:
    """The objects of a list in an answer, by the first name that is there. Raises UnexpectedAnswer if there is none."""
    found = next((answer[name] for name in names if isinstance(answer, dict) and name in answer), None)
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise UnexpectedAnswer(f"{path}: no list of objects {' or '.join(names)}")
    return found


def one(answer: Any, path: str) -> dict[str, Any]:
    """An answer that is one object. Raises UnexpectedAnswer if it is none with an id."""
    if not isinstance(answer, dict) or answer.get("id") is None:
        raise UnexpectedAnswer(f"{path}: no object with an id")
    return answer


def query_of(link: object, path: str) -> dict[str, str] | None:
    """The query of a link to the next page, None where there is none.

    Only its query is used, never its host or path: whatever a vendor (or somebody in its place) sends, we ask where we asked.
    """
    if link is None or link == "":
        return None
    if not isinstance(link, str):
        raise UnexpectedAnswer(f"{path}: the link to the next page is no text")
    return dict(parse_qsl(urlsplit(link).query))


def text(moment: datetime) -> str:
    """An instant as all of these vendors read it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def native(record: Mapping[str, Any], *names: str) -> str:
    """An id for a path, from the first of `names` that is there. Raises UnexpectedAnswer for what could lead elsewhere."""
    value = next((record[name] for name in names if record.get(name) is not None), None)
    found = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not found.replace("-", "").replace("_", "").isalnum() or not found.isascii():
        raise UnexpectedAnswer(f"{' or '.join(names)} is no id")
    return found


class Comparison(NamedTuple):
    """What of a record type counts as a change, and so what is remembered of each record."""

    key: str
    fields: tuple[str, ...]


class Compared(NamedTuple):
    """The compared fields of a record as they are, what they were before they last changed, and when they were last that."""

    fields: Mapping[str, Any]
    previous: Mapping[str, Any] | None = None
    since: datetime | None = None


def compared(found: Found, rule: Comparison, before: Compared | None, last_look: datetime | None) -> Compared:
    """What is now to be remembered of a record that was `before` at the `last_look`.

    A record whose other fields change keeps telling of the last change that counts: its facts then have the ids they had.
    """
    now = {name: _remembered(found.body.get(name)) for name in rule.fields}
    if before is None:
        return Compared(now)
    return before if dict(before.fields) == now else Compared(now, before.fields, last_look)


def _remembered(value: Any) -> Any:
    """No more than is needed to see a change: of an object its id, of a list that it is the same."""
    if isinstance(value, dict):
        return {"id": value.get("id")}
    if isinstance(value, list):
        return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
    return value


def drain(items: Iterable[dict[str, Any]], record_type: str) -> Iterator[Found]:
    """Each object as a record of this type."""
    return (Found(record_type, item) for item in items)
