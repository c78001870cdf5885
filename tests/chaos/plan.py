"""What is broken when: a seeded list of faults, and what came of each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Literal

#: kills fall on roles by these weights
KILLS = {
    "kill -9 worker": 5,
    "kill -9 ledger writer": 2,
    "kill -9 broker": 2,
    "kill -9 gateway": 2,
    "kill -9 normalise": 1,
    "kill -9 Prometheus": 1,
}
#: fault -> times in each round
OTHERS = {
    "rolling restart": 1,
    "worker joins, leaves": 1,
    "worker stopped early": 2,
    "broker stopped": 1,
    "slow broker": 1,
    "zombie worker": 1,
    "damaged state": 2,
    "deleted state": 1,
    "ledger locked": 1,
    "disk full": 1,
    "clock jumps": 1,
    "poison": 1,
}
#: and, of a PostgreSQL ledger
OF_POSTGRES = {"ledger database stopped": 1, "ledger database crashes": 2, "ledger connections cut": 1}


@dataclass(frozen=True)
class Plan:
    """One run, wholly given by these."""

    events: int
    workers: int
    kills: int
    rounds: int
    rate: float
    outage: float
    seed: int
    only: tuple[str, ...] = ()
    exactly: tuple[str, ...] = ()  #: these faults and no others, in a seeded order
    ledger: Literal["sqlite", "postgres"] = "sqlite"

    def faults(self) -> list[str]:
        """Names of the faults in their order; each kind of kill at least once where there are enough."""
        dice = Random(self.seed)
        if self.exactly:
            return dice.sample(self.exactly, len(self.exactly))
        kills = (list(KILLS) + dice.choices(list(KILLS), list(KILLS.values()), k=self.kills))[: self.kills]
        kinds = OTHERS | (OF_POSTGRES if self.ledger == "postgres" else {})
        others = [name for name, times in kinds.items() for _ in range(times * self.rounds)]
        planned = [name for name in kills + others if not self.only or any(part in name for part in self.only)]
        dice.shuffle(planned)
        return planned


@dataclass
class Tally:
    """What one kind of fault came to."""

    times: int = 0
    recovered: list[float] = field(default_factory=list)  #: seconds, where the next fault left time for it
    skipped: str = ""


@dataclass
class Outcome:
    """The whole run."""

    plan: Plan
    tallies: dict[str, Tally] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    figures: dict[str, object] = field(default_factory=dict)
    exits: Counter[str] = field(default_factory=Counter)

    @property
    def good(self) -> bool:
        return not (self.lost or self.doubled or self.faults)

    def report(self) -> int:
        """Print the table; 0 if nothing was lost, doubled or otherwise wrong."""
        lines = [f"{'fault':<24}{'times':>6}{'recovered':>11}{'median s':>10}{'longest s':>11}"]
        for name, tally in self.tallies.items():
            times = sorted(tally.recovered)
            middle = f"{times[len(times) // 2]:.1f}" if times else "-"
            longest = f"{times[-1]:.1f}" if times else "-"
            lines.append(f"{name:<24}{tally.times:>6}{len(times):>11}{middle:>10}{longest:>11}  {tally.skipped}")
        lines += [f"{name}: {value}" for name, value in self.figures.items()]
        lines.append("exits of roles: " + (", ".join(f"{name} {n}x" for name, n in sorted(self.exits.items())) or "none"))
        lines += [f"WRONG {fault}" for fault in self.faults]
        lines += [f"LOST {one}" for one in self.lost[:20]] + [f"DOUBLED {one}" for one in self.doubled[:20]]
        slowest = max((s for t in self.tallies.values() for s in t.recovered), default=0.0)
        kills = sum(t.times for name, t in self.tallies.items() if name.startswith("kill"))
        faults = sum(t.times for t in self.tallies.values())
        lines.append(
            f"seed {self.plan.seed}: {faults} faults, {kills} of them kills; lost {len(self.lost)}, "
            f"doubled {len(self.doubled)}, longest time to recover {slowest:.1f} s"
        )
        print("\n".join(lines), flush=True)  # noqa: T201
        return 0 if self.good else 1
