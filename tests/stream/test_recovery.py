"""A table read back from its changelog: a fetch at a time, exactly, on a new disk, after damage, and on standby."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import rocksdict
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
    made.app = SimpleNamespace(role="test", in_recovery=True)
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
