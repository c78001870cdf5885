"""Reaching people: one message to one contact of deploy/people.yaml, by HTTP, Slack-compatible webhook or e-mail.

In: a `Contact` and a `Message`. Out: the channel that took it; raises `Undelivered` where none did. What may pass (no
connection, 429, 5xx) is tried again with back-off, other 4xx are not. Addresses are used here only, and never logged.
"""

from __future__ import annotations

import smtplib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from time import sleep

import httpx
import structlog

from schemas.directory import Contact
from streams import metrics
from streams.errors import MutualSLAError
from streams.settings import Settings

TRIES = 3
BACK_OFF_SECONDS = 0.5  #: doubled after each try
TIMEOUT_SECONDS = 5.0
CHANNELS = ("webhook", "slack", "email", "outbox")

log = structlog.get_logger()
DELIVERIES = metrics.PAGER_SENT.counter()
for _channel in CHANNELS:
    for _result in ("sent", "failed"):
        DELIVERIES.labels(_channel, _result)


class Undelivered(MutualSLAError):
    """No channel of a contact took the message."""

    exit_code = 69


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is said, once as text for people and once as data for programs. `key` is the same whenever it is sent again."""

    subject: str
    text: str
    key: str
    sent_at: datetime
    data: Mapping[str, object] = field(default_factory=dict)


class Post:
    """Hands messages over. `pause` is the waiting between tries."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = httpx.Client(timeout=TIMEOUT_SECONDS)

    def send_first(self, contacts: Sequence[Contact], message: Message) -> tuple[int, str]:
        """To the first contact that takes it; returns its place and the channel. Raises Undelivered if none does."""
        for place, contact in enumerate(contacts):
            try:
                return place, self.send(contact, message)
            except Undelivered as error:
                log.warning("contact_not_reached", place=place, error=str(error))
        raise Undelivered("no contact could be reached")

    def send(self, contact: Contact, message: Message) -> str:
        """To the first address that is set, in the order of `Contact`; returns the channel. Raises Undelivered."""
        if contact.webhook:
            body = {**message.data, "subject": message.subject, "text": message.text, "sent_at": message.sent_at.isoformat()}
            return self._tried("webhook", lambda url=contact.webhook: self._http(url, body, message.key))
        if contact.slack_webhook:
            body = {"text": f"*{message.subject}*\n{message.text}"}
            return self._tried("slack", lambda url=contact.slack_webhook: self._http(url, body, message.key))
        if contact.email:
            mail = self._mail(contact.email, message)
            if not self._settings.smtp_host:
                return self._outbox(mail, message)
            return self._tried("email", lambda: self._smtp(mail))
        raise Undelivered("no address is set")

    def _tried(self, channel: str, attempt: object) -> str:
        assert callable(attempt)
        for number in range(TRIES):
            try:
                attempt()
            except httpx.HTTPStatusError as error:
                reason = f"status {error.response.status_code}"
                if error.response.status_code < 500 and error.response.status_code != 429:
                    break
            except (httpx.HTTPError, httpx.InvalidURL, OSError, smtplib.SMTPException) as error:
                reason = type(error).__name__
            else:
                DELIVERIES.labels(channel, "sent").inc()
                return channel
            if number + 1 < TRIES:
                sleep(BACK_OFF_SECONDS * 2**number)
        DELIVERIES.labels(channel, "failed").inc()
        raise Undelivered(f"{channel}: {reason}")

    def _http(self, url: str, body: Mapping[str, object], key: str) -> None:
        self._client.post(url, json=body, headers={"Idempotency-Key": key}).raise_for_status()

    def _mail(self, address: str, message: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = self._settings.smtp_from, address, message.subject
        mail["Date"] = format_datetime(message.sent_at)
        mail["Message-ID"] = f"<{message.key}@mutual-sla>"  # a mail server may drop the second of the same
        mail.set_content(message.text)
        return mail

    def _smtp(self, mail: EmailMessage) -> None:
        with smtplib.SMTP(self._settings.smtp_host, self._settings.smtp_port, timeout=TIMEOUT_SECONDS) as server:
            server.send_message(mail)

    def _outbox(self, mail: EmailMessage, message: Message) -> str:
        """Where no mail server is set, mail is left for people to see; an installation that pages sets one."""
        folder = outbox(self._settings)
        fresh = folder / f".{message.key}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(mail.as_bytes())
            fresh.replace(folder / f"{message.sent_at:%Y%m%dT%H%M%S}-{message.key[:12]}.eml")
        except OSError as error:  # a full disk, say
            DELIVERIES.labels("outbox", "failed").inc()
            raise Undelivered(f"outbox: {error.strerror}") from error
        DELIVERIES.labels("outbox", "sent").inc()
        return "outbox"


def outbox(settings: Settings) -> Path:
    """The folder of mail that no server was set for."""
    return settings.state_dir / "outbox"
