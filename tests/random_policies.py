"""Seeded random policies: laid over stanzas of the demo company's, so that every key of the language decides something."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import Any

Changes = dict[str, Any]
DAYS: tuple[Changes, ...] = ({"business_days": 1}, {"business_days": 3}, {"business_days": 5})
HOURS: tuple[Changes, ...] = ({"business_hours": 3}, {"business_hours": 14}, {"business_hours": 6.5}, {"elapsed_hours": 30})
TARGETS = (*DAYS, *HOURS, {"calendar_days": 2}, {"calendar_days": 4})
WHENS: tuple[Changes, ...] = (
    {"priority": ["high", "critical"]},
    {"priority": "low"},
    {"level": [4, 5]},
    {"location": "nyc"},
    {"team": "platform"},
    {"team": ["data", "sales"]},
    {"department": "Engineering", "priority": ["low", "high"]},
)
APPLIES: tuple[Changes, ...] = (
    {"posted_publicly": True, "jurisdiction": "CA-ON"},
    {"jurisdiction": ["CA-ON", "CA-BC"]},
    {"team": ["platform", "data"]},
    {},
)
TIMED = (
    "hold_intake",
    "first_slate",
    "screen_application",
    "schedule_interview",
    "send_offer",
    "provide_role_information",
    "review_candidate",
    "give_availability",
    "hold_interview",
    "submit_feedback",
    "decide",
    "inform_candidate",
    "no_silence",
)
REQUIRES = {"schedule_interview": "availability.given", "screen_application": "requisition.intake_held"}


def drawn_policy(random: Random, start: datetime) -> dict[str, Changes]:
    """Changes by stanza, as `stories.policy_file` lays them over; versions begin in the fortnight after `start`."""
    warnings = (0.25, 0.5, 0.75)
    found: dict[str, Changes] = {
        "ontario_interview_outcome": {
            "enabled": True,
            "applies": random.choice(APPLIES),
            "target": random.choice(({"calendar_days": 3}, {"calendar_days": 9}, {"elapsed_hours": 50})),
            "warn_at": random.choice(warnings),
        },
        "plan_onboarding": {"enabled": True, "warn_at": random.choice(warnings)},
        "review_after_90_days": {"enabled": True, "target": {"calendar_days": random.randrange(1, 6)}},
    }
    for name in random.sample(TIMED, 8):
        found[name] = _terms(random) | {"warn_at": random.choice(warnings)}
    for name in random.sample(("review_candidate", "give_availability", "inform_candidate"), 1):
        found.setdefault(name, {})["cycles"] = random.choice(("latest", "once"))
    for name, kind in REQUIRES.items():
        if random.random() < 0.15:
            found.setdefault(name, {})["requires"] = [{"kind": kind}]
    for name in random.sample(TIMED, 2):
        since = start + timedelta(minutes=random.randrange(14 * 1440))
        found[f"{name} 2"] = _terms(random) | {"effective_from": since}
        if name in REQUIRES and random.random() < 0.5:  # a version that waits for something, after one that did not
            found[f"{name} 2"]["requires"] = [{"kind": REQUIRES[name]}]
    if random.random() < 0.2:  # what send_offer waits for is told otherwise from then on
        since = start + timedelta(minutes=random.randrange(14 * 1440))
        found["approve_offer 2"] = {"effective_from": since, "stop": [{"kind": "offer.sent"}, {"kind": "offer.accepted"}]}
    return found


def _terms(random: Random) -> Changes:
    """A target and, as often as not, others by what the requisition is like, and what happens when that changes."""
    found: Changes = {"target": random.choice(TARGETS)}
    if random.random() < 0.8:
        rules = random.sample(WHENS, random.randrange(1, 4))
        found["targets"] = [{"when": when, "target": random.choice(TARGETS)} for when in rules]
        found["on_change"] = random.choice(("pinned", "retroactive", "forward", "forward", "reset"))
    return found
