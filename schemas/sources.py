"""The sources file: which ATS accounts feed us, their secrets (by reference only), and who may call the gateway."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from schemas.base import Agreed, Positive


class SecretRef(Agreed):
    """A secret by reference: the name of an environment variable, or of a file. Never the secret itself."""

    env: str | None = None
    file: str | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> SecretRef:
        if (self.env is None) == (self.file is None):
            raise ValueError("a secret has exactly one of env, file")
        return self


class Api(Agreed):
    """How our poller reads a vendor's API. Which secrets it needs is the vendor's: `check` says what is missing."""

    base_url: str | None = None  #: default: the vendor's own; the only host that is ever asked for records
    version: str | None = None  #: Greenhouse: v3 (default) or v1
    token_url: str | None = None  #: OAuth2 client credentials; default: the vendor's own
    client_id: SecretRef | None = None
    client_secret: SecretRef | None = None
    user: str | None = None  #: Greenhouse v3: id of the user the client acts for (`sub`)
    token: SecretRef | None = None  #: an API key or bearer token, where the vendor has these
    account_token: SecretRef | None = None  #: Merge: the linked account's


class Account(Agreed):
    """One account of one vendor. `webhook_secrets` may hold two while a secret is rotated."""

    account: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    system: str
    webhook_secrets: tuple[SecretRef, ...] = ()
    linked_account: str | None = None  #: Merge: its id of this account, by which the webhooks say whose they are
    polled: tuple[str, ...] = ()  #: record types that arrive by POST /records or by our poller
    api: Api | None = None  #: where our poller reads the types of `polled`; None: they are posted
    poll_every: Positive = 300.0  #: seconds between two polls


class Token(Agreed):
    """A bearer token with who it stands for. `extractor` may post records, the others facts."""

    identity: str
    role: Literal["extractor", "talent_acquisition", "hiring_manager", "approver", "api"]
    token: SecretRef


class Sources(Agreed):
    tenant: str
    accounts: tuple[Account, ...] = Field(min_length=1)
    tokens: tuple[Token, ...] = ()
