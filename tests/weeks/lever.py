"""Lever: webhooks with ids and exact times, signed by token; stage names, interviews and feedback by poll."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.fake_ats import FakeLever
from tests.weeks.week import STAGES, STARTS, Handler, Listed, basic, ms

IDS = {
    "applied": "applicant-new",
    "submitted": "5a9e6e0c-2b43-4a1b-a8c0-1d9a5b7e0005",
    "taken": "5a9e6e0c-2b43-4a1b-a8c0-1d9a5b7e0006",
}


@dataclass
class Lever(Listed):
    system = "lever"
    polled = ("postings", "opportunities", "interviews", "feedback")
    ids = ("J1", "o1", "e1")
    path = "/v1"

    def handler(self) -> Handler:
        self.lists |= {"/postings": [], "/opportunities": [], "/archive_reasons": []}
        self.lists |= {"/opportunities/o1/interviews": [], "/opportunities/o1/feedback": []}
        self.lists["/stages"] = [{"id": native, "text": STAGES[moment]} for moment, native in IDS.items()]
        return FakeLever(("Authorization", basic("token-of-the-week")), limited=60, lists=self.lists)

    def _told(self, event: str, **data: Any) -> list[Any]:
        body = {"event": event, "triggeredAt": ms(self.now) + 40, "token": f"{event}-{ms(self.now)}"}
        return [{**body, "data": {"opportunityId": "o1", "contactId": "c1", **data}}]

    def opened(self) -> None:
        posting = {"id": "J1", "state": "published", "createdAt": ms(self.now), "updatedAt": ms(self.now), "categories": {}}
        self.put("/postings", {**posting, "owner": "rec", "hiringManager": "mgr"})

    def applied(self) -> list[Any]:
        one: dict[str, Any] = {"id": "o1", "contact": "c1", "createdAt": ms(self.now), "updatedAt": ms(self.now)}
        one |= {"name": self.person}
        one |= {"origin": "applied", "applications": [{"id": "a1", "posting": "J1", "createdAt": ms(self.now)}]}
        self.put("/opportunities", {**one, "stageChanges": []})
        return [*self._told("applicationCreated"), *self._moved("applied")]

    def submitted(self) -> list[Any]:
        return self._moved("submitted")

    def taken(self) -> list[Any]:
        return self._moved("taken")

    def _moved(self, moment: str) -> list[Any]:
        """The webhook is 40 ms behind the history."""
        change = {"toStageId": IDS[moment], "updatedAt": ms(self.now), "userId": None}
        changes = [*self.lists["/opportunities"][-1]["stageChanges"], change]
        self.change("/opportunities", stageChanges=changes, updatedAt=ms(self.now))
        return self._told("candidateStageChange", toStageId=IDS[moment])

    def booked(self) -> list[Any]:
        one = {"id": "e1", "createdAt": ms(self.now), "date": ms(STARTS), "duration": 60, "interviewers": [{"id": "mgr"}]}
        self.put("/opportunities/o1/interviews", {**one, "canceledAt": None})
        self.change("/opportunities", updatedAt=ms(self.now))
        return self._told("interviewCreated", interviewId="e1")

    def card(self) -> None:
        fields = [{"type": "score-system", "required": True, "value": "3"}, {"type": "textarea", "value": "because"}]
        card = {"id": "f1", "completedAt": ms(self.now), "user": "mgr", "interview": "e1", "fields": fields}
        self.put("/opportunities/o1/feedback", card)
        self.change("/opportunities", updatedAt=ms(self.now))
