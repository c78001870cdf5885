"""What travels in `ats.raw` and `ats.rejected`.

The value of an `ats.raw` record is the body exactly as it arrived; what the gateway knows about it is in record headers.
The key is the source account, so everything of one account stays in order in one partition.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from schemas.base import Agreed, Instant

Channel = Literal["webhook", "record", "fact", "watermark"]


class RawHeaders(Agreed):
    """The envelope of a raw body. Never holds secrets, signatures or anything of the candidate."""

    tenant: str
    account: str
    system: str
    channel: Channel
    received_at: Instant
    request_id: str
    record_type: str | None = None  #: for channel `record`: scorecards, scheduled_interviews, ...
    delivery_id: str | None = None  #: the vendor's delivery id, for tracing only: never part of a fact's id
    actor: str | None = None  #: for channel `fact`: the identity of the bearer token
    actor_role: str | None = None  #: for channel `fact`: the role of that identity
    backfill: bool = False
    retry_of: str | None = None  #: `topic:partition:offset` of the record that `rejected retry` put back

    def to_kafka(self) -> list[tuple[str, bytes]]:
        return [(k, str(v).encode()) for k, v in self.model_dump(mode="json", exclude_none=True).items()]

    @classmethod
    def from_kafka(cls, headers: Iterable[tuple[str, bytes]]) -> RawHeaders:
        return cls.model_validate({k: v.decode() for k, v in headers})


class Rejected(Agreed):
    """A dead letter: where the body is, what it hashes to, and why it could not be used. Never the body itself."""

    type: Literal["rejected"] = "rejected"
    topic: str
    partition: int
    offset: int
    sha256: str
    reason: str  #: short and machine-readable, such as `not_json`, `unknown_action`
    detail: str = ""  #: names the field; never a value from the body
    tenant: str
    account: str
    system: str
    channel: str
    rejected_at: Instant

    @property
    def pointer(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"


class Retried(Agreed):
    """The marker that `rejected retry` writes to `ats.rejected` once the body is back in its topic.

    The dead letter of `pointer` is settled; if the body still cannot be used, a new dead letter points to the new record.
    """

    type: Literal["retried"] = "retried"
    pointer: str  #: of the dead letter that was put back
    retried_at: Instant


RejectedRecord = Annotated[Rejected | Retried, Field(discriminator="type")]
#: Every record of `ats.rejected`.
rejected_record: TypeAdapter[Rejected | Retried] = TypeAdapter(RejectedRecord)
