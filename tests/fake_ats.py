"""Fakes of vendors' APIs as they are documented (or graded in docs/connectors.md): tokens, pages, limits, errors.

Each is an `httpx` handler over plain objects, so it answers whoever speaks HTTP to it. A wrong token is 401, an unknown path 404,
a page larger than the vendor allows 422, and every `limited`-th request 429 with Retry-After, as if somebody else used the quota.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import httpx

from streams.pollers.plan import Ask, Found

Answer = tuple[int, Any, dict[str, str]]


@dataclass
class Fake:
    """One account at a vendor. `route(path, query)` answers (status, body, headers)."""

    token: tuple[str, str]  #: header and its value
    limited: int = 7
    largest_page: int = 2  #: far below the vendor's, so that small tests have pages
    asked: list[str] = field(default_factory=list)
    refused: int = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.url.path}?{request.url.query.decode()}")
        if request.headers.get(self.token[0]) != self.token[1]:
            return httpx.Response(401, json={"error": "Unauthorized"})
        if request.method != "GET":
            return httpx.Response(405)
        if len(self.asked) % self.limited == 0:
            self.refused += 1
            return httpx.Response(429, headers={"Retry-After": "1"})
        status, body, headers = self.route(request.url.path, dict(request.url.params))
        return httpx.Response(status, json=body, headers=headers)

    def route(self, path: str, query: dict[str, str]) -> Answer:
        raise NotImplementedError

    @staticmethod
    def single(lists: dict[str, list[dict[str, Any]]], path: str) -> dict[str, Any] | None:
        """One object of a list, by its own path."""
        folder, _, native = path.rpartition("/")
        return next((one for one in lists.get(folder, ()) if str(one.get("id")) == native), None)

    def cut(self, limit: str | None) -> int | None:
        """The size of a page as asked for, capped as vendors do; None if it is none."""
        asked = int(limit) if limit and limit.isdigit() else 50
        return min(asked, self.largest_page) if 0 < asked <= 100 else None


@dataclass
class FakeWorkable(Fake):
    """SPI v3: `{name: [...], paging: {next}}`, the next page by `since_id`; filters by updated_after."""

    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  #: path -> objects
    offers: dict[str, dict[str, Any]] = field(default_factory=dict)  #: candidate -> offer

    def route(self, path: str, query: dict[str, str]) -> Answer:
        path = path.removeprefix("/spi/v3")
        if path.endswith("/offer"):
            native = path.split("/")[2]
            return 200, self.offers.get(native, {"candidate": {"id": native, "location": None}}), {}
        if path not in self.lists:
            return 404, {"error": "Not found"}, {}
        size = self.cut(query.get("limit"))
        if size is None:
            return 422, {"error": "limit"}, {}
        after, name = query.get("updated_after", ""), path.rpartition("/")[2]
        found = [one for one in self.lists[path] if one.get("updated_at", "9") >= after]
        ids = [one["id"] for one in found]
        start = ids.index(query["since_id"]) if "since_id" in query else 0
        page, rest = found[start : start + size], found[start + size :]
        kept = "&".join(f"{k}={v}" for k, v in query.items() if k != "since_id")
        link = {"next": f"https://elsewhere.invalid/any/path?{kept}&since_id={rest[0]['id']}"} if rest else {}
        return 200, {name: page, **({"paging": link} if rest else {})}, {}


@dataclass
class FakeSmartRecruiters(Fake):
    """Lists of `content`: candidates by nextPageId, all else by offset with totalFound; reviews are a list and no more."""

    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def route(self, path: str, query: dict[str, str]) -> Answer:
        if path not in self.lists:
            alone = self.single(self.lists, path)
            return (200, alone, {}) if alone else (404, {"message": "Not found"}, {})
        size = self.cut(query.get("limit"))
        if size is None:
            return 400, {"message": "limit"}, {}
        after, about = query.get("updatedAfter", ""), {k: query[k] for k in ("candidateId", "jobId") if k in query}
        found = [one for one in self.lists[path] if one.get("updatedOn", "9") >= after]
        found = [one for one in found if all(one.get(k, v) == v for k, v in about.items())]
        if path.endswith("/reviews"):
            return 200, found, {}
        start = int(query.get("pageId", "p0").removeprefix("p")) if path == "/candidates" else int(query.get("offset", "0"))
        page = found[start : start + size]
        more = path == "/candidates" and start + size < len(found)
        return 200, {"totalFound": len(found), "content": page, **({"nextPageId": f"p{start + size}"} if more else {})}, {}


@dataclass
class FakeMerge(Fake):
    """`{next, previous, results}` with a cursor; deleted records and whole relations only where they are asked for."""

    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    account_token: str = "linked"

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.headers.get("X-Account-Token") != self.account_token:
            return httpx.Response(403, json={"detail": "account"})
        return super().__call__(request)

    def route(self, path: str, query: dict[str, str]) -> Answer:
        path = path.removeprefix("/api/ats/v1")
        if path not in self.lists and (alone := self.single(self.lists, path)):
            return 200, self.flat(alone, query), {}
        if path not in self.lists:
            return 404, {"detail": "Not found."}, {}
        size = self.cut(query.get("page_size"))
        if size is None:
            return 400, {"page_size": ["Ensure this value is less than or equal to 100."]}, {}
        found = [one for one in self.lists[path] if one.get("modified_at", "9") >= query.get("modified_after", "")]
        if query.get("include_deleted_data") != "true":
            found = [one for one in found if not one.get("remote_was_deleted")]
        found = [self.flat(one, query) for one in found]
        start = int(query.get("cursor", "c0").removeprefix("c"))
        following = f"c{start + size}" if start + size < len(found) else None
        return 200, {"next": following, "previous": None, "results": found[start : start + size]}, {}

    @staticmethod
    def flat(one: dict[str, Any], query: dict[str, str]) -> dict[str, Any]:
        whole = query.get("expand", "").split(",")
        return {k: v["id"] if isinstance(v, dict) and k not in whole else v for k, v in one.items()}


def _on_site(posting: dict[str, Any], query: dict[str, str]) -> bool:
    """Whether a list of Lever's postings has this one."""
    channels = posting.get("distributionChannels") or ["public"]
    if channel := query.get("distributionChannel"):
        return posting["state"] == query.get("state", posting["state"]) and channel in channels
    return posting["state"] != "published" or "public" in channels


@dataclass
class FakeLever(Fake):
    """`{data, hasNext, next}` with an opaque offset; relations only where `expand` asks; confidential only where asked for.

    Postings that are published on the internal job site only are in the list of that site alone.
    """

    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def route(self, path: str, query: dict[str, str]) -> Answer:
        path = path.removeprefix("/v1")
        if path not in self.lists and (alone := self.single(self.lists, path)):
            return 200, {"data": alone}, {}
        if path not in self.lists:
            return 404, {"code": "ResourceNotFound", "message": "not found"}, {}
        size = self.cut(query.get("limit"))
        if size is None:
            return 400, {"code": "BadRequestError", "message": "limit"}, {}
        found = [one for one in self.lists[path] if one.get("updatedAt", 0) >= int(query.get("updated_at_start", "0"))]
        if query.get("confidentiality") != "all":
            found = [one for one in found if one.get("confidentiality") != "confidential"]
        if path == "/postings":
            found = [one for one in found if _on_site(one, query)]
        if path == "/opportunities" and "applications" not in query.get("expand", ""):
            found = [
                {**one, "applications": [a["id"] for a in one["applications"]]} if "applications" in one else one for one in found
            ]
        start = int(query.get("offset", "%5B0").removeprefix("%5B"))
        more = start + size < len(found)
        page = found[start : start + size]
        return 200, {"data": page, "hasNext": more, **({"next": f"%5B{start + size}"} if more else {})}, {}


@dataclass
class FakeAshby(Fake):
    """POSTs of JSON; `{success, results, moreDataAvailable, nextCursor}`, and errors as 200 with `success: false`."""

    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method != "POST":
            return httpx.Response(405)
        self.asked.append(f"{request.url.path} {request.content.decode()}")
        if request.headers.get(self.token[0]) != self.token[1]:
            return httpx.Response(401, json={"success": False, "errors": ["unauthorized"]})
        if len(self.asked) % self.limited == 0:
            self.refused += 1
            return httpx.Response(429, headers={"Retry-After": "1"})
        return httpx.Response(200, json=self.reply(request.url.path, json.loads(request.content)))

    def reply(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        size = self.cut(str(body.get("limit")))
        if path not in self.lists or size is None:
            return {"success": False, "errors": ["invalid_input"]}
        found = [
            one for one in self.lists[path] if one.get("applicationId") == body.get("applicationId", one.get("applicationId"))
        ]
        start = int(body.get("cursor", "c0").removeprefix("c"))
        more = start + size < len(found)
        page = found[start : start + size]
        return {
            "success": True,
            "results": page,
            "moreDataAvailable": more,
            **({"nextCursor": f"c{start + size}"} if more else {}),
        }


def drive(
    plan: Generator[Ask | Found, Any, None], fake: Callable[[httpx.Request], httpx.Response], base: str, headers: Any
) -> list[Found]:
    """Ask a fake what a plan asks, again where it says 429, and give the records. Raises httpx.HTTPStatusError."""
    found: list[Found] = []
    with httpx.Client(transport=httpx.MockTransport(fake), headers=headers) as client:
        answer: Any = None
        while True:
            try:
                step = plan.send(answer)
            except StopIteration:
                return found
            answer = None
            if isinstance(step, Found):
                found.append(step)
                continue
            asked = client.build_request(
                "GET" if step.json is None else "POST", base + step.path, params=dict(step.params) or None, json=step.json
            )
            response = client.send(asked)
            while response.status_code == 429:
                response = client.send(asked)
            answer = response.raise_for_status().json()
