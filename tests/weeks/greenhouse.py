"""Greenhouse: jobs and stages by webhook; approvals, visits to stages, interviews and scorecards by Harvest v3, or by v1."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar

import httpx

from tests.fake_harvest import FakeHarvest
from tests.weeks.week import APPLIED, ENDS, STAGES, STARTS, Handler, Listed, Week, basic, z

STAGE_IDS = {"applied": 71, "submitted": 72, "taken": 73}


@dataclass
class Told(Week):
    """The webhooks, which are the same for both versions of the API."""

    system = "greenhouse"
    ids = ("88", "901", "40")

    def job(self) -> dict[str, Any]:
        people = {"hiring_managers": [{"user_id": "mgr"}], "recruiters": [{"user_id": "rec"}]}
        return {"id": 88, "status": "open", "opened_at": z(self.now), "hiring_team": people}

    def application(self, stage: str, last_activity_at: datetime) -> dict[str, Any]:
        ids = {"id": 901, "candidate": {"id": 501, "first_name": self.person}, "jobs": [{"id": 88}], "prospect": False}
        times = {"applied_at": z(APPLIED), "last_activity_at": z(last_activity_at)}
        return {**ids, **times, "current_stage": {"id": STAGE_IDS[stage], "name": STAGES[stage]}}

    def opened(self) -> list[Any]:
        return [{"action": "job_created", "payload": {"job": self.job()}}]

    def applied(self) -> list[Any]:
        body = {"application": self.application("applied", self.now)}
        return [{"action": "new_candidate_application", "payload": body}]

    def submitted(self) -> list[Any]:
        return self.moved("submitted")

    def taken(self) -> list[Any]:
        return self.moved("taken")

    def moved(self, stage: str) -> list[Any]:
        """The webhook knows the last activity only, which is a few seconds after the stage was entered."""
        body = {"application": self.application(stage, self.now + timedelta(seconds=7))}
        return [{"action": "candidate_stage_change", "payload": body}]


@dataclass
class Greenhouse(Told, Listed):
    polled = ("jobs", "applications", "application_stages", "scheduled_interviews", "scorecards", "approvals")
    path = "/v3"
    kept = ("review_candidate", "schedule_interview", "submit_feedback", "provide_role_information")
    api: ClassVar[dict[str, Any]] = {"client_id": {"env": "WEEK_CLIENT"}, "client_secret": {"env": "WEEK_TOKEN"}, "user": "7"}
    harvest: FakeHarvest = field(default_factory=lambda: FakeHarvest({}, client="client:token-of-the-week", lives=200))

    def handler(self) -> Handler:
        children = (
            "/job_hiring_managers",
            "/job_owners",
            "/openings",
            "/rejection_details",
            "/rejection_reasons",
            "/interviewers",
        )
        parents = ("/jobs", "/applications", "/application_stages", "/interviews", "/scorecards", "/approval_flows")
        self.lists |= {path: [] for path in (*children, *parents, "/approver_groups")}
        self.lists["/job_interview_stages"] = [
            {"id": native, "job_id": 88, "name": STAGES[moment], "updated_at": z(self.now)}
            for moment, native in STAGE_IDS.items()
        ]
        self.harvest.lists = self.lists
        return self.harvest

    def moved_to(self, origin: str) -> None:
        self.harvest.next_host = f"{origin}/v3"

    def source(self, origin: str) -> dict[str, Any]:
        entry = super().source(origin)
        entry["api"]["token_url"] = f"{origin}/token"
        return entry

    def obligations(self) -> dict[str, str]:
        role = f"provide_role_information:{self.account}/88:1"
        return {**Told.obligations(self), "provide_role_information": role}

    def opened(self) -> list[Any]:
        """Open to recruiting, and approved at once."""
        stamp = {"updated_at": z(self.now)}
        self.put("/jobs", {"id": 88, "status": "open", "opened_at": z(self.now), "created_at": z(self.now), **stamp})
        self.put("/job_hiring_managers", {"id": 6, "job_id": 88, "user_id": "mgr", **stamp})
        self.put("/job_owners", {"id": 5, "job_id": 88, "user_id": "rec", "type": "recruiter", "responsible": True, **stamp})
        flow = {"id": 3, "job_id": 88, "approval_type": "open_job", "approval_status": "approved", **stamp}
        self.put("/approval_flows", flow)
        self.put("/approver_groups", {"id": 4, "approval_flow_id": 3, "resolved_at": z(self.now + timedelta(minutes=1)), **stamp})
        return Told.opened(self)

    def applied(self) -> list[Any]:
        app = {"id": 901, "candidate_id": 501, "job_id": 88, "prospect": False, "stage_id": 71, "created_at": z(self.now)}
        self.put("/applications", {**app, "applied_at": z(self.now), "updated_at": z(self.now)})
        self._visit("applied")
        return Told.applied(self)

    def moved(self, stage: str) -> list[Any]:
        self._visit(stage)
        return Told.moved(self, stage)

    def _visit(self, stage: str) -> None:
        visit = {"id": STAGE_IDS[stage] + 100, "application_id": 901, "job_interview_stage_id": STAGE_IDS[stage]}
        self.put("/application_stages", {**visit, "entered_at": z(self.now), "updated_at": z(self.now)})

    def booked(self) -> None:
        interview = {"id": 40, "application_id": 901, "job_id": 88, "starts_at": z(STARTS), "ends_at": z(ENDS)}
        self.put("/interviews", {**interview, "status": "scheduled", "created_at": z(self.now), "updated_at": z(self.now)})
        self.put("/interviewers", {"id": 9, "interview_id": 40, "user_id": "mgr", "scorecard_id": 1, "updated_at": z(self.now)})

    def card(self) -> None:
        card = {"id": 1, "application_id": 901, "interviewer_id": "mgr", "submitted_at": z(self.now), "candidate_rating": "yes"}
        notes = [{"question": "Key Take-Aways", "answer": f"{self.person} convinced us"}]
        self.put("/scorecards", {**card, "questions": notes, "updated_at": z(self.now)})

    def gone(self) -> None:
        for path in ("/applications", "/application_stages", "/interviews", "/interviewers", "/scorecards"):
            self.lists[path].clear()


@dataclass
class GreenhouseV1(Told, Listed):
    """The old API: a key, children nested, and the next page's link repeats every parameter."""

    polled = ("jobs", "applications", "scheduled_interviews", "scorecards")
    path = "/v1"
    api: ClassVar[dict[str, Any]] = {"version": "v1", "token": {"env": "WEEK_TOKEN"}}
    origin: str = ""

    def handler(self) -> Handler:
        self.lists |= {"/jobs": [], "/applications": [], "/scheduled_interviews": [], "/scorecards": []}
        return self._answer

    def moved_to(self, origin: str) -> None:
        self.origin = origin

    def _answer(self, request: httpx.Request) -> httpx.Response:
        """Pages of one object: whoever takes the first page for all would see nothing of the others."""
        if request.headers.get("authorization") != basic("token-of-the-week"):
            return httpx.Response(401, json={"message": "Invalid Basic Auth credentials"})
        path, query = request.url.path.removeprefix("/v1"), dict(request.url.params)
        if path not in self.lists or not 1 <= int(query.get("per_page", "100")) <= 500:
            return httpx.Response(404 if path not in self.lists else 422, json={"message": "Resource not found"})
        name = "last_activity_after" if path == "/applications" else "updated_after"
        field_of = name.replace("after", "at")
        found = [one for one in self.lists[path] if one[field_of] >= query.get(name, "")]
        page = int(query.get("page", "1"))
        headers = {"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "49"}
        if page < len(found):
            onward = httpx.URL(f"{self.origin}{request.url.path}").copy_with(params={**query, "page": str(page + 1)})
            headers["Link"] = f'<{onward}>; rel="next",<{onward}>; rel="last"'
        return httpx.Response(200, json=found[page - 1 : page], headers=headers)

    def opened(self) -> list[Any]:
        for native in (87, 88):
            self.put("/jobs", {**self.job(), "id": native, "updated_at": z(self.now), "created_at": z(self.now)})
        return Told.opened(self)

    def applied(self) -> list[Any]:
        app = {"id": 901, "candidate_id": 501, "jobs": [{"id": 88}], "prospect": False, "applied_at": z(self.now)}
        self.put("/applications", {**app, "last_activity_at": z(self.now), "status": "active"})
        return Told.applied(self)

    def booked(self) -> None:
        moments = {"start": {"date_time": z(STARTS)}, "end": {"date_time": z(ENDS)}}
        people = [{"id": "mgr", "response_status": "accepted", "scorecard_id": 1}]
        interview = {"id": 40, "application_id": 901, "status": "scheduled", "interviewers": people, **moments}
        self.put("/scheduled_interviews", {**interview, "created_at": z(self.now), "updated_at": z(self.now)})

    def card(self) -> None:
        card = {"id": 1, "application_id": 901, "interviewer": {"id": "mgr"}, "submitted_by": {"id": "mgr"}}
        self.put("/scorecards", {**card, "submitted_at": z(self.now), "updated_at": z(self.now), "overall_recommendation": "yes"})
