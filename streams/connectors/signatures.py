"""HMAC-SHA256 as vendors use it: compared in constant time, under each of the secrets that are live."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence

from streams.errors import InvalidSignature


def check(signed: bytes, claimed: Iterable[bytes], secrets: Sequence[bytes]) -> None:
    """Whether any of the signatures `claimed` (raw digests) is that of `signed` under any of `secrets`; an empty one is none.

    Raises InvalidSignature, which never tells the right one. Every pair is compared, so that time tells nothing either.
    """
    given = list(claimed)
    right = [hmac.digest(secret, signed, "sha256") for secret in secrets if secret]
    fitting = [hmac.compare_digest(one, other) for one in right for other in given]
    if not any(fitting):
        raise InvalidSignature("the signature does not fit under any of the account's secrets")


def from_hex(text: str) -> bytes | None:
    """A digest from its 64 hex digits, upper or lower case; None for anything else."""
    try:
        digest = bytes.fromhex(text) if len(text) == 64 else b""
    except ValueError:
        return None
    return digest or None
