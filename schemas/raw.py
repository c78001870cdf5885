"""What travels in `ats.raw` and `ats.rejected`.

The value of an `ats.raw` record is the body exactly as it arrived; what the gateway knows about it is in record headers.
The key is the source account, so everything of one account stays in order in one partition.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from schemas.base import Agreed, ClockTime, Instant

VENDOR = "vendor."  #: what the names of a vendor's own headers begin with in Kafka
#: `import` is a canonical fact of a file; `erasure` says that a candidate was forgotten, for the record and nobody else.
Channel = Literal["webhook", "record", "fact", "watermark", "import", "erasure"]


class RawHeaders(Agreed):
    """The envelope of a raw body. Never holds secrets, signatures or anything of the candidate."""

    tenant: str
    account: str
    system: str
    channel: Channel
    received_at: ClockTime
    request_id: str
    record_type: str | None = None  #: for channel `record`: scorecards, scheduled_interviews, ...
    delivery_id: str | None = None  #: the vendor's delivery id, for tracing only: never part of a fact's id
    actor: str | None = None  #: for channel `fact`: the identity of the bearer token
    actor_role: str | None = None  #: for channel `fact`: the role of that identity
    backfill: bool = False
    retry_of: str | None = None  #: `topic:partition:offset` of the record that `rejected retry` put back
    #: For channel `record`: when a poll last saw this object, and saw it different; what changed without a time did so since.
    changed_since: Instant | None = None
    #: Headers of the request that say what happened, where a vendor's body does not; only those its connector names.
    vendor: dict[str, str] = Field(default_factory=dict)

    def to_kafka(self) -> list[tuple[str, bytes]]:
        """One Kafka header a field; those of the vendor as `vendor.<name>`."""
        own = self.model_dump(mode="json", exclude_none=True, exclude={"vendor"})
        named = {f"{VENDOR}{name}": value for name, value in self.vendor.items()}
        return [(name, str(value).encode()) for name, value in {**own, **named}.items()]

    @classmethod
    def from_kafka(cls, headers: Iterable[tuple[str, bytes]]) -> RawHeaders:
        fields: dict[str, object] = {}
        vendor: dict[str, str] = {}
        for name, value in headers:
            if name.startswith(VENDOR):
                vendor[name.removeprefix(VENDOR)] = value.decode()
            else:
                fields[name] = value.decode()
        return cls.model_validate({**fields, "vendor": vendor} if vendor else fields)


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
