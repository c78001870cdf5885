"""Teamtailor, a company's own webhooks: signed in the body, over the bytes of the payload. It has no feedback and no poller."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import orjson

from tests.every_fixture import Signed, digest
from tests.weeks.week import APPLIED, STAGES, Week, z


@dataclass
class Teamtailor(Week):
    system = "teamtailor"
    kept = ("review_candidate",)
    ids = ("J1", "a1", "-")

    def sign(self, body: Any) -> Signed:
        payload = orjson.dumps(body)
        signature = base64.b64encode(digest(self.secret, payload).hex().encode())
        return {}, b'{"payload":%s,"signature":"%s"}' % (payload, signature)

    def opened(self) -> list[Any]:
        attributes = {"status": "open", "created-at": z(self.now), "updated-at": z(self.now)}
        related = {"user": {"data": {"id": "rec", "type": "users"}}}
        data = {"id": "J1", "type": "jobs", "attributes": attributes, "relationships": related}
        return [{"event_name": "job.create", "data": data}]

    def applied(self) -> list[Any]:
        return self._moved("create", "applied")

    def submitted(self) -> list[Any]:
        return self._moved("update", "submitted")

    def taken(self) -> list[Any]:
        return self._moved("update", "taken")

    def _moved(self, event: str, moment: str) -> list[Any]:
        related = {n: {"data": {"id": i, "type": n}} for n, i in (("job", "J1"), ("candidate", "c1"), ("stage", moment))}
        times = {"created-at": z(APPLIED), "updated-at": z(self.now), "changed-stage-at": z(self.now)}
        data = {"id": "a1", "type": "job-applications", "attributes": times, "relationships": related}
        included = [{"id": moment, "type": "stages", "attributes": {"name": STAGES[moment]}}]
        return [{"event_name": f"job_application.{event}", "data": data, "included": included}]

    def booked(self) -> None: ...

    def card(self) -> None: ...
