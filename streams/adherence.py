"""How well promises were kept: adherence and its interval, side scores, the partnership index. The only place of these formulas.

Sources: Wilson (1927) score interval; exact one-sided binomial test; harmonic mean of the two sides, so the index is high
only when both keep their word. Ratios are 0 to 1; what cannot be said is None, never 0.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Literal

from schemas.outcome import Side, Verdict
from schemas.policy import Policy

#: 97.5th percentile of the normal distribution: two-sided 95 %.
Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Counts:
    """Obligations by verdict whose deadline falls in one period and is not after as_of."""

    met: int = 0
    missed: int = 0
    overdue: int = 0
    cancelled: int = 0
    excused: int = 0
    unverified: int = 0
    open: int = 0

    @property
    def n(self) -> int:
        """What adherence is measured over: met, missed and overdue."""
        return self.met + self.missed + self.overdue

    @property
    def adherence(self) -> float | None:
        """met / (met + missed + overdue); None where nothing was due."""
        return self.met / self.n if self.n else None

    @property
    def adherence_without_exceptions(self) -> float | None:
        """met / (n + excused): what was excused counted as what it would have been, missed. None where nothing was due."""
        due = self.n + self.excused
        return self.met / due if due else None

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, v) + getattr(other, v) for v in self.__slots__))

    @classmethod
    def of(cls, verdicts: Mapping[str, int]) -> Counts:
        """From verdict -> number; a verdict that is not one raises ValueError."""
        return cls(**{Verdict(v).value: n for v, n in verdicts.items()})


#: (side, commitment) -> its counts; a commitment of whoever holds the ball is there for both sides.
Promises = Mapping[tuple[str, str], Counts]


def wilson(met: int, n: int) -> tuple[float, float] | None:
    """95 % Wilson score interval of a share; None for n = 0. 9 of 10: 0.596 to 0.982."""
    if n == 0:
        return None
    share = met / n
    scale = 1 + Z95**2 / n
    centre = (share + Z95**2 / (2 * n)) / scale
    reach = Z95 * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2)) / scale
    return max(0.0, centre - reach), min(1.0, centre + reach)


def chance_of_so_few(met: int, n: int, objective: float) -> float:
    """Probability of at most `met` kept promises of `n` if each is kept with the objective's probability (exact binomial)."""
    if met >= n or objective >= 1:
        return float(met >= n)
    # in logarithms: the binomial coefficients themselves overflow a float from n = 1030 on
    kept, not_kept, all_ways = math.log(objective), math.log1p(-objective), math.lgamma(n + 1)
    terms = (all_ways - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * kept + (n - k) * not_kept for k in range(met + 1))
    return min(1.0, math.fsum(math.exp(term) for term in terms))


def missed_beyond_chance(counts: Counts, objective: float, level: float = 0.05) -> bool:
    """Course-correct signal: so few kept promises would be rarer than `level` if the objective were being reached."""
    return counts.n > 0 and chance_of_so_few(counts.met, counts.n, objective) < level


def goal_met(counts: Counts, objective: float, minimum_n: int) -> bool:
    """The objective is reached, over enough obligations to say so."""
    # of the objective as it is written: 0.55 * 100 is more than 55 in floats
    return counts.n >= minimum_n and counts.met >= Fraction(str(objective)) * counts.n


def standing(counts: Counts, objective: float, minimum_n: int) -> Literal["course_correct", "goal_met", "none"]:
    """The signal of one commitment: missed beyond chance, met, or neither; neither under the minimum n. Never both."""
    if goal_met(counts, objective, minimum_n):
        return "goal_met"
    return "course_correct" if counts.n >= minimum_n and missed_beyond_chance(counts, objective) else "none"


def policy_at(policy: Policy, at: datetime) -> Policy:
    """The policy with one stanza of each commitment: the enabled one that judges what starts at `at`. Its weight, objective and
    minimum n are those of figures about a period that begins then. Of a commitment that had not begun by then, the last stanza.
    """
    ordered = sorted(policy.enabled(), key=lambda c: c.effective_from)
    chosen = {c.name: c for c in ordered} | {c.name: c for c in ordered if c.effective_from <= at}
    return policy.model_copy(update={"commitments": tuple(chosen.values())})


def side_score(counts_of: Promises, policy: Policy, side: Side, minimum_n: int) -> float | None:
    """Weighted mean of the adherence of one side's commitments; None if the side has fewer than `minimum_n` due in all.

    Each commitment counts by the weight of its stanza, not by its number of obligations, so that many small promises do
    not drown the important one. A commitment with nothing due does not count, nor one with fewer than a minimum n of its own.
    `policy`, here and below: as `policy_at` has it for the period.
    """
    counted = [
        (commitment.weight, counts)
        for commitment in policy.enabled()
        if commitment.side in (side, "holder")
        if (counts := counts_of.get((side, commitment.name))) is not None and commitment.weight > 0
        if counts.n >= (commitment.minimum_n or 1)
    ]
    if sum(counts.n for _, counts in counted) < max(1, minimum_n):
        return None
    weight = math.fsum(w for w, _ in counted)
    return math.fsum(w * counts.met / counts.n for w, counts in counted) / weight if weight else None


def partnership_index(talent_acquisition: float | None, hiring_manager: float | None) -> float | None:
    """Harmonic mean of the two side scores; 0 if both are 0; None if a side has no score."""
    if talent_acquisition is None or hiring_manager is None:
        return None
    total = talent_acquisition + hiring_manager
    return 2 * talent_acquisition * hiring_manager / total if total else 0.0


def index(counts_of: Promises, policy: Policy) -> float | None:
    """The partnership index of one team and period."""
    scores = (side_score(counts_of, policy, side, policy.minimum_n) for side in Side)
    return partnership_index(*scores)


def index_interval(counts_of: Promises, policy: Policy, *, seed: int = 7, rounds: int = 1000) -> tuple[float, float] | None:
    """95 % percentile bootstrap of the index: each commitment's obligations resampled with replacement, seeded.

    Resampling n kept-or-not promises is drawing the number kept from Binomial(n, adherence). None where there is no index.
    """
    if index(counts_of, policy) is None:
        return None
    rng = random.Random(seed)  # noqa: S311 - statistics, not secrets
    drawn: list[float] = []
    for _ in range(rounds):
        sample = {promise: _resampled(counts, rng) for promise, counts in sorted(counts_of.items())}
        value = index(sample, policy)
        assert value is not None  # resampling keeps every n
        drawn.append(value)
    return _percentile(sorted(drawn), 0.025), _percentile(sorted(drawn), 0.975)


def direction(
    before: Promises, after: Promises, policy: Policy, *, seed: int = 7, rounds: int = 1000, level: float = 0.05
) -> Literal["better", "worse", "unchanged"] | None:
    """Whether the index moved by more than chance between two periods; None where one of them has no index.

    Seeded permutation test, two-sided: were nothing different, the kept promises of each commitment would be spread over the
    two periods at random (each keeps its n). `unchanged` unless fewer than `level` of the draws move the index as far.
    """
    first, second = index(before, policy), index(after, policy)
    if first is None or second is None:
        return None
    rng = random.Random(seed)  # noqa: S311 - statistics, not secrets
    moved, as_far = abs(second - first), 0
    both = sorted(before.keys() | after.keys())
    pairs = [(promise, before.get(promise, Counts()), after.get(promise, Counts())) for promise in both]
    for _ in range(rounds):
        earlier, later = {}, {}
        for promise, one, other in pairs:
            met = _spread(one.met + other.met, other.n, one.n + other.n, rng)
            later[promise] = Counts(met=met, missed=other.n - met)
            kept = one.met + other.met - met
            earlier[promise] = Counts(met=kept, missed=one.n - kept)
        drawn = index(earlier, policy), index(later, policy)
        assert drawn[0] is not None and drawn[1] is not None  # every n stays
        as_far += abs(drawn[1] - drawn[0]) >= moved - 1e-12
    if (as_far + 1) / (rounds + 1) >= level:
        return "unchanged"
    return "better" if second > first else "worse"


def _spread(met: int, chosen: int, total: int, rng: random.Random) -> int:
    """How many of `met` kept promises are among `chosen` of `total` drawn at random (hypergeometric)."""
    fewer = min(met, total - met)  # drawn one by one, so the rarer kind
    found, left = 0, chosen
    for number in range(fewer):
        if rng.random() * (total - number) < left:
            found, left = found + 1, left - 1
    return found if fewer == met else chosen - found


def _resampled(counts: Counts, rng: random.Random) -> Counts:
    if counts.n == 0:
        return counts
    met = sum(rng.random() < counts.met / counts.n for _ in range(counts.n))
    return Counts(met=met, missed=counts.n - met)


def _percentile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
