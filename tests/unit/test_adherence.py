"""Figures that were published or computed elsewhere, so that the formulas are checked against something else than themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product
from math import comb
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.outcome import Side
from streams.adherence import (
    Counts,
    _percentile,
    _resampled,
    _spread,
    chance_of_so_few,
    direction,
    goal_met,
    index,
    index_interval,
    missed_beyond_chance,
    partnership_index,
    policy_at,
    side_score,
    standing,
    wilson,
)
from tests.stories import agreement

POLICY = agreement().policy
TA, HM = Side.TALENT_ACQUISITION, Side.HIRING_MANAGER


@pytest.mark.parametrize(
    ("met", "n", "low", "high"),
    [
        (9, 10, 59.6, 98.2),
        (18, 20, 69.9, 97.2),
        (45, 50, 78.6, 95.7),
        (90, 100, 82.6, 94.5),
        (5, 10, 23.7, 76.3),
        (0, 10, 0.0, 27.8),
        (10, 10, 72.2, 100.0),
        (1, 1, 20.7, 100.0),
        (0, 1, 0.0, 79.3),
    ],
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


@pytest.mark.parametrize(("met", "n", "objective"), [(55, 100, 0.55), (7, 25, 0.28), (14, 25, 0.56), (29, 50, 0.58), (3, 3, 1.0)])
def test_a_goal_that_is_met_to_the_very_obligation_is_met(met: int, n: int, objective: float) -> None:
    assert standing(Counts(met=met, missed=n - met), objective, 1) == "goal_met"
    assert not goal_met(Counts(met=met - 1, missed=n - met + 1), objective, 1)


counts = st.builds(Counts, met=st.integers(0, 40), missed=st.integers(0, 40), overdue=st.integers(0, 5))


@settings(deadline=None)
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


@settings(deadline=None)
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


def test_a_score_weighs_by_the_stanza_that_was_in_force_and_not_by_a_later_one() -> None:
    decide = next(c for c in POLICY.commitments if c.name == "decide")
    later = decide.model_copy(update={"version": "2", "effective_from": datetime(2026, 6, 1, tzinfo=UTC), "weight": 0.0})
    policy = POLICY.model_copy(update={"commitments": (*POLICY.commitments, later)})
    counts = {(HM, "submit_feedback"): Counts(met=10), (HM, "decide"): Counts(missed=10)}
    before, after = (policy_at(policy, datetime(2026, month, 1, tzinfo=UTC)) for month in (5, 6))
    assert side_score(counts, before, Side.HIRING_MANAGER, 5) == 0.5
    assert side_score(counts, after, Side.HIRING_MANAGER, 5) == 1.0
    assert sorted(c.name for c in before.commitments) == sorted({c.name for c in policy.enabled()})


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


def test_an_interval_never_leaves_zero_to_one() -> None:
    ends = [wilson(met, n) for n in range(1, 40) for met in (0, n)]
    assert all(found is not None and 0.0 <= found[0] <= found[1] <= 1.0 for found in ends)


def test_counts_start_at_zero_and_add_up_verdict_by_verdict() -> None:
    names = ("met", "missed", "overdue", "cancelled", "excused", "unverified", "open")
    assert [getattr(Counts(), name) for name in names] == [0] * 7
    one, two = Counts(1, 2, 3, 4, 5, 6, 7), Counts(10, 20, 30, 40, 50, 60, 70)
    assert one + two == Counts(11, 22, 33, 44, 55, 66, 77)
    assert Counts.of(dict(zip(names, range(1, 8), strict=True))) == one
    assert one.n == 6
    with pytest.raises(ValueError, match="late"):
        Counts.of({"late": 1})


@pytest.mark.parametrize(("n", "kept", "objective"), [(10, 5, 0.5), (30, 19, 0.8), (12, 0, 0.9), (12, 11, 0.95), (7, 3, 0.99)])
def test_the_exact_binomial_agrees_with_counting_the_ways(n: int, kept: int, objective: float) -> None:
    ways = sum(comb(n, k) * objective**k * (1 - objective) ** (n - k) for k in range(kept + 1))
    assert chance_of_so_few(kept, n, objective) == pytest.approx(ways, rel=1e-9)


def test_all_kept_is_no_surprise_and_one_broken_promise_is_one_where_all_had_to_be_kept() -> None:
    assert [chance_of_so_few(met, 10, objective) for met, objective in ((10, 0.9), (10, 1.0), (9, 1.0))] == [1.0, 1.0, 0.0]
    assert not missed_beyond_chance(Counts(), 0.9)
    assert not missed_beyond_chance(Counts(cancelled=9), 1.0)
    assert missed_beyond_chance(Counts(missed=1), 0.99)
    assert not missed_beyond_chance(Counts(missed=1), 0.9), "one of ten breaks its word by chance"


def test_a_goal_is_met_at_the_very_objective_and_the_very_minimum() -> None:
    at_it = Counts(met=4, missed=1)
    assert goal_met(at_it, 0.8, 5)
    assert not goal_met(at_it, 0.8, 6)
    assert standing(Counts(missed=5), 0.9, 5) == "course_correct"
    assert standing(Counts(missed=5), 0.9, 6) == "none"


def test_what_has_no_weight_counts_neither_in_the_score_nor_for_the_minimum() -> None:
    shown = {(HM, "validated_feedback"): Counts(missed=50)}
    assert side_score(shown, POLICY, HM, 1) is None
    decided = {(HM, "decide"): Counts(met=3, missed=1)}
    assert side_score(decided | shown, POLICY, HM, 4) == 0.75
    assert side_score(decided | shown, POLICY, HM, 5) is None
    assert side_score(decided, POLICY, TA, 1) is None, "it is the manager's promise"
    assert side_score({(HM, "decide"): Counts(cancelled=9)}, POLICY, HM, 0) is None, "nothing was due"
    held = {(TA, "no_silence"): Counts(met=1, missed=1), (HM, "no_silence"): Counts(met=2)}
    assert [side_score(held, POLICY, side, 1) for side in (TA, HM)] == [0.5, 1.0], "whoever holds the ball: both sides"


def test_a_commitment_counts_by_its_weight() -> None:
    heavy = tuple(c.model_copy(update={"weight": 3.0}) if c.name == "decide" else c for c in POLICY.commitments)
    policy = POLICY.model_copy(update={"commitments": heavy})
    both = {(HM, "decide"): Counts(met=10), (HM, "submit_feedback"): Counts(missed=10)}
    assert side_score(both, policy, HM, 5) == 0.75
    assert side_score(both, POLICY, HM, 5) == 0.5


GIVEN = {(TA, "first_slate"): Counts(met=18, missed=2), (HM, "decide"): Counts(met=12, missed=6, overdue=2)}


def exact_quantile(share: float) -> float:
    """Of the index of GIVEN if each side's kept promises are drawn from its binomial: every outcome, weighed."""
    outcomes = []
    for ta, hm in product(range(21), repeat=2):
        weight = comb(20, ta) * 0.9**ta * 0.1 ** (20 - ta) * comb(20, hm) * 0.6**hm * 0.4 ** (20 - hm)
        outcomes.append((2 * ta * hm / (ta + hm) / 20 if ta + hm else 0.0, weight))
    total = 0.0
    for value, weight in sorted(outcomes):
        total += weight
        if total >= share:
            return value
    raise AssertionError


def test_the_bootstrap_interval_is_that_of_the_binomials_behind_it() -> None:
    assert index(GIVEN, POLICY) == pytest.approx(0.72)
    interval = index_interval(GIVEN, POLICY)
    assert interval is not None
    assert interval == pytest.approx((exact_quantile(0.025), exact_quantile(0.975)), abs=0.02)
    assert interval == pytest.approx((0.5333333333, 0.8685714286)), "the same for the same counts, wherever it is computed"
    assert interval != index_interval(GIVEN, POLICY, seed=8)


def test_a_percentile_lies_between_its_neighbours() -> None:
    assert [_percentile([1.0, 2.0, 4.0], share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)] == [1.0, 1.5, 2.0, 3.0, 4.0]
    assert _percentile([7.0], 0.975) == 7.0


def test_resampling_keeps_n_and_the_share_on_average() -> None:
    rng, counts_of = Random(1), Counts(met=15, missed=3, overdue=2, excused=5)
    drawn = [_resampled(counts_of, rng) for _ in range(2000)]
    assert {one.n for one in drawn} == {20}
    assert sum(one.met for one in drawn) / 2000 == pytest.approx(15, abs=0.2)
    assert _resampled(Counts(excused=2), rng) == Counts(excused=2)


@pytest.mark.parametrize(
    ("met", "chosen", "total"), [(3, 5, 20), (17, 5, 20), (10, 10, 20), (0, 5, 20), (20, 5, 20), (1, 1, 1), (4, 0, 9)]
)
def test_kept_promises_are_spread_as_balls_are_drawn_from_an_urn(met: int, chosen: int, total: int) -> None:
    rng = Random(3)
    drawn = [_spread(met, chosen, total, rng) for _ in range(4000)]
    for found in set(drawn):
        chance = comb(met, found) * comb(total - met, chosen - found) / comb(total, chosen)
        assert drawn.count(found) / 4000 == pytest.approx(chance, abs=0.03)
    assert min(drawn) >= max(0, chosen - (total - met))
    assert max(drawn) <= min(met, chosen)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ((10, 20), (16, 20), "unchanged"),  # Fisher's exact test, two-sided: p = 0.096
        ((9, 20), (17, 20), "better"),  # p = 0.019
        ((17, 20), (9, 20), "worse"),
    ],
)
def test_a_direction_near_the_level_is_that_of_the_exact_test(before: Any, after: Any, said: str) -> None:
    assert moved(before, after) == said


def test_a_promise_that_only_one_period_had_is_no_movement() -> None:
    """The index is another one, but nobody kept the same promises better or worse."""
    before = {(TA, "first_slate"): Counts(met=10), (HM, "decide"): Counts(met=2, missed=18)}
    after = before | {(HM, "submit_feedback"): Counts(met=20)}
    assert [direction(*pair, POLICY) for pair in ((before, after), (after, before), (before, before))] == ["unchanged"] * 3
    kept = {(TA, "first_slate"): Counts(met=10), (HM, "decide"): Counts(met=20)}
    assert direction(before, kept, POLICY, level=0.0) == "unchanged", "nothing is beyond all chance"
    assert direction(before, kept, POLICY, rounds=10) == "unchanged", "ten draws can say no more than one in eleven"
    assert direction(before, kept, POLICY, rounds=20) == "better"
