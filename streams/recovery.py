"""Recovery of a worker's table from its changelog, a fetch at a time.

Faust hands each changelog record through a message, a queue and a buffer: 7,000 records a second, measured, so that a new
disk meant minutes. Here a fetched list of records becomes one RocksDB write with the changelog offset in it, at the fetch,
in recovery and on standby alike; nothing of Faust's queue is used. Where recovery begins and ends stays Faust's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from aiokafka.errors import IllegalStateError
from faust.tables.manager import TableManager as FaustTableManager
from faust.tables.recovery import RebalanceAgain
from faust.tables.recovery import Recovery as FaustRecovery
from mode import Service

from streams import metrics

RECOVERED = metrics.RECOVERED_RECORDS.counter()


class Recovery(FaustRecovery):  # type: ignore[misc]
    """Faust's recovery service, fed by `take` instead of by a queue, and of one rebalance: the next one ends it."""

    _of = 0  #: the rebalance in which the partitions were given out, as the app counts them
    latest = 0  #: the same, of the last recovery that was found to be still about the latest rebalance

    def take(self, tp: Any, records: list[Any]) -> None:
        """Records of one changelog partition, in order, from its position on: write what is new, note how far it got.

        An active partition is written here only until it is up to date; later whoever writes there is the worker itself, or a
        worker that has lost it. What was fetched for a partition that is neither active nor standby is nobody's.
        """
        if tp in self.active_tps:
            if not self.in_recovery:
                return
            offsets = self.active_offsets
        elif tp in self.standby_tps:
            offsets = self.standby_offsets
        else:
            return
        seen = offsets.get(tp)
        fresh = [record for record in records if seen is None or record.offset > seen]
        if fresh:
            last = fresh[-1].offset
            self.tp_to_table[tp].write(tp.partition, {record.key: record.value for record in fresh}, last)
            offsets[tp] = last
            RECOVERED.labels(self.app.role).inc(len(fresh))
        self._settle()

    async def seek_back(self, tps: Iterable[Any]) -> None:
        """Have read again what was fetched of these partitions and not taken."""
        known = {**self.standby_offsets, **self.active_offsets}
        positions = {tp: max(known[tp], 0) for tp in tps if known.get(tp) is not None}
        with suppress(IllegalStateError):  # taken away meanwhile: then its next recovery seeks
            await self.app.consumer.seek_wait(positions)

    def _settle(self) -> None:
        if self.in_recovery and not self.need_recovery():
            self._set_recovery_ended()
            self.signal_recovery_end.set()
        if self.standby_tps and not self.tables.standbys_ready and self.standby_remaining_total() <= 0:
            self.tables.on_standbys_ready()

    async def on_rebalance(self, *args: Any, **kwargs: Any) -> None:
        self._of = self.app.rebalancing_count
        await super().on_rebalance(*args, **kwargs)

    async def _wait(self, coro: Any, timeout: Any = None) -> None:  # noqa: ASYNC109
        """Faust's, which notices another rebalance only once it has given partitions out, and not always then.

        A recovery that ended within it would set the flow going again: on partitions that are another worker's by now (both would
        write), or on new ones whose rows are not there yet (facts would be folded into what is old, and those between lost).
        """
        await super()._wait(coro, timeout)
        if self.signal_recovery_start.is_set() or self.app.rebalancing_count != self._of:
            raise RebalanceAgain
        self.latest = self._of

    def _set_recovery_started(self) -> None:
        # Faust clears the signal with each record, and so may miss it. It is for one recovery: cleared when that begins.
        self.signal_recovery_end.clear()
        super()._set_recovery_started()

    @Service.task  # type: ignore[untyped-decorator]
    async def _slurp_changelogs(self) -> None:
        """Nothing is in the queue that Faust reads here."""

    @Service.task  # type: ignore[untyped-decorator]
    async def _note_progress(self) -> None:
        await self.app.progress.run()  # from before the first recovery on, as no timer of the app does


class TableManager(FaustTableManager):  # type: ignore[misc]
    """Faust's, with our recovery; a worker that is stopped before its table is registered joins no group."""

    _recovery: Recovery | None

    @property
    def recovery(self) -> Recovery:
        if self._recovery is None:
            self._recovery = Recovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery

    async def wait_until_tables_registered(self) -> None:
        """Faust's ends when the worker is stopped, too, and then it subscribes to its source without its changelog.

        The leader gives it nothing (see `assignment`), and to a static member that comes back the broker gives what it had:
        nothing, until somebody else comes or goes (measured: a single worker, stopped at once and started again, stood idle).
        """
        await super().wait_until_tables_registered()
        if not self._tables_registered.is_set():
            await asyncio.Event().wait()  # until the task that asks is cancelled
