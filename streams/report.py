"""What people tell us from the command line: declined requests and exceptions, as facts through the gateway's POST /facts.

Who speaks comes from the bearer token, never from what is written. Exceptions are read back from ats.facts.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from schemas.fact import Fact, facts_record
from streams import credentials
from streams.check import load_sources
from streams.errors import InvalidConfiguration, InvalidPayload, Unreachable
from streams.exceptions import exception_of
from streams.settings import Settings
from streams.whole_topic import everything, reader

DECLINE_REASONS = ("illegal", "unethical", "bad_practice", "out_of_agreement")

Subject = dict[str, str | None]  #: requisition_id or application_id


def decline(settings: Settings, token_env: str, now: datetime, subject: Subject, commitment: str | None, reason: str) -> None:
    """TA declines a request. Raises InvalidPayload for an unknown reason or no subject, Unreachable without a gateway."""
    if reason not in DECLINE_REASONS:
        raise InvalidPayload("unknown_reason", f"{reason!r}; there are {', '.join(DECLINE_REASONS)}")
    _send(settings, token_env, "request.declined", now, subject, {"reason_code": reason, "commitment": commitment})
    Console().print("declined: what depends on it is charged to nobody")


def request_exception(
    settings: Settings,
    token_env: str,
    now: datetime,
    subject: Subject,
    commitment: str | None,
    reason: str,
    span: tuple[datetime, datetime],
) -> None:
    """Ask for an exception for deadlines in `span`; prints the id that the approver needs.

    Raises InvalidPayload if the span ends before it begins, or there is no subject; Unreachable without a gateway.
    """
    if span[1] < span[0]:
        raise InvalidPayload("no_interval", f"{span[1].isoformat()} is before {span[0].isoformat()}; give --until a later time")
    exception_id = secrets.token_hex(6)
    said = {
        "exception_id": exception_id,
        "commitment": commitment or "any",
        "from": span[0].isoformat(),
        "until": span[1].isoformat(),
        "reason_code": reason,
    }
    _send(settings, token_env, "exception.requested", now, subject, said)
    Console().print(f"exception {exception_id} asked for; it counts once another person approves it")


def approve_exception(settings: Settings, token_env: str, now: datetime, exception_id: str) -> None:
    """Approve what somebody else asked for. Raises InvalidPayload if nobody asked for it, or whose token it is did."""
    request = next((e for e in exceptions(settings) if e.exception_id == exception_id), None)
    if request is None:
        raise InvalidPayload("unknown_exception", f"nobody asked for {exception_id!r}; see `mutual-sla exception list`")
    mine = [token.identity for token in load_sources(settings.deploy_dir).tokens if token.token.env == token_env]
    if request.requested_by in mine:
        raise InvalidPayload(
            "own_exception",
            f"{request.requested_by} asked for {exception_id}; another person has to approve it, with their own token",
        )
    subject: Subject = {"requisition_id": request.requisition_id, "application_id": request.application_id}
    _send(settings, token_env, "exception.approved", now, subject, {"exception_id": exception_id})
    Console().print(f"exception {exception_id} approved")


@dataclass(frozen=True, slots=True)
class Exceptional:
    """One exception as ats.facts tells of it."""

    exception_id: str
    requisition_id: str | None
    application_id: str | None
    commitment: str | None
    begin: str
    until: str
    reason_code: str
    requested_by: str | None
    approved_by: str | None

    @property
    def counts(self) -> bool:
        """Approved by another person than who asked, both of them known."""
        return None not in (self.requested_by, self.approved_by) and self.approved_by != self.requested_by


def exceptions(settings: Settings) -> list[Exceptional]:
    """Every exception asked for, in the order of ids. Raises Unreachable."""
    requests: dict[str, Fact] = {}
    approvals: dict[str, list[str | None]] = {}
    with reader(settings) as consumer:
        for record in everything(consumer, settings.topic("ats.facts")):
            if b'"exception.' not in record.value:
                continue
            fact = facts_record.validate_json(record.value)
            named = exception_of(fact.attributes) if isinstance(fact, Fact) else None
            if not isinstance(fact, Fact) or named is None:
                continue  # without an id it excuses nothing, and cannot be approved
            if fact.kind == "exception.requested":
                requests.setdefault(named, fact)
            elif fact.kind == "exception.approved":
                approvals.setdefault(named, []).append(fact.actor)
    return [_exceptional(name, fact, approvals.get(name, [])) for name, fact in sorted(requests.items())]


def _exceptional(name: str, fact: Fact, approvers: Sequence[str | None]) -> Exceptional:
    another = [who for who in approvers if who not in (None, fact.actor)]
    said = {key: str(value) for key, value in fact.attributes.items() if value is not None}
    return Exceptional(
        name,
        fact.requisition_id,
        fact.application_id,
        said.get("commitment"),
        said.get("from", ""),
        said.get("until", ""),
        said.get("reason_code", ""),
        fact.actor,
        next(iter([*another, *approvers]), None),
    )


def list_exceptions(settings: Settings, *, as_json: bool) -> None:
    """Print them: a table, or JSON. Raises Unreachable."""
    found = exceptions(settings)
    if as_json:
        json.dump([{**asdict(e), "counts": e.counts} for e in found], sys.stdout, indent=2)
        print()  # noqa: T201
        return
    table = Table("exception", "subject", "commitment", "from", "until", "reason", "asked by", "approved by", "counts")
    for e in found:
        subject = e.application_id or e.requisition_id or ""
        who = (e.requested_by or "", e.approved_by or "")
        table.add_row(e.exception_id, subject, e.commitment, e.begin, e.until, e.reason_code, *who, "yes" if e.counts else "no")
    Console().print(table if found else "no exceptions")


def _send(settings: Settings, token_env: str, kind: str, now: datetime, subject: Subject, attributes: dict[str, Any]) -> None:
    named = {key: value for key, value in subject.items() if value}
    if not named:
        raise InvalidPayload("no_subject", "name --requisition or --application")
    token = os.environ.get(token_env) or credentials.kept(settings.state_dir).get(token_env)
    if not token:
        raise InvalidConfiguration([f"{token_env} holds no gateway token; set it, or name another variable with --token-env"])
    told = {key: value for key, value in attributes.items() if value is not None}
    fact = {"kind": kind, "occurred_at": now.isoformat(), "attributes": told, **named}
    url = f"http://{settings.host}:{settings.gateway_port}/facts"
    try:
        answer = httpx.post(url, json=fact, headers={"Authorization": f"Bearer {token}"}, timeout=settings.gateway_timeout)
    except httpx.HTTPError as error:
        raise Unreachable(f"the gateway at {url} does not answer: {type(error).__name__}") from error
    if answer.status_code == httpx.codes.ACCEPTED:
        return
    said = answer.json() if answer.headers.get("content-type", "").startswith("application/json") else {}
    words = f"{said.get('error', answer.status_code)}; {said.get('mend', 'see the gateway log')}"
    if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise Unreachable(f"the gateway: {words}")
    raise InvalidPayload("refused", words)
