"""The faults. Each does its harm to a stage, from the main thread, and returns when it is over.

What it returns is when recovery began (`monotonic`): the harm itself where the pipeline has to act by itself (a kill, a
freeze), its end where it can do nothing before (no broker, no disk).
"""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random
from time import monotonic, sleep
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from schemas.raw import RawHeaders
from streams.errors import Unreachable
from tests.chaos import ledger_down
from tests.chaos.load import START
from tests.chaos.stage import WEBHOOKS, Stage
from tests.conftest import Postgres

CLEAN = 0
MAX_DAMAGED_BYTES = 256


class NotPossible(Exception):
    """This machine or this stage does not allow the fault; says why."""


@dataclass
class Faults:
    """All faults over one stage, drawn with one seeded `dice`. `outage`: seconds that it is stopped."""

    stage: Stage
    dice: Random
    outage: float = 120.0
    poisons: list[str] = field(default_factory=list)  #: pointers of what must become a dead letter
    faults: list[str] = field(default_factory=list)  #: what went wrong beside the verdicts
    _joined: int = 100

    @property
    def by_name(self) -> dict[str, Callable[[], float]]:
        return {
            "kill -9 worker": self.kill_worker,
            "kill -9 ledger writer": lambda: self.kill("ledger"),
            "kill -9 normalise": lambda: self.kill("normalise"),
            "kill -9 gateway": lambda: self.kill("gateway"),
            "kill -9 broker": lambda: self.kill("broker"),
            "kill -9 Prometheus": lambda: self.kill("prometheus"),
            "rolling restart": self.rolling_restart,
            "worker joins, leaves": self.join_and_leave,
            "worker stopped early": self.join_and_leave_at_once,
            "broker stopped": self.stop_broker,
            "slow broker": self.slow_broker,
            "zombie worker": self.zombie,
            "damaged state": self.damage_state,
            "deleted state": self.delete_state,
            "ledger locked": self.lock_ledger,
            "ledger database stopped": lambda: ledger_down.stop(self._postgres(), self.dice),
            "ledger database crashes": lambda: ledger_down.crash(self._postgres()),
            "ledger connections cut": lambda: ledger_down.cut_connections(self._postgres(), self.dice),
            "disk full": self.fill_disk,
            "clock jumps": self.jump_clock,
            "poison": self.poison,
        }

    # -- kills ---------------------------------------------------------------------------------------------------------

    def kill(self, role: str) -> float:
        if role not in self.stage.keeper.roles:
            raise NotPossible(f"no {role} here")
        begun = monotonic()
        self.stage.keeper.kill(role)
        return begun

    def kill_worker(self) -> float:
        return self.kill(self.dice.choice(self.stage.workers))

    # -- coming and going ----------------------------------------------------------------------------------------------

    def rolling_restart(self) -> float:
        begun = monotonic()
        for name in self.stage.workers:
            self._expect_clean(name, self.stage.keeper.terminate(name))
            self._await_well(name)
        return begun

    def join_and_leave(self) -> float:
        name = self._join()
        self._await_well(name)
        sleep(self.dice.uniform(0, 4))
        begun = monotonic()
        self._expect_clean(name, self.stage.keeper.remove(name))
        return begun

    def join_and_leave_at_once(self) -> float:
        """While it starts, when it may have subscribed to half of what it needs."""
        name = self._join()
        sleep(self.dice.uniform(1, 6))
        begun = monotonic()
        code = self.stage.keeper.remove(name)
        # before it listens to signals; or by itself, where the fault before took the broker away
        if code not in (-signal.SIGTERM, Unreachable.exit_code, None):
            self._expect_clean(name, code)
        return begun

    def _join(self) -> str:
        self._joined += 1
        return self.stage.add_worker(self._joined)

    def _expect_clean(self, name: str, code: int | None) -> None:
        if code != CLEAN:
            self.faults.append(f"{name} left with exit code {code} after SIGTERM")

    def _await_well(self, name: str, seconds: float = 60.0) -> None:
        end = monotonic() + seconds
        while name in self.stage.keeper.unwell():
            if monotonic() > end:
                self.faults.append(f"{name} was not well after {seconds:g} s")
                return
            sleep(0.1)

    # -- the broker ----------------------------------------------------------------------------------------------------

    def stop_broker(self) -> float:
        self.stage.keeper.kill("broker", again=False)
        sleep(self.outage)
        self.stage.keeper.revive("broker")
        return monotonic()

    def slow_broker(self) -> float:
        broker = self.stage.keeper.running("broker")
        for _ in range(5):
            os.kill(broker.pid, signal.SIGSTOP)
            sleep(self.dice.uniform(0.5, 2.5))
            os.kill(broker.pid, signal.SIGCONT)
            sleep(0.2)
        return monotonic()

    # -- workers that are not what they seem ----------------------------------------------------------------------------

    def zombie(self) -> float:
        """Frozen until another has its partitions and works on them, then woken."""
        name = self.dice.choice(self.stage.workers)
        self._await_well(name)  # one that has no partitions yet is no zombie, and has no lease
        worker = self.stage.keeper.running(name)
        begun = monotonic()
        os.killpg(worker.pid, signal.SIGSTOP)
        sleep(self.stage.settings.session_timeout + self.dice.uniform(3, 6))
        os.killpg(worker.pid, signal.SIGCONT)
        sleep(2)
        if worker.exit_code is None:
            self.faults.append("a worker that was frozen for longer than its session went on")
        return begun

    def damage_state(self) -> float:
        return self._harm_state(self._damage)

    def delete_state(self) -> float:
        return self._harm_state(lambda path: path.unlink())

    def _harm_state(self, harm: Callable[[Path], None]) -> float:
        """Kill a worker and harm one to three files of one of its databases before it comes back."""
        name = self.dice.choice(self.stage.workers)
        begun = monotonic()
        self.stage.keeper.kill(name, again=False)
        files = sorted(path for path in self.stage.worker_folder(name).rglob("*.db/*") if path.is_file() and path.stat().st_size)
        for path in self.dice.sample(files, min(len(files), self.dice.randint(1, 3))):
            harm(path)
        self.stage.keeper.revive(name)
        return begun

    def _damage(self, path: Path) -> None:
        with path.open("r+b") as file:
            size = path.stat().st_size
            if self.dice.random() < 0.3:
                file.truncate(size // 2)
                return
            file.seek(self.dice.randrange(size))
            file.write(self.dice.randbytes(min(size, MAX_DAMAGED_BYTES)))

    # -- the ledger and the disk -----------------------------------------------------------------------------------------

    def _postgres(self) -> Postgres:
        if self.stage.postgres is None:
            raise NotPossible("the ledger is SQLite")
        return self.stage.postgres

    def lock_ledger(self) -> float:
        """Somebody holds SQLite's write lock for longer than the writer waits at first; of PostgreSQL, its tables."""
        if self.stage.postgres is not None:
            return ledger_down.lock_tables(self.stage.postgres, self.dice)
        with sqlite3.connect(self.stage.settings.state_dir / "ledger.db", timeout=30, isolation_level=None) as holder:
            holder.execute("BEGIN IMMEDIATE")
            sleep(self.dice.uniform(11, 16))
            holder.execute("ROLLBACK")
        holder.close()
        return monotonic()

    def fill_disk(self) -> float:
        """The disk of the workers' state and of the ledger."""
        if self.stage.disk is None:
            raise NotPossible("mounting a small disk is not allowed here")
        ballast = self.stage.disk / "ballast"
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:  # until there is no room: what the roles free or take meanwhile counts too
                file.write(bytes(1 << 20))
        sleep(self.dice.uniform(5, 10))
        ballast.unlink()
        return monotonic()

    # -- time and content ------------------------------------------------------------------------------------------------

    def jump_clock(self) -> float:
        """An hour ahead, then an hour behind, then right again."""
        begun = monotonic()
        for hours in (1, -1, 0):
            self.stage.clock.jump(timedelta(hours=hours))
            sleep(self.dice.uniform(0.5, 2))
        return begun

    def poison(self) -> float:
        """One record of each kind that cannot be used, in each topic that somebody reads."""
        settings, begun = self.stage.settings, monotonic()
        producer = KafkaProducer(bootstrap_servers=settings.brokers.split(","), acks="all")
        sent = [
            (topic, producer.send(settings.topic(topic), value, key=b"poison", headers=headers))
            for topic, value, headers in self._poisons()
        ]
        for topic, future in sent:
            try:
                meta = future.get(timeout=60)
            except KafkaError as error:
                self.faults.append(f"poison for {topic}: {error!r}")
                continue
            self.poisons.append(f"{meta.topic}:{meta.partition}:{meta.offset}")
        producer.close()
        return begun

    def _poisons(self) -> list[tuple[str, bytes | None, list[tuple[str, bytes]]]]:
        known = RawHeaders(
            tenant="demo", account=WEBHOOKS, system="greenhouse", channel="webhook", received_at=START, request_id="poison"
        ).to_kafka()
        broken: list[Any] = [b"", None, b"{", b"\xff\xfe\x00", b"[]", b"null", b"x" * 900_000]
        typed = [b'{"type":"nonsense"}', b'{"type":"fact"}', b'{"type":"tick","at":"yesterday"}', b'{"type":"watermark"}']
        return [
            *(("ats.facts", value, []) for value in [*broken, *typed]),
            *(("ats.raw", value, known) for value in [*broken[1:5], b'{"action":"candidate_stage_change","payload":7}']),
            ("ats.raw", b'{"action":"ping"}', []),  # without the envelope
            *(("sla.outcomes", value, []) for value in [*broken[:5], b'{"body":{}}']),
        ]
