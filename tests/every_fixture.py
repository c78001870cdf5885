"""Every connector's bodies (tests/fixtures/<system>), found by their folder: a new connector joins by adding fixtures.

`webhook.NAME.json` is a webhook's body, `record.TYPE.json` a record, `ping.NAME.json` the vendor's own test. `SIGN` says how
each vendor signs; it is written here once more from its documentation, so that a connector is not tested with itself.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from streams.connectors import CONNECTORS
from tests.vendors import FOLDER

BODIES: dict[tuple[str, str], Any] = {
    (system, path.stem): json.loads(path.read_text())
    for system in sorted(CONNECTORS)
    for path in sorted((FOLDER / system).glob("*.json"))
}
FACTUAL = sorted(name for name in BODIES if name[1].partition(".")[0] in ("webhook", "record"))

#: A signed request: its headers in lower case, and its body, to which some vendors add the signature.
Signed = tuple[Mapping[str, str], bytes]
Signer = Callable[[bytes, Any], Signed]


def digest(secret: bytes, signed: bytes) -> bytes:
    return hmac.new(secret, signed, hashlib.sha256).digest()


def _smartrecruiters(secret: bytes, body: Any) -> Signed:
    raw = orjson.dumps(body)
    names = {"event-id": "e-1", "event-name": "job.updated", "event-version": "v1", "link": "<https://x/y>; rel=self"}
    signed = b".".join([b"1780000000", raw, *(value.encode() for value in names.values())])
    return {
        **names,
        "smartrecruiters-timestamp": "1780000000",
        "smartrecruiters-signature": f"v1={digest(secret, signed).hex()}",
    }, raw


def _lever(secret: bytes, body: Any) -> Signed:
    signed = f"{body['token']}{body['triggeredAt']}".encode()
    return {}, orjson.dumps({**body, "signature": digest(secret, signed).hex()})


def _teamtailor(secret: bytes, body: Any) -> Signed:
    signed = base64.b64encode(digest(secret, b"812").hex().encode()).decode()
    return {"teamtailor-signature": signed}, orjson.dumps({**body, "resource_id": "812"})


def _header(name: str, write: Callable[[bytes], str]) -> Signer:
    def sign(secret: bytes, body: Any) -> Signed:
        raw = orjson.dumps(body)
        return {name: write(digest(secret, raw))}, raw

    return sign


SIGN: dict[str, Signer] = {
    "ashby": _header("ashby-signature", lambda d: f"sha256={d.hex()}"),
    "greenhouse": _header("signature", lambda d: f"sha256 {d.hex()}"),
    "lever": _lever,
    "merge": _header("x-merge-webhook-signature", lambda d: base64.urlsafe_b64encode(d).decode()),
    "smartrecruiters": _smartrecruiters,
    "teamtailor": _teamtailor,
    "workable": _header("x-workable-signature", lambda d: d.hex()),
}


def webhook(system: str) -> Any:
    """Some webhook body of the system."""
    return next(body for (owner, name), body in BODIES.items() if owner == system and name.startswith("webhook."))


#: What must not change without the signature noticing: a byte of what the vendor signs. Lever and Teamtailor sign no body.
TAMPER: dict[str, tuple[bytes, bytes]] = {"lever": (b'"token":"0', b'"token":"1'), "teamtailor": (b'"812"', b'"813"')}
