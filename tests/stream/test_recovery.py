"""A table read back from its changelog: a fetch at a time, exactly, on a new disk, after damage, and on standby."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import rocksdict
from faust.tables.recovery import RebalanceAgain
from faust.types import TP

from streams import microbatch
from streams.recovery import Recovery

ACTIVE, STANDBY, OTHER = TP("changelog", 0), TP("changelog", 1), TP("changelog", 2)


class Table(microbatch.Table):
    """The real write over real databases, without an app."""

    data: Any = None

    def __init__(self, folder: Path) -> None:
        options = rocksdict.Options(raw_mode=True)
        self.databases: dict[int, Any] = {p: rocksdict.Rdict(str(folder / str(p)), options=options) for p in (0, 1)}
        self.data = SimpleNamespace(offset_key=b"offset", _db_for_partition=self.databases.__getitem__)

    def __hash__(self) -> int:
        return id(self)

    def stored(self, partition: int) -> dict[bytes, bytes]:
        return dict(self.databases[partition].items())


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    made = Table(tmp_path)
    yield made
    for database in made.databases.values():
        database.close()


def recovery(table: Table) -> Any:
    """The service in the middle of a recovery: ACTIVE lacks offsets 5 to 9, STANDBY 0 to 3."""
    made: Any = Recovery.__new__(Recovery)
    made.app = SimpleNamespace(role="test", in_recovery=True, rebalancing_count=1)
    made.tables = SimpleNamespace(standbys_ready=False, on_standbys_ready=lambda: setattr(made.tables, "standbys_ready", True))
    made.in_recovery = True
    made._signal_recovery_end = asyncio.Event()
    made._active_events_received_at, made._standby_events_received_at, made._processing_times = {}, {}, []
    made.active_tps, made.standby_tps = {ACTIVE}, {STANDBY}
    made.tp_to_table = dict.fromkeys((ACTIVE, STANDBY, OTHER), table)
    made.active_offsets, made.active_highwaters = Counter({ACTIVE: 4}), Counter({ACTIVE: 9})
    made.standby_offsets, made.standby_highwaters = Counter({STANDBY: -1}), Counter({STANDBY: 3})
    return made


def change(offset: int, key: bytes, value: bytes | None) -> Any:
    return SimpleNamespace(offset=offset, key=key, value=value)


def test_a_fetch_is_one_write_with_its_offset_and_ends_the_recovery_at_the_highwater(table: Table) -> None:
    made = recovery(table)
    made.take(ACTIVE, [change(4, b"a", b"old"), change(5, b"a", b"1"), change(6, b"b", b"1"), change(7, b"a", b"2")])
    assert table.stored(0) == {b"a": b"2", b"b": b"1", b"offset": b"7"}
    assert made.in_recovery and not made.signal_recovery_end.is_set()
    made.take(ACTIVE, [change(9, b"b", None)])  # 8 was compacted away
    assert table.stored(0) == {b"a": b"2", b"offset": b"9"}
    assert not made.in_recovery and made.signal_recovery_end.is_set()


def test_what_was_seen_is_not_written_again(table: Table) -> None:
    made = recovery(table)
    made.take(ACTIVE, [change(3, b"a", b"old"), change(4, b"a", b"older")])
    assert table.stored(0) == {}


def test_an_active_partition_is_not_written_by_others_once_it_is_up_to_date(table: Table) -> None:
    made = recovery(table)
    made.take(ACTIVE, [change(9, b"a", b"1")])
    made.take(ACTIVE, [change(10, b"a", b"of a zombie")])
    assert table.stored(0) == {b"a": b"1", b"offset": b"9"}


def test_a_standby_goes_on_after_the_recovery_and_is_ready_when_it_has_caught_up(table: Table) -> None:
    made = recovery(table)
    made.take(STANDBY, [change(0, b"s", b"1")])
    assert not made.tables.standbys_ready
    made.take(STANDBY, [change(3, b"s", b"2")])
    assert made.tables.standbys_ready
    made.in_recovery = False
    made.take(STANDBY, [change(4, b"s", b"3")])
    assert table.stored(1) == {b"s": b"3", b"offset": b"4"}


def test_nobodys_partition_is_not_written(table: Table) -> None:
    made = recovery(table)
    made.take(OTHER, [change(0, b"x", b"1")])
    assert (table.stored(0), table.stored(1)) == ({}, {})


def test_the_signal_of_an_earlier_recovery_does_not_end_the_next(table: Table) -> None:
    made = recovery(table)
    made.take(ACTIVE, [change(9, b"a", b"1")])
    made._set_recovery_started()
    assert made.in_recovery and not made.signal_recovery_end.is_set()


def test_what_was_not_taken_is_read_again_from_where_it_got_to(table: Table) -> None:
    made, sought = recovery(table), dict[Any, int]()

    async def seek_wait(positions: dict[Any, int]) -> None:
        sought.update(positions)

    made.app.consumer = SimpleNamespace(seek_wait=seek_wait)
    made.active_offsets[TP("changelog", 5)] = None  # not known yet: the recovery will seek before it reads
    asyncio.run(made.seek_back([ACTIVE, STANDBY, TP("changelog", 5)]))
    assert sought == {ACTIVE: 4, STANDBY: 0}


def waited(made: Any, meanwhile: Callable[[], object]) -> None:
    """The recovery of the first rebalance waits for something, and `meanwhile` happens."""

    async def first(*_: object, **__: object) -> Any:
        meanwhile()
        return SimpleNamespace(stopped=False, done=set())

    made._of, made._signal_recovery_start, made.wait_first = 1, asyncio.Event(), first
    asyncio.run(made._wait(None))


def test_a_recovery_goes_on_while_no_other_rebalance_has_begun(table: Table) -> None:
    made = recovery(table)
    waited(made, lambda: None)
    assert made.latest == 1


def test_a_rebalance_ends_the_recovery_of_the_one_before_as_soon_as_it_begins(table: Table) -> None:
    made = recovery(table)
    with pytest.raises(RebalanceAgain):
        waited(made, lambda: setattr(made.app, "rebalancing_count", 2))
    assert made.latest == 0


def test_so_does_one_that_has_given_partitions_out_already(table: Table) -> None:
    made = recovery(table)

    def given_out() -> None:
        made.app.rebalancing_count = made._of = 2
        made.signal_recovery_start.set()

    with pytest.raises(RebalanceAgain):
        waited(made, given_out)
    assert made.latest == 0


def test_the_end_of_one_recovery_does_not_end_the_rebalance_that_has_begun_since() -> None:
    class App(SimpleNamespace):
        rebalancing = microbatch.App.rebalancing

    tables = SimpleNamespace(recovery=SimpleNamespace(latest=1))
    app = App(rebalancing_count=1, _recovered=0, tables=tables)
    assert app.rebalancing
    app.rebalancing = False
    assert not app.rebalancing
    app.rebalancing = True  # as the consumer's thread does, which then counts
    app.rebalancing_count = 2
    app.rebalancing = False
    assert app.rebalancing
