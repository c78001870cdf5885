"""Reaching people by each channel: a JSON webhook, a Slack-compatible one, and a real SMTP conversation."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from pathlib import Path

import pytest

from schemas.directory import Contact
from streams import contacts, ports
from streams.contacts import Message, Post, Undelivered
from streams.settings import Settings
from tests.installation import Sink

MESSAGE = Message(
    subject="1 overdue: decide",
    text="decide, 2 h late – mend it.",
    key="k1",
    sent_at=datetime(2026, 5, 6, 12, tzinfo=UTC),
    data={"kind": "page"},
)


class MailServer(socketserver.ThreadingTCPServer):
    """As much of SMTP (RFC 5321) as a client needs to hand over one mail; `refusals` of the next ones are refused."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), MailConversation)
        self.mails: list[bytes] = []
        self.refusals = 0


class MailConversation(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self._say("220 here")
        while line := self.rfile.readline().strip().upper():
            if line == b"DATA":
                self._say("354 go on")
                lines: list[bytes] = []
                while (part := self.rfile.readline()) != b".\r\n":
                    lines.append(part)
                self.server.mails.append(b"".join(lines))
            elif line == b"QUIT":
                self._say("221 bye")
                return
            elif line.startswith(b"MAIL") and self.server.refusals:
                self.server.refusals -= 1
                self._say("451 later")
                continue
            self._say("250 ok")

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with MailServer() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(contacts, "BACK_OFF_SECONDS", 0.01)
    return Settings(state_dir=tmp_path)


def test_a_webhook_gets_data_and_text_with_a_key(settings: Settings) -> None:
    with Sink() as sink:
        assert Post(settings).send(Contact(webhook=sink.url("/hook")), MESSAGE) == "webhook"
        ((_, body, key),) = sink.received
    assert key == "k1"
    assert body == {"kind": "page", "subject": MESSAGE.subject, "text": MESSAGE.text, "sent_at": "2026-05-06T12:00:00+00:00"}


def test_slack_gets_text_and_nothing_else(settings: Settings) -> None:
    with Sink() as sink:
        assert Post(settings).send(Contact(slack_webhook=sink.url("/slack")), MESSAGE) == "slack"
        assert sink.to("/slack") == [{"text": "*1 overdue: decide*\ndecide, 2 h late – mend it."}]


def test_mail_is_handed_to_the_server_and_tried_again_when_it_says_later(settings: Settings, mail: MailServer) -> None:
    mail.refusals = 1
    with_mail = replace(settings, smtp_host="127.0.0.1", smtp_port=mail.server_address[1], smtp_from="sla@example.com")
    assert Post(with_mail).send(Contact(email="owner@example.com"), MESSAGE) == "email"
    (sent,) = mail.mails
    read = message_from_bytes(sent)
    assert (read["To"], read["From"], read["Subject"]) == ("owner@example.com", "sla@example.com", MESSAGE.subject)
    assert read["Message-ID"] == "<k1@mutual-sla>"
    body = read.get_payload(decode=True)
    assert isinstance(body, bytes)
    assert body.decode().strip() == MESSAGE.text


@pytest.mark.parametrize("what", ["nobody listens", "refused for good", "not a URL", "no address"])
def test_what_cannot_be_delivered_is_said(settings: Settings, what: str) -> None:
    dead = f"http://127.0.0.1:{ports.free()}/"
    with Sink() as sink:
        gone = {"nobody listens": dead, "refused for good": sink.url("/gone"), "not a URL": "nonsense", "no address": None}[what]
        sink.refusing = {"/gone"}
        with pytest.raises(Undelivered):
            Post(settings).send(Contact(webhook=gone), MESSAGE)
        assert sink.asked.get("/gone", 0) == (1 if what == "refused for good" else 0), "a 4xx is not tried again"


def test_mail_without_a_listening_server_is_not_delivered(settings: Settings) -> None:
    with pytest.raises(Undelivered):
        Post(replace(settings, smtp_host="127.0.0.1", smtp_port=ports.free())).send(Contact(email="a@example.com"), MESSAGE)
