"""Who may call: secrets by reference, bearer tokens to identity and role, and the webhook secrets of each account.

In: the references of deploy/sources.yaml. Out: bytes held in memory by one process, never logged, never in an error message.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from schemas.sources import Account, SecretRef, Sources
from streams.connectors import Connector, Shared
from streams.errors import InvalidConfiguration, InvalidSignature, MutualSLAError

#: Shorter bearer tokens can be guessed; `openssl rand -hex 24` makes a good one.
MINIMUM_TOKEN_LENGTH = 16


class UnreadableSecret(MutualSLAError):
    """A secret's variable or file is missing, unreadable or empty; the message names it, never its value."""

    exit_code = 78


def resolve(reference: SecretRef, base: Path) -> bytes:
    """The secret itself. A relative file is looked up in `base` (the deploy directory); a final line break is cut off.

    Raises UnreadableSecret: an empty secret is refused too, for anybody can sign with it.
    """
    if reference.env is not None:
        where, value = f"environment variable {reference.env}", os.environ.get(reference.env, "").encode()
    else:
        path = base / Path(reference.file or "").expanduser()
        where = f"file {reference.file}"
        try:
            value = path.read_bytes()
        except OSError as error:
            raise UnreadableSecret(f"{where} cannot be read: {error.strerror}") from None
    value = value.rstrip(b"\r\n")
    if not value:
        raise UnreadableSecret(f"{where} is not set, or empty")
    return value


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a bearer token stands for."""

    name: str
    role: str


class Access:
    """All secrets of one process, resolved once at start; a rotated secret takes effect with a restart."""

    def __init__(self, tokens: Mapping[bytes, Identity], webhook_secrets: Mapping[str, tuple[bytes, ...]]) -> None:
        # Digests have one length, so that comparing them tells nothing about a token's length either.
        self._identities = [(hashlib.sha256(token).digest(), identity) for token, identity in tokens.items()]
        self._webhook_secrets = dict(webhook_secrets)

    @classmethod
    def from_sources(cls, sources: Sources, base: Path) -> Access:
        """Resolves every reference in `sources`. Raises InvalidConfiguration listing all that fail."""
        faults: list[str] = []
        tokens: dict[bytes, Identity] = {}
        for entry in sources.tokens:
            try:
                _add_token(tokens, resolve(entry.token, base), Identity(entry.identity, entry.role))
            except UnreadableSecret as error:
                faults.append(f"token of {entry.identity}: {error}")
        secrets: dict[str, tuple[bytes, ...]] = {}
        for account in sources.accounts:
            try:
                secrets[account.account] = tuple(resolve(reference, base) for reference in account.webhook_secrets)
            except UnreadableSecret as error:
                faults.append(f"webhook secret of {account.account}: {error}")
        if faults:
            raise InvalidConfiguration(faults)
        return cls(tokens, secrets)

    def identify(self, authorization: str | None) -> Identity | None:
        """The identity behind an `Authorization: Bearer …` header; None if there is none. Takes the same time for any token."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        digest = hashlib.sha256(token.strip().encode()).digest()
        found = None
        for known, identity in self._identities:
            if hmac.compare_digest(known, digest):
                found = identity
        return found

    def webhook_secrets(self, account: str) -> tuple[bytes, ...]:
        """The live secrets of an account: two while one is rotated, none if it takes no webhooks."""
        return self._webhook_secrets.get(account, ())

    def owner(
        self, connector: Connector, source: Account, accounts: Iterable[Account], headers: Mapping[str, str], body: bytes
    ) -> Account | None:
        """Whose a verified webhook is: where it serves many accounts, the one it names, if that one's secret fits too."""
        if not isinstance(connector, Shared) or source.linked_account is None:
            return source
        named = connector.linked_account(body)
        for one in accounts:
            if named is not None and (one.system, one.linked_account) == (source.system, named):
                with suppress(InvalidSignature):
                    connector.verify(headers, body, self.webhook_secrets(one.account))
                    return one
        return None


def _add_token(tokens: dict[bytes, Identity], token: bytes, identity: Identity) -> None:
    if len(token) < MINIMUM_TOKEN_LENGTH:
        raise UnreadableSecret(f"shorter than {MINIMUM_TOKEN_LENGTH} characters")
    if token in tokens:
        raise UnreadableSecret(f"the same as that of {tokens[token].name}: one could pass for the other")
    tokens[token] = identity
