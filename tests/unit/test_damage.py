"""Databases that are damaged are removed, whole ones stay, and so do those that somebody has open."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import rocksdict
from faust.stores.rocksdb import Store

from streams import damage
from streams.microbatch import OFFSET_KEY


def filled(folder: Path) -> Path:
    """Two databases of some files each, as a worker leaves them."""
    for number in range(2):
        path = folder / "v1" / "tables" / f"state-{number}.db"
        path.parent.mkdir(parents=True, exist_ok=True)
        database = rocksdict.Rdict(str(path), rocksdict.Options(raw_mode=True))
        for key in range(5000):
            database.put(b"%06d" % key, Random(key).randbytes(100))
        database.put(OFFSET_KEY, b"4999")
        database.flush()
        database.close()
    return folder


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*.db"))


def test_it_is_the_key_of_fausts_store() -> None:
    assert Store.offset_key == OFFSET_KEY


def test_whole_databases_stay(tmp_path: Path) -> None:
    damage.remove_damaged(filled(tmp_path), OFFSET_KEY)
    assert left(tmp_path) == ["state-0.db", "state-1.db"]


@pytest.mark.parametrize("pattern", ["*.sst", "CURRENT", "MANIFEST*"])
@pytest.mark.parametrize("harm", ["deleted", "cut", "overwritten"])
def test_a_damaged_database_is_removed_or_still_opens(tmp_path: Path, pattern: str, harm: str) -> None:
    """Whatever was done to it: afterwards each database that is left can be opened and asked how far it got."""
    filled(tmp_path)
    for path in (tmp_path / "v1/tables/state-0.db").glob(pattern):
        if harm == "deleted":
            path.unlink()
        elif harm == "cut":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        else:
            path.write_bytes(Random(1).randbytes(path.stat().st_size))
    damage.remove_damaged(tmp_path, OFFSET_KEY)
    assert "state-1.db" in left(tmp_path)
    for path in tmp_path.rglob("*.db"):
        database = rocksdict.Rdict(str(path), rocksdict.Options(raw_mode=True))
        assert database.get(OFFSET_KEY) in (b"4999", None)
        database.close()


def test_a_database_in_use_is_left_alone(tmp_path: Path) -> None:
    path = filled(tmp_path) / "v1/tables/state-0.db"
    database = rocksdict.Rdict(str(path), rocksdict.Options(raw_mode=True))
    damage.remove_damaged(tmp_path, OFFSET_KEY)
    database.close()
    assert left(tmp_path) == ["state-0.db", "state-1.db"]


def test_damage_that_shows_later_has_everything_removed_at_the_next_start(tmp_path: Path) -> None:
    filled(tmp_path)
    damage.note(tmp_path, RuntimeError("IO error: No space left on device"))
    damage.remove_damaged(tmp_path, OFFSET_KEY)
    assert len(left(tmp_path)) == 2
    damage.note(tmp_path, RuntimeError("Corruption: block checksum mismatch in 000012.sst"))
    damage.remove_damaged(tmp_path, OFFSET_KEY)
    assert left(tmp_path) == [] and tmp_path.is_dir()
    damage.remove_damaged(tmp_path, OFFSET_KEY)
