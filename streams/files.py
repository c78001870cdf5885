"""Files as people have them: plain or gzip, told by their first bytes. A gzip that breaks off is a fault, no shorter file."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from streams.errors import InvalidPayload

GZIP = b"\x1f\x8b"


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The (unpacked) bytes of a file, as a stream.

    Raises InvalidPayload, also while the stream is read inside the block: `not_readable`, `truncated_gzip`, `broken_gzip`.
    """
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == GZIP
            plain.seek(0)
            if not packed:
                yield plain
                return
            with gzip.open(plain, "rb") as unpacked:
                yield cast(BinaryIO, unpacked)
    except EOFError:
        raise InvalidPayload("truncated_gzip", "the file breaks off: copy it again; nothing of it was used") from None
    except (gzip.BadGzipFile, zlib.error):
        raise InvalidPayload("broken_gzip", "the file is damaged: copy it again; nothing of it was used") from None
    except OSError as error:
        raise InvalidPayload("not_readable", error.strerror or type(error).__name__) from None


def whole(path: Path) -> bytes:
    """All bytes, unpacked. Raises InvalidPayload as `opened` does."""
    with opened(path) as stream:
        return stream.read()
