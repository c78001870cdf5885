"""Local state that cannot be read any more: thrown away, because the changelog has all of it.

RocksDB opens what it can and notices a damaged block only when it reads it, so there are two places: databases that do not open
are removed before the worker starts, and what fails later leaves a note, by which the next start removes everything.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import rocksdict
import structlog

NOTE = "damaged"

#: In the words of RocksDB: the database is well, but somebody has it or the machine has no room.
NO_DAMAGE = ("lock", "No space left", "Too many open files", "Permission denied", "Cannot allocate memory")

log = structlog.get_logger()


def remove_damaged(datadir: Path, offset_key: bytes) -> None:
    """Remove the databases below `datadir` that cannot be used; call with no worker running in it."""
    note = datadir / NOTE
    if note.exists():
        log.warning("state_removed", folder=str(datadir), why=note.read_text())
        shutil.rmtree(datadir)
        datadir.mkdir()
        return
    for folder in sorted(datadir.rglob("*.db")):
        fault = _fault(folder, offset_key)
        if fault:
            log.warning("state_removed", folder=str(folder), why=fault)
            shutil.rmtree(folder)


def note(datadir: Path, error: BaseException) -> None:
    """Have everything removed at the next start, if the error is RocksDB's word for damage."""
    if "Corruption" in str(error):
        (datadir / NOTE).write_text(str(error))


def _fault(folder: Path, offset_key: bytes) -> str:
    try:
        database = rocksdict.Rdict(str(folder), rocksdict.Options(raw_mode=True))
    except Exception as error:  # rocksdict has no classes of its own
        return "" if any(words in str(error) for words in NO_DAMAGE) else str(error)
    try:
        database.get(offset_key)
    except Exception as error:
        return "" if any(words in str(error) for words in NO_DAMAGE) else str(error)
    finally:
        database.close()
    return ""
