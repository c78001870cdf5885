"""`mutual-sla normalise`: vendor payloads in files to facts on stdout, with the very connectors of the stream and no Kafka.

A file holds one JSON object, an array of them, or JSON lines. `{"action": ..., "payload": ...}` and the like are webhooks; a
polled record is told by its shape (`Connector.record_type`) unless --type says what the files hold. Facts are printed as the
connector gives them: requisition_id is absent where the vendor does not tell it; the stream's link table adds it later.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import orjson

from schemas.fact import Fact
from schemas.raw import RawHeaders
from streams import stages
from streams.connectors import CONNECTORS, Connector
from streams.connectors.payload import written
from streams.errors import InvalidConfiguration, InvalidPayload
from streams.files import whole as whole_file
from streams.settings import Settings
from streams.stages import UNMAPPED, StageMap

BAD_DATA = InvalidPayload.exit_code


def run(
    settings: Settings,
    system: str,
    files: list[Path],
    *,
    account: str | None = None,
    record_type: str | None = None,
    received_at: datetime,
    tenant: str = "files",
) -> int:
    """Print the facts of `files` as JSON lines; returns 0, or 65 if anything in them was unusable.

    Each unusable record is one line on stderr, `file:index: reason: detail`; the others are still printed. Stage names that
    stages.yaml does not know are listed on stderr at the end. `tenant` is part of each fact's id.

    Raises InvalidConfiguration (78) for an unknown system or type.
    """
    connector = _connector(system, record_type)
    mapping = stages.load(settings.deploy_dir / "stages.yaml")
    origin = RawHeaders(
        tenant=tenant,
        account=account or system,
        system=system,
        channel="webhook",
        received_at=received_at,
        request_id="normalise",
    )
    unusable = 0
    unmapped: dict[str, None] = {}
    for path in files:
        for index, body in _bodies(path):
            try:
                if isinstance(body, InvalidPayload):
                    raise body
                facts = _facts(connector, body, origin, record_type, mapping)
            except InvalidPayload as error:
                unusable += 1
                sys.stderr.write(f"{path}:{index}: {error}\n")
                continue
            for fact in facts:
                sys.stdout.write(fact.to_json().decode() + "\n")
                if fact.attributes.get("stage") == UNMAPPED:
                    unmapped[str(fact.attributes.get("stage_name"))] = None
    for name in unmapped:
        sys.stderr.write(f"unmapped stage: {name!r}; add it to {settings.deploy_dir / 'stages.yaml'}\n")
    return BAD_DATA if unusable else 0


def _connector(system: str, record_type: str | None) -> Connector:
    connector = CONNECTORS.get(system)
    if connector is None:
        raise InvalidConfiguration([f"there is no connector {system!r}; there are {', '.join(CONNECTORS)}"])
    if record_type is not None and record_type not in connector.record_kinds:
        raise InvalidConfiguration(
            [f"{system} has no record type {record_type!r}; there are {', '.join(connector.record_kinds)}"]
        )
    return connector


def _bodies(path: Path) -> Iterator[tuple[int, bytes | InvalidPayload]]:
    """(index, body) of each object in a file; a body that cannot be one is the error instead."""
    try:
        content = sys.stdin.buffer.read() if str(path) == "-" else whole_file(path)
    except InvalidPayload as error:
        yield 0, error
        return
    try:
        whole = orjson.loads(content)
    except orjson.JSONDecodeError:
        lines = [line for line in content.splitlines() if line.strip()]
        if len(lines) < 2 or not _is_json(lines[0]):
            yield 0, content  # one body that is no JSON: the connector says what is wrong with it
            return
        yield from enumerate(lines)
        return
    if isinstance(whole, list):
        yield from ((index, _item(item)) for index, item in enumerate(whole))
    else:
        yield 0, content


def _item(item: object) -> bytes | InvalidPayload:
    try:
        return written(item)
    except InvalidPayload as error:
        return error


def _is_json(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _facts(connector: Connector, body: bytes, origin: RawHeaders, record_type: str | None, mapping: StageMap) -> list[Fact]:
    """The facts of one body. Raises InvalidPayload, also where its record type cannot be told."""
    kind = record_type
    if kind is None:
        try:
            shape = orjson.loads(body)
        except orjson.JSONDecodeError:
            shape = None
        if isinstance(shape, dict) and not connector.is_webhook(shape):
            kind = connector.record_type(shape)
            if kind is None:
                raise InvalidPayload("unknown_record_type", f"say --type, one of {', '.join(connector.record_kinds)}")
    raw = origin.model_copy(update={"channel": "record" if kind else "webhook", "record_type": kind})
    return connector.normalise(raw, body, mapping)
