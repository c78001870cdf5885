"""Ashby's interviews as facts: a schedule's events, and the feedback forms that interviewers submit."""

from __future__ import annotations

from typing import Any

from schemas.fact import Fact, Origin
from streams.connectors.payload import Node, Source, When, native_id

VOCABULARY: dict[str, Any] = {
    "schedule_cancelled": "cancelled",
    "schedule_status": frozenset(
        {
            "needsscheduling",
            "waitingoncandidatebooking",
            "waitingoncandidateavailability",
            "candidateavailabilitysubmitted",
            "scheduled",
            "waitingonfeedback",
            "complete",
            "cancelled",
            "onhold",
            "unknown",
        }
    ),
    # types of a feedback form's fields that rate, and that give reasons
    "scores": frozenset({"ValueSelect", "Score", "Boolean", "Number"}),
    "texts": frozenset({"RichText", "LongText", "String"}),
}


def feedback(source: Source, form: Node) -> list[Fact]:
    """One submitted form. Rated and reasoned are told by the types of its fields; what was answered is not looked at."""
    native, user_of = form.required_id("id"), form.node("submittedByUser")
    person = user_of.required_id("id") if user_of else None
    answers = form.node("submittedValues")
    filled = {path for path, value in (answers.value if answers else {}).items() if value not in (None, "", [], {})}
    kinds: dict[str, str] = {}
    needed: set[str] = set()
    definition = form.node("formDefinition")
    for section in definition.nodes("sections") if definition else ():
        for entry in section.nodes("fields"):
            field = entry.required_node("field")
            path = field.text("path")
            if path is not None:
                kinds[path] = field.text("type") or ""
                if entry.flag("isRequired"):
                    needed.add(path)
    rated = any(kinds.get(path) in VOCABULARY["scores"] for path in filled)
    attributes = {
        "scorecard_id": native,
        "rated": rated,
        "complete": rated and needed <= filled,
        "reasoned": any(kinds.get(path) in VOCABULARY["texts"] for path in filled),
    }
    return [
        source.fact(
            "scorecard.submitted",
            When(form.required_instant("submittedAt"), Origin.OBJECT),
            (native,),
            application=form.required_id("applicationId"),
            interview=form.id("interviewEventId"),
            person=person,
            actor=person,
            attributes=attributes,
        )
    ]


def schedule(source: Source, node: Node) -> list[Fact]:
    """Each of its interviews as of its last change. `hasSubmittedFeedback` says neither who nor when: it gives no fact."""
    app, status = node.required_id("applicationId"), node.word(VOCABULARY["schedule_status"], "status")
    facts, booker = [], node.node("scheduledBy")
    actor = booker.id("id") if booker else None
    for event in node.nodes("interviewEvents"):
        native = event.required_id("id")
        named: dict[str, Any] = {"application": app, "candidate": node.id("candidateId")}
        updated = source.when(event.instant("updatedAt") or node.instant("updatedAt"))
        if status == VOCABULARY["schedule_cancelled"]:
            gone = source.when(node.instant("updatedAt") or event.instant("updatedAt"))  # the schedule is, not the event
            facts.append(source.fact("interview.cancelled", gone, (native,), occurrence="cancelled", interview=native, **named))
            continue
        created_at, ends_at = event.instant("createdAt"), event.instant("endTime")
        attributes = {
            "status": status,
            "starts_at": event.required_instant("startTime").isoformat(),
            "ends_at": ends_at.isoformat() if ends_at else None,
            "interviewers": list(source.refs(_interviewers(event))),
            "created_at": created_at.isoformat() if created_at else None,
        }
        facts.append(
            source.fact("interview.scheduled", updated, (native,), interview=native, actor=actor, attributes=attributes, **named)
        )
    return facts


def _interviewers(event: Node) -> list[str]:
    """By id, or as objects; whichever list there is."""
    path = event.path_of("interviewerUserIds")
    listed = [native_id(item, f"{path}[{n}]") for n, item in enumerate(event.items("interviewerUserIds"))]
    return list(dict.fromkeys([*listed, *(one.required_id("id", "userId") for one in event.nodes("interviewers"))]))
