"""Ashby: one action, several webhooks of one id; history and feedback by poll, whose errors come as HTTP 200."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from tests.fake_ats import FakeAshby
from tests.weeks.week import APPLIED, ENDS, STAGES, STARTS, Handler, Listed, basic, z

TEAM = [{"userId": "mgr", "role": "Hiring Manager"}, {"userId": "rec", "role": "Recruiter"}]
FORM = {"sections": [{"fields": [{"isRequired": True, "field": {"path": "overall", "type": "ValueSelect"}}]}]}
SICK = {"success": False, "errors": ["internal_server_error"]}


@dataclass
class Ashby(Listed):
    system = "ashby"
    polled = ("application_history", "application_feedback")
    ids = ("J1", "a1", "e1")
    failures: int = 2  #: so many lists of feedback fail at first, with HTTP 200

    def handler(self) -> Handler:
        self.lists |= {"/application.list": [], "/application.listHistory": [], "/applicationFeedback.list": []}
        fake = FakeAshby(("Authorization", basic("token-of-the-week")), limited=60, lists=self.lists)

        def answer(request: httpx.Request) -> httpx.Response:
            if request.url.path == "/applicationFeedback.list" and self.failures:
                self.failures -= 1
                return httpx.Response(200, json=SICK)
            return fake(request)

        return answer

    def opened(self) -> list[Any]:
        job = {"id": "J1", "status": "Open", "createdAt": z(self.now), "openedAt": z(self.now), "updatedAt": z(self.now)}
        return [{"action": "jobCreate", "webhookActionId": "w-job", "data": {"job": {**job, "hiringTeam": TEAM}}}]

    def applied(self) -> list[Any]:
        return self._moved("applied", "applicationSubmit")

    def submitted(self) -> list[Any]:
        return self._moved("submitted", "candidateStageChange", "applicationUpdate")

    def taken(self) -> list[Any]:
        return self._moved("taken", "candidateStageChange", "applicationUpdate")

    def _moved(self, moment: str, *actions: str) -> list[Any]:
        """One action of a user, as many deliveries, one id."""
        title = "Application Review" if moment == "applied" else STAGES[moment]
        ids = {"id": "a1", "candidate": {"id": "c1"}, "job": {"id": "J1"}, "hiringTeam": TEAM, "status": "Active"}
        app = {**ids, "createdAt": z(APPLIED), "updatedAt": z(self.now)}
        app["currentInterviewStage"] = {"id": moment, "title": title, "type": "Active"}
        self.put("/application.list", app)
        row = {"id": moment, "stageId": "s", "title": title, "enteredStageAt": z(self.now)}
        self.put("/application.listHistory", {**row, "applicationId": "a1"})
        return [{"action": one, "webhookActionId": f"w-{moment}", "data": {"application": app}} for one in actions]

    def booked(self) -> list[Any]:
        event = {"id": "e1", "interviewerUserIds": ["mgr"], "startTime": z(STARTS), "endTime": z(ENDS), "createdAt": z(self.now)}
        schedule = {
            "id": "s1",
            "applicationId": "a1",
            "status": "Scheduled",
            "updatedAt": z(self.now),
            "interviewEvents": [event],
        }
        actions = ("interviewScheduleCreate", "interviewScheduleUpdate")
        return [{"action": one, "webhookActionId": "w-s", "data": {"interviewSchedule": schedule}} for one in actions]

    def card(self) -> None:
        card = {"id": "f1", "applicationId": "a1", "interviewEventId": "e1", "submittedAt": z(self.now), "formDefinition": FORM}
        self.put("/applicationFeedback.list", {**card, "submittedByUser": {"id": "mgr"}, "submittedValues": {"overall": "hire"}})
