"""Merge: state without times of change; the webhook shows the model that changed, the poll what is different."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from tests.fake_ats import FakeMerge
from tests.weeks.week import ENDS, STAGES, STARTS, Handler, Listed, z

LINKED = "4e1f6f0a-2d1c-4a57-9f6e-000000000007"


@dataclass
class Merge(Listed):
    system = "merge"
    polled = ("jobs", "applications", "interviews", "scorecards")
    ids = ("J1", "a1", "e1")
    path = "/api/ats/v1"
    api: ClassVar[dict[str, Any]] = {"token": {"env": "WEEK_TOKEN"}, "account_token": {"env": "WEEK_TOKEN"}}

    def handler(self) -> Handler:
        self.lists |= {"/jobs": [], "/applications": [], "/interviews": [], "/scorecards": []}
        token = ("Authorization", "Bearer token-of-the-week")
        return FakeMerge(token, limited=60, lists=self.lists, account_token="token-of-the-week")

    def source(self, origin: str) -> dict[str, Any]:
        return {**super().source(origin), "linked_account": LINKED}

    def _told(self, event: str, data: dict[str, Any]) -> list[Any]:
        """A webhook's relations are ids."""
        flat = {name: value["id"] if isinstance(value, dict) else value for name, value in data.items()}
        hook = {"id": "h-1", "event": event, "target": "https://sla.example/webhooks/merge"}
        return [{"hook": hook, "linked_account": {"id": LINKED, "category": "ats"}, "data": flat}]

    def opened(self) -> list[Any]:
        job = {"id": "J1", "status": "OPEN", "remote_created_at": z(self.now), "modified_at": z(self.now)}
        self.put("/jobs", {**job, "hiring_managers": ["mgr"], "recruiters": ["rec"]})
        return self._told("Job.added", self.lists["/jobs"][-1])

    def applied(self) -> list[Any]:
        app = {"id": "a1", "job": "J1", "candidate": "c1", "applied_at": z(self.now), "modified_at": z(self.now)}
        self.put("/applications", app)
        return self._moved("applied")

    def submitted(self) -> list[Any]:
        return self._moved("submitted")

    def taken(self) -> list[Any]:
        return self._moved("taken")

    def _moved(self, moment: str) -> list[Any]:
        stage = {"id": f"s-{moment}", "name": STAGES[moment]}
        return self._told("Application.changed", self.change("/applications", current_stage=stage, modified_at=z(self.now)))

    def booked(self) -> None:
        interview = {"id": "e1", "application": "a1", "interviewers": ["mgr"], "start_at": z(STARTS), "end_at": z(ENDS)}
        self.put("/interviews", {**interview, "status": "SCHEDULED", "modified_at": z(self.now)})

    def card(self) -> list[Any]:
        card = {"id": "r1", "application": "a1", "interview": "e1", "interviewer": "mgr", "submitted_at": z(self.now)}
        self.put("/scorecards", {**card, "overall_recommendation": "YES", "modified_at": z(self.now)})
        return self._told("Scorecard.added", self.lists["/scorecards"][-1])
