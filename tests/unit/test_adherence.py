"""Figures that were published or computed elsewhere, so that the formulas are checked against something else than themselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.outcome import Side
from streams.adherence import (
    Counts,
    chance_of_so_few,
    direction,
    goal_met,
    index,
    index_interval,
    missed_beyond_chance,
    partnership_index,
    side_score,
    standing,
    wilson,
)
from tests.stories import agreement

POLICY = agreement().policy
TA, HM = Side.TALENT_ACQUISITION, Side.HIRING_MANAGER


@pytest.mark.parametrize(
    ("met", "n", "low", "high"),
    [(9, 10, 59.6, 98.2), (18, 20, 69.9, 97.2), (45, 50, 78.6, 95.7), (90, 100, 82.6, 94.5)],
)
def test_wilson_interval_agrees_with_the_published_table(met: int, n: int, low: float, high: float) -> None:
    interval = wilson(met, n)
    assert interval is not None
    assert [round(100 * x, 1) for x in interval] == [low, high]


@pytest.mark.parametrize(("n", "misses"), [(5, 3), (10, 4), (20, 5), (30, 7), (50, 10), (100, 16)])
def test_so_many_misses_are_needed_to_say_that_90_percent_is_missed(n: int, misses: int) -> None:
    assert missed_beyond_chance(Counts(met=n - misses, missed=misses), 0.9)
    assert not missed_beyond_chance(Counts(met=n - misses + 1, missed=misses - 1), 0.9)


def test_overdue_counts_as_not_kept_and_cancelled_excused_unverified_do_not_count() -> None:
    counts = Counts(met=6, missed=1, overdue=1, cancelled=50, excused=3, unverified=9, open=4)
    assert (counts.n, counts.adherence) == (8, 0.75)


def test_nothing_due_has_no_adherence() -> None:
    assert Counts(cancelled=3).adherence is None
    assert wilson(0, 0) is None


def test_a_side_score_weighs_commitments_and_not_their_numbers() -> None:
    many_small = {(HM, "submit_feedback"): Counts(met=990, missed=10), (HM, "decide"): Counts(met=5, missed=5)}
    assert side_score(many_small, POLICY, Side.HIRING_MANAGER, 5) == pytest.approx((0.99 + 0.5) / 2)


def test_no_score_under_the_minimum_n() -> None:
    assert side_score({(TA, "first_slate"): Counts(met=4)}, POLICY, Side.TALENT_ACQUISITION, 5) is None
    assert side_score({(TA, "first_slate"): Counts(met=5)}, POLICY, Side.TALENT_ACQUISITION, 5) == 1.0


def test_the_index_is_high_only_when_both_keep_their_word() -> None:
    assert partnership_index(1.0, 0.1) == pytest.approx(0.1818, abs=1e-4)
    assert partnership_index(0.9, 0.9) == pytest.approx(0.9)
    assert partnership_index(0.0, 0.0) == 0.0
    assert partnership_index(None, 0.9) is None


def test_a_goal_is_met_only_over_enough_obligations() -> None:
    assert goal_met(Counts(met=9, missed=1), 0.9, 5)
    assert not goal_met(Counts(met=4), 0.9, 5)
    assert not goal_met(Counts(met=8, missed=2), 0.9, 5)


counts = st.builds(Counts, met=st.integers(0, 40), missed=st.integers(0, 40), overdue=st.integers(0, 5))


@given(counts, counts)
def test_the_bootstrap_interval_is_the_same_each_time_and_inside_zero_to_one(ta: Counts, manager: Counts) -> None:
    given_counts = {(TA, "first_slate"): ta, (HM, "decide"): manager}
    interval = index_interval(given_counts, POLICY, rounds=40)
    assert interval == index_interval(given_counts, POLICY, rounds=40)
    assert (interval is None) == (index(given_counts, POLICY) is None)
    assert interval is None or 0 <= interval[0] <= interval[1] <= 1


def test_a_large_team_is_judged_as_a_small_one_is() -> None:
    assert missed_beyond_chance(Counts(met=17_900, missed=2_100), 0.9)
    assert not missed_beyond_chance(Counts(met=17_960, missed=2_040), 0.9), "within chance of 18,000"
    assert not missed_beyond_chance(Counts(met=20_000), 1.0)
    assert missed_beyond_chance(Counts(met=19_999, missed=1), 1.0)


def test_adherence_is_shown_with_and_without_exceptions() -> None:
    counts = Counts(met=6, missed=1, overdue=1, excused=2, cancelled=9, unverified=3)
    assert (counts.adherence, counts.adherence_without_exceptions) == (0.75, 0.6)
    assert Counts(excused=2).adherence_without_exceptions == 0.0
    assert Counts(excused=2).adherence is None
    assert Counts(cancelled=2).adherence_without_exceptions is None


@given(st.integers(0, 60), st.integers(0, 60), st.sampled_from([0.5, 0.9, 0.95, 1.0]), st.integers(1, 10))
def test_a_signal_is_one_of_three_and_none_under_the_minimum_n(met: int, missed: int, objective: float, minimum: int) -> None:
    counts = Counts(met=met, missed=missed)
    found = standing(counts, objective, minimum)
    assert (found == "goal_met") == goal_met(counts, objective, minimum)
    assert (found == "course_correct") == (counts.n >= minimum and missed_beyond_chance(counts, objective))
    assert counts.n >= minimum or found == "none"


def test_the_exact_binomial_agrees_with_a_table() -> None:
    # P(X <= 7 | 10, 0.9): any table of the cumulative binomial distribution
    assert round(chance_of_so_few(7, 10, 0.9), 4) == 0.0702
    assert round(chance_of_so_few(16, 20, 0.9), 4) == 0.1330


def test_a_minimum_n_of_a_commitment_keeps_it_out_of_the_score_until_there_is_enough() -> None:
    commitments = tuple(c.model_copy(update={"minimum_n": 20}) if c.name == "submit_feedback" else c for c in POLICY.commitments)
    policy = POLICY.model_copy(update={"commitments": commitments})
    few = {(HM, "submit_feedback"): Counts(missed=19), (HM, "decide"): Counts(met=10)}
    enough = {(HM, "submit_feedback"): Counts(missed=20), (HM, "decide"): Counts(met=10)}
    assert side_score(few, policy, Side.HIRING_MANAGER, 5) == 1.0
    assert side_score(enough, policy, Side.HIRING_MANAGER, 5) == 0.5
    assert side_score(few, POLICY, Side.HIRING_MANAGER, 5) == 0.5


def moved(before: tuple[int, int], after: tuple[int, int]) -> str | None:
    """Direction of the index where TA always keeps its word and the manager kept so many of so many decisions."""
    ta = {(TA, "first_slate"): Counts(met=10)}
    first, second = (ta | {(HM, "decide"): Counts(met=met, missed=n - met)} for met, n in (before, after))
    return direction(first, second, POLICY)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [  # with one commitment that can differ it is Fisher's exact test; two-sided p, as published calculators give it
        ((8, 20), (18, 20), "better"),  # p = 0.002
        ((18, 20), (8, 20), "worse"),
        ((13, 20), (18, 20), "unchanged"),  # p = 0.127
        ((18, 20), (18, 20), "unchanged"),
        ((2, 5), (5, 5), "unchanged"),  # p = 0.167, though all were kept
        ((0, 5), (5, 5), "better"),  # p = 0.008
        ((4, 4), (5, 5), None),  # no index under the minimum n
    ],
)
def test_the_index_moves_only_beyond_chance(before: tuple[int, int], after: tuple[int, int], said: str | None) -> None:
    assert moved(before, after) == said
