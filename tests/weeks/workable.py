"""Workable: candidates by webhook, as they are when it is sent; jobs, activities and events by poll."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tests.fake_ats import FakeWorkable
from tests.weeks.week import ENDS, STAGES, STARTS, Handler, Listed, z


@dataclass
class Workable(Listed):
    system = "workable"
    polled = ("jobs", "activities", "events", "candidates")
    ids = ("J1", "c1", "e1")
    path = "/spi/v3"

    def handler(self) -> Handler:
        self.lists |= {"/candidates": [], "/jobs": [], "/events": [], "/candidates/c1/activities": []}
        people = {"mgr": "hiring_manager", "rec": "recruiter"}
        self.lists["/jobs/J1/members"] = [{"id": who, "collaboration_role": role} for who, role in people.items()]
        return FakeWorkable(("Authorization", "Bearer token-of-the-week"), limited=60, lists=self.lists)

    def opened(self) -> None:
        job = {"id": "61", "shortcode": "J1", "state": "published", "created_at": z(self.now), "updated_at": z(self.now)}
        self.put("/jobs", job)

    def applied(self) -> list[Any]:
        person = {"id": "c1", "job": {"shortcode": "J1"}, "created_at": z(self.now), "updated_at": z(self.now)}
        self.put("/candidates", {**person, "sourced": False, "stage": STAGES["applied"], "stage_kind": "applied"})
        return [{"event_type": "candidate_created", "data": self.lists["/candidates"][-1]}]

    def submitted(self) -> list[Any]:
        return self._moved("submitted")

    def taken(self) -> list[Any]:
        return self._moved("taken")

    def _moved(self, moment: str) -> list[Any]:
        """The webhook shows a time two seconds later than the activity: it is the candidate's, not the move's."""
        stage = STAGES[moment]
        seen = self.change("/candidates", stage=stage, stage_kind="x", updated_at=z(self.now + timedelta(seconds=2)))
        self.put(
            "/candidates/c1/activities", {"id": moment, "action": "x", "target_stage": {"name": stage}, "created_at": z(self.now)}
        )
        return [{"event_type": "candidate_moved", "data": seen}]

    def booked(self) -> None:
        event: dict[str, Any] = {"id": "e1", "type": "InterviewEvent", "starts_at": z(STARTS), "ends_at": z(ENDS)}
        event |= {"cancelled": False, "members": [{"id": "mgr", "status": "accepted"}]}
        self.put("/events", {**event, "candidate": {"id": "c1"}, "job": {"shortcode": "J1"}})

    def card(self) -> None:
        rating = {"score": 1, "grade": "yes"}
        rated = {"id": "r1", "action": "rating", "created_at": z(self.now), "member": {"id": "mgr"}, "rating": rating}
        self.put("/candidates/c1/activities", rated)
        self.change("/candidates", updated_at=z(self.now))
