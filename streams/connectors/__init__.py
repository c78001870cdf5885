"""What a connector is, and the index of them: a new system is one file here and one line in `CONNECTORS`.

A connector is pure: it verifies a signature over the bytes it is given and turns one body into facts. It reads no clock, no
environment and no socket; everything it must know about the delivery is in the `RawHeaders`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from schemas.fact import Fact
from schemas.raw import RawHeaders
from schemas.sources import Sources
from streams.connectors.ashby import ASHBY
from streams.connectors.greenhouse import GREENHOUSE
from streams.connectors.lever import LEVER
from streams.connectors.merge import MERGE
from streams.connectors.smartrecruiters import SMARTRECRUITERS
from streams.connectors.teamtailor import TEAMTAILOR
from streams.connectors.workable import WORKABLE
from streams.stages import StageMap


@runtime_checkable
class Handshaking(Protocol):
    """A vendor that calls once before it sends anything, to see whether somebody is there."""

    def handshake(self, headers: Mapping[str, str]) -> Mapping[str, str] | None:
        """The headers to answer 200 with if this is that call, else None. It is not signed yet: it must cause nothing."""
        ...


@runtime_checkable
class Timestamped(Protocol):
    """A vendor that signs the time of each request: an old one is a replay."""

    @property
    def max_age(self) -> timedelta:
        """How far the signed time may be from ours, either way."""
        ...

    def signed_at(self, headers: Mapping[str, str], body: bytes) -> datetime:
        """The signed time, of a request that was verified. Raises InvalidSignature if there is none."""
        ...


@runtime_checkable
class Tokened(Protocol):
    """A vendor that signs a token and a time instead of the body: the token may come again only with the same body."""

    @property
    def max_age(self) -> timedelta:
        """How old the signed time may be: longer than the vendor retries."""
        ...

    def replay_token(self, body: bytes) -> tuple[str, datetime]:
        """The token and the signed time, of a body that was verified. Raises InvalidSignature if they are none."""
        ...


@runtime_checkable
class Shared(Protocol):
    """A vendor whose webhooks serve all accounts of an organisation: each says whose it is."""

    def linked_account(self, body: bytes) -> str | None:
        """The vendor's id of the account that a (verified) body is about; None where it names none."""
        ...


class Connector(Protocol):
    """One system's dialect. `docs/connectors.md` says for each what is documented, and what is not.

    A connector may be `Handshaking`, `Timestamped`, `Tokened` and `Shared` besides, may say in `bad_signature_status` what to
    answer instead of 401 and in `vouched_kinds` that a live webhook vouches for fewer than `webhook_kinds`, and may name in
    `vendor_headers` (a frozenset of lower-case names) the request headers that the gateway keeps as `RawHeaders.vendor`.
    """

    @property
    def system(self) -> str:
        """The name in `/webhooks/{system}` and in sources.yaml."""
        ...

    @property
    def success_status(self) -> int:
        """The status code this vendor takes for 'received'."""
        ...

    @property
    def webhook_kinds(self) -> frozenset[str]:
        """Fact kinds its webhooks can give; a live webhook vouches for these (design: completeness)."""
        ...

    @property
    def record_kinds(self) -> Mapping[str, frozenset[str]]:
        """Record type -> fact kinds its polled records can give; a finished poll of the type vouches for these."""
        ...

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes]) -> None:
        """Check the signature over exactly these bytes; `headers` have lower-case names, any of `secrets` may match.

        Raises InvalidSignature, whose message never holds a secret or the signature expected.
        """
        ...

    def delivery_id(self, headers: Mapping[str, str]) -> str | None:
        """The vendor's id of this delivery, for tracing only."""
        ...

    def is_ping(self, body: bytes) -> bool:
        """Whether the (verified) body is the vendor's own test, to be answered and not turned into facts."""
        ...

    def is_webhook(self, body: Mapping[str, object]) -> bool:
        """Whether the object is a webhook's envelope, for files that do not say."""
        ...

    def record_type(self, record: Mapping[str, object]) -> str | None:
        """The record type by shape, for files that do not say; None where no type or more than one fits."""
        ...

    def normalise(self, raw: RawHeaders, body: bytes, stages: StageMap) -> list[Fact]:
        """One body (channel `webhook` or `record`) to facts, in a fixed order; no facts where it means nothing to a clock.

        Raises InvalidPayload naming the reason and the field, never a value; nothing else.
        """
        ...


CONNECTORS: Mapping[str, Connector] = {
    connector.system: connector for connector in (ASHBY, GREENHOUSE, LEVER, MERGE, SMARTRECRUITERS, TEAMTAILOR, WORKABLE)
}

#: Kinds people may report by POST /facts: moments no ATS records, or that not every customer records there. What an ATS does
#: record (a scorecard, a rejection) is not among them, so that nobody keeps a promise by saying so.
MANUAL_KINDS: frozenset[str] = frozenset(
    {
        "requisition.approved",
        "requisition.intake_held",
        "requisition.recruiter_assigned",
        "requisition.held",
        "requisition.resumed",
        "requisition.reopened",
        "application.screened",
        "application.withdrawn",
        "candidate.informed",
        "availability.requested",
        "availability.given",
        "interview.no_show",
        "offer.sent",
        "request.declined",
        "exception.requested",
        "exception.approved",
    }
)

#: What the link table tells by itself when one application is seen in another requisition, whatever the source.
ROUTED_KINDS: frozenset[str] = frozenset({"application.moved"})

#: The account and system of facts that people report; it has no watermark, because a request is answered only once it is kept.
MANUAL_ACCOUNT = "manual"


def declared_kinds(sources: Sources) -> dict[str, frozenset[str]]:
    """Account -> the fact kinds it can emit as configured: webhook kinds if it has a webhook secret, and its polled types'.

    POST /facts is not in it: what people may report is `MANUAL_KINDS`. Unknown systems and record types give nothing here;
    `check` reports them.
    """
    declared: dict[str, frozenset[str]] = {}
    for source in sources.accounts:
        connector = CONNECTORS.get(source.system)
        kinds: frozenset[str] = frozenset()
        if connector is not None:
            kinds = connector.webhook_kinds if source.webhook_secrets else kinds
            kinds = kinds.union(*(connector.record_kinds.get(record, ()) for record in source.polled))
        declared[source.account] = declared.get(source.account, frozenset()) | kinds
    return declared
