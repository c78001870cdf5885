"""SmartRecruiters: webhooks with ids only, whose names are in signed headers; everything else by poll, or by such a signal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from tests.every_fixture import Signed, digest
from tests.fake_ats import FakeSmartRecruiters
from tests.weeks.week import ENDS, STARTS, Handler, Listed, z

IDS = {"job_id": "J1", "candidate_id": "c1"}
WHOSE = {"candidateId": "c1", "jobId": "J1"}
HISTORY = "/candidates/c1/jobs/J1/status/history"
INTERVIEWS = "/interviews-api/v201904/interviews"
REVIEWS = "/reviews-api/v201910/reviews"


@dataclass
class SmartRecruiters(Listed):
    system = "smartrecruiters"
    polled = ("jobs", "candidates", "status_history", "interviews", "reviews")
    ids = ("J1", "c1.J1", "e1")
    origin: str = ""

    def handler(self) -> Handler:
        self.lists |= {"/jobs": [], "/candidates": [], HISTORY: [], INTERVIEWS: [], REVIEWS: []}
        team = {"mgr": "HIRING_MANAGER", "rec": "RECRUITER"}
        self.lists["/jobs/J1/hiring-team"] = [{"id": who, "role": role} for who, role in team.items()]
        return FakeSmartRecruiters(("X-SmartToken", "token-of-the-week"), limited=60, lists=self.lists)

    def moved_to(self, origin: str) -> None:
        self.origin = origin

    def sign(self, body: Any) -> Signed:
        """`body`: the event's name, the path of its link and the ids."""
        name, path, ids = body
        raw, stamp = orjson.dumps(ids), str(int(self.now.timestamp()))
        told = {"event-id": f"{name}-{stamp}", "event-name": name, "event-version": "v201910"}
        told["link"] = f"<{self.origin}{path}>; rel=self"
        signature = digest(self.secret, b".".join([stamp.encode(), raw, *(value.encode() for value in told.values())])).hex()
        return {**told, "smartrecruiters-timestamp": stamp, "smartrecruiters-signature": f"v1={signature}"}, raw

    def opened(self) -> None:
        job = {"id": "J1", "refNumber": "R1", "status": "SOURCING", "createdOn": z(self.now), "updatedOn": z(self.now)}
        self.put("/jobs", job)

    def applied(self) -> list[Any]:
        assignment = {"job": {"id": "J1"}, "status": "NEW", "appliedOn": z(self.now)}
        person = {"id": "c1", "createdOn": z(self.now), "updatedOn": z(self.now), "primaryAssignment": assignment}
        self.put("/candidates", {**person, "secondaryAssignments": []})
        self.lists[HISTORY].append({"changedOn": z(self.now), "status": "NEW"})
        return [("application.created", "/candidates/c1/jobs/J1", IDS)]

    def submitted(self) -> list[Any]:
        return self._moved("IN_REVIEW", "Manager review")

    def taken(self) -> list[Any]:
        return self._moved("INTERVIEW", None)

    def _moved(self, status: str, sub: str | None) -> list[Any]:
        self.change("/candidates", updatedOn=z(self.now))
        self.lists[HISTORY].append({"changedOn": z(self.now), "status": status, "subStatus": sub})
        return [("application.status.updated", "/candidates/c1/jobs/J1", IDS)]

    def booked(self) -> list[Any]:
        slot = {"id": "s", "startsOn": z(STARTS), "endsOn": z(ENDS), "interviewers": [{"id": "mgr"}]}
        whose = {"candidate": {"id": "c1", "status": "pending"}, "jobId": "J1"}
        self.put(INTERVIEWS, {"id": "e1", **whose, "createdOn": z(self.now), "timeslots": [slot]})
        self.change("/candidates", updatedOn=z(self.now))
        return [("interview.created", f"{INTERVIEWS}/e1", {"interview_id": "e1"})]

    def card(self) -> None:
        self.put(REVIEWS, {"id": "r1", **WHOSE, "reviewerId": "mgr", "overallRating": 4, "createdOn": z(self.now)})
        self.change("/candidates", updatedOn=z(self.now))
