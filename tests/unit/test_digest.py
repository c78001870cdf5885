"""The weekly digest: each side's goals, what is late now, one suggestion from the facts, thanks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from streams import digest
from streams.ledger_database import snapshot
from tests.installation import Installation, Sink

NOW = datetime(2026, 5, 6, 12, tzinfo=UTC)


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


@pytest.fixture
def here(tmp_path: Path, sink: Sink) -> Installation:
    """Berlin: TA keeps six slates of six, the manager 6 of 12, four of them done late, two not at all. Paris: three of three."""
    here = Installation(tmp_path, sink, managers=12)
    for manager in range(0, 12, 2):
        here.opened(manager, NOW - timedelta(days=45))
        for number in range(3):
            here.submitted(f"s{manager}-{number}", manager, NOW - timedelta(days=39))
            here.happened("application.withdrawn", f"s{manager}-{number}", manager, NOW - timedelta(days=38))
    for number in range(12):
        here.submitted(f"a{number}", 0, NOW - timedelta(days=30))
        if number < 6:
            here.happened("application.rejected", f"a{number}", 0, NOW - timedelta(days=29))
        elif number < 10:
            here.happened("application.rejected", f"a{number}", 0, NOW - timedelta(days=25))
    for number in range(3):
        here.submitted(f"b{number}", 1, NOW - timedelta(days=6))
        here.happened("application.rejected", f"b{number}", 1, NOW - timedelta(days=5))
    here.judge(NOW)
    return here


def texts(here: Installation) -> dict[str, str]:
    with snapshot(here.engine) as conn:
        return {team: digest.compose(here.agreement, team, facts, NOW) for team, facts in digest.gather(conn, NOW).items()}


def section(text: str, title: str) -> list[str]:
    (part,) = [part for part in text.split("\n\n") if part.startswith(title)]
    return [line.removeprefix("  - ") for line in part.splitlines()[1:]]


def test_it_says_to_both_sides_where_a_goal_was_missed_and_where_it_was_met(here: Installation) -> None:
    berlin = texts(here)["berlin"]
    assert berlin.startswith("Berlin: how we kept our word to each other, week to Wed 06 May 2026")
    assert section(berlin, "Goals missed") == [
        "Talent Acquisition: qualified_talent kept 0 of 10 (0%, 95 % interval 0% to 28%); the goal is 50%",
        "the hiring manager: review_candidate kept 6 of 12 (50%, 95 % interval 25% to 75%); the goal is 90%",
    ]
    met = [line.partition(" kept ")[0] for line in section(berlin, "Goals met")]
    assert {"Talent Acquisition: first_slate", "the hiring manager: provide_role_information"} <= set(met)
    assert "Talent Acquisition: first_slate kept 6 of 6 (100%, 95 % interval 61% to 100%); the goal is 90%" in section(
        berlin, "Goals met"
    )


def test_too_few_to_say_is_neither_missed_nor_met(here: Installation) -> None:
    paris = texts(here)["paris"]
    assert section(paris, "Goals missed") == section(paris, "Goals met") == ["none"]


def test_what_is_late_names_who_owes_it_and_who_holds_the_ball(here: Installation) -> None:
    late = section(texts(here)["berlin"], "Late now")
    assert len(late) == 2
    assert late[0] == (
        "review_candidate, application greenhouse/a10, 28 d late: owed by Manager 0, the ball is with the hiring manager"
    )


def test_the_suggestion_comes_from_the_facts(here: Installation) -> None:
    (one,) = section(texts(here)["berlin"], "One thing to try")
    assert "Start with review_candidate, which the hiring manager owes: 6 of 12 were late" in one
    assert "half of those done late by more than 3 d" in one
    assert "was with the hiring manager" in one
    assert section(texts(here)["paris"], "One thing to try") == ["none"]


def test_thanks_go_to_a_side_that_kept_all_of_this_week(here: Installation) -> None:
    found = texts(here)
    assert section(found["paris"], "Thanks") == ["the hiring manager kept all 3 promises that were due this week"]
    assert section(found["berlin"], "Thanks") == ["none"]


def test_it_goes_to_the_teams_contact_or_to_the_terminal(
    here: Installation, sink: Sink, capsys: pytest.CaptureFixture[str]
) -> None:
    digest.run(here.settings, NOW, send=False)
    assert "Berlin: how we kept our word" in capsys.readouterr().out
    assert sink.received == []
    digest.run(here.settings, NOW, send=True)
    digest.run(here.settings, NOW, send=True)
    assert [m["kind"] for m in sink.to("/berlin")] == ["digest", "digest"]
    keys = {key for path, _, key in sink.received if path == "/berlin"}
    assert len(keys) == 1, "a week's digest has one key, so that a receiver can drop the second"
