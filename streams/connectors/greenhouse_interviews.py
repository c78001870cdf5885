"""Greenhouse's interviews and scorecards as facts; no webhook tells of them, they are polled."""

from __future__ import annotations

from typing import Any

from schemas.fact import Fact, Origin
from streams.connectors.greenhouse_objects import user_of
from streams.connectors.payload import Node, Source, When

VOCABULARY: dict[str, Any] = {
    "interview_status": frozenset({"scheduled", "awaiting_feedback", "complete"}),
    "recommendation": frozenset({"definitely_not", "strong_no", "no", "mixed", "yes", "strong_yes", "no_decision"}),
    "not_rated": "no_decision",
}


def interview(source: Source, node: Node) -> list[Fact]:
    """One version of a scheduled interview."""
    native, app = node.required_id("id"), node.required_id("application_id")
    seen = node.instant("updated_at", "created_at")
    if seen is None:
        raise node.missing("updated_at", "created_at")
    created_at, step, organizer = node.instant("created_at"), node.node("interview"), node.node("organizer")
    people: list[str] = []
    cards: dict[str, str] = {}
    for member in node.nodes("interviewers"):
        user = member.id("id", "user_id")
        if user is None:
            continue  # invited by e-mail only: nobody we could name
        people.append(user)
        card = member.id("scorecard_id")
        if card is not None:
            cards[source.refs([user])[0]] = card
    attributes: dict[str, object] = {
        "status": node.word(VOCABULARY["interview_status"], "status"),
        "interviewers": list(source.refs(dict.fromkeys(people))),
        "scorecards": cards,
        "interview_step_id": step.id("id") if step else node.id("interview_id"),
        "created_at": created_at.isoformat() if created_at else None,
    }
    for name, moment in (("starts", node.node("start")), ("ends", node.node("end"))):
        at, on = (moment.instant("date_time"), moment.day("date")) if moment else (node.instant(f"{name}_at"), None)
        attributes[f"{name}_at"] = at.isoformat() if at else None
        on = on or node.day(f"all_day_{name[:-1]}_on")
        attributes[f"{name}_on"] = on.isoformat() if on and not at else None
    return [
        source.fact(
            "interview.scheduled",
            When(seen, Origin.OBJECT),
            (native,),
            application=app,
            interview=native,
            actor=organizer.id("id") if organizer else node.id("organizer_id"),
            attributes=attributes,
        )
    ]


def scorecard(source: Source, node: Node) -> list[Fact]:
    """A submitted scorecard; a draft gives nothing."""
    native = node.required_id("id")
    submitted_at = node.instant("submitted_at")
    if submitted_at is None:
        return []
    interviewed_at, step = node.instant("interviewed_at"), node.node("interview_step")
    rating = node.word(VOCABULARY["recommendation"], "overall_recommendation", "candidate_rating")
    unrated = (None, VOCABULARY["not_rated"])
    rated = [a.word(VOCABULARY["recommendation"], "rating") not in unrated for a in node.nodes("attributes")]
    attributes = {
        "scorecard_id": native,
        "interviewed_at": interviewed_at.isoformat() if interviewed_at else None,
        "interview_step_id": step.id("id") if step else node.id("interview_step_id"),
        "rating": rating,
        "complete": rating not in unrated and all(rated),
        "rated": rating not in unrated,
        "reasoned": _has_words(node),
    }
    return [
        source.fact(
            "scorecard.submitted",
            When(submitted_at, Origin.OBJECT),
            (native,),
            application=node.required_id("application_id"),
            candidate=node.id("candidate_id"),
            interview=node.id("scheduled_interview_id"),
            person=user_of(node, "interviewer", required=True),
            actor=user_of(node, "submitted_by") or user_of(node, "submitter"),
            attributes=attributes,
        )
    ]


def _has_words(node: Node) -> bool:
    """Whether any reason is written down, in the notes of attributes or in answers; what it says is not looked at."""
    noted = [a.value.get("note") for a in node.nodes("attributes")] + [q.value.get("answer") for q in node.nodes("questions")]
    return any(isinstance(words, str) and words.strip() for words in noted)
