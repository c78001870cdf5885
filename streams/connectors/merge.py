"""Merge: the unified ATS models of Workday, iCIMS, Recruitee, BambooHR ... as facts, and the signature of its webhooks.

Merge tells state, as of its last sync: `modified_at` is the time of that sync and never that of what happened. What has a time
of the ATS (`applied_at`, `submitted_at`, `remote_updated_at` ...) is dated by it; what has none (a stage, a closed job) is
found by comparing two polls, and lies between them. Ids are Merge's own, because models name each other by them.
`VOCABULARY` has the words of webhooks; merge_models.py reads the models in them, which the API lists alike. docs/connectors.md.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from schemas.raw import RawHeaders
from streams.connectors import merge_models as models
from streams.connectors import signatures
from streams.connectors.payload import Node, parse
from streams.connectors.tables import Reading, Table, Tabled
from streams.errors import InvalidPayload, InvalidSignature

VOCABULARY: dict[str, Any] = {
    # events: `Model.verb`; the models' webhook names -> record types
    "models": {
        "job": "jobs",
        "application": "applications",
        "scheduledinterview": "interviews",
        "interview": "interviews",
        "scorecard": "scorecards",
        "offer": "offers",
        "candidate": "candidates",
        "jobinterviewstage": "job_interview_stages",
        "remoteuser": "users",
        "rejectreason": "reject_reasons",
    },
    # models of the vendor's that mean nothing to a clock
    "silent": frozenset({"activity", "attachment", "department", "eeoc", "emailaddress", "jobposting", "office", "phonenumber"})
    | frozenset({"screeningquestion", "screeningquestionanswer", "tag", "url"}),
    "changed": frozenset({"added", "changed", "created", "updated", "synced"}),
    "removed": frozenset({"removed", "deleted"}),
    "signals": frozenset({"linkedaccount", "issue", "linked_account", "asyncpost", "asyncpassthrough"}),
}

#: A record's type by its shape: the first whose fields are all there.
SHAPES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("scorecards", ("overall_recommendation",)),
    ("interviews", ("start_at", "interviewers")),
    ("offers", ("closed_at", "sent_at")),
    ("applications", ("current_stage", "job")),
    ("jobs", ("hiring_managers", "recruiters")),
    ("job_interview_stages", ("stage_order",)),
    ("users", ("access_role",)),
    ("candidates", ("last_interaction_at",)),
    ("reject_reasons", ("name", "remote_was_deleted")),
)


def _table(*, polled: bool) -> Table:
    """Model -> how it is read, and the kinds that a webhook, or besides a poll, can give."""
    kinds = {model: tuple(models.kinds_of_model(model, polled=polled)) for model in models.MODELS}
    return {model: (partial(models.read, model=model, gone=False), kinds[model]) for model in models.MODELS}


class Merge(Tabled):
    """The connector (streams.connectors.Connector and Shared)."""

    system = "merge"
    webhooks = _table(polled=False)
    records = _table(polled=True)
    shapes = SHAPES

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes]) -> None:
        """`X-Merge-Webhook-Signature`: HMAC-SHA256 over the body in base64url; with or without padding is not settled."""
        given = headers.get("x-merge-webhook-signature", "").strip().rstrip("=")
        try:
            digest = base64.b64decode(given + "=", altchars=b"-_", validate=True) if len(given) == 43 else b""
        except (binascii.Error, ValueError):
            digest = b""
        if len(digest) != 32:
            raise InvalidSignature("no header 'X-Merge-Webhook-Signature' with a SHA-256 digest in base64url")
        signatures.check(body, [digest], secrets)

    def linked_account(self, body: bytes) -> str | None:
        """`linked_account.id`."""
        try:
            whose = parse(body).node("linked_account")
            return whose.id("id") if whose else None
        except InvalidPayload:
            return None

    def is_webhook(self, body: Mapping[str, object]) -> bool:
        return "hook" in body and "linked_account" in body

    def webhook(self, raw: RawHeaders, node: Node) -> tuple[Reading | None, Node]:
        """By the model and the verb in `hook.event`."""
        hook = node.required_node("hook")
        event = (hook.text("event") or "").casefold()
        if not event:
            raise hook.missing("event")
        noun, _, verb = event.rpartition(".")
        model = VOCABULARY["models"].get(noun.replace("_", ""))
        if model is not None and verb in VOCABULARY["changed"] | VOCABULARY["removed"]:
            data = node.node("data")
            if data is None or data.id("id") is None:
                return None, node  # a sync of the model is done: a signal to read it
            return partial(models.read, model=model, gone=verb in VOCABULARY["removed"]), data
        if noun.partition(".")[0] in VOCABULARY["signals"] or noun.replace("_", "") in VOCABULARY["silent"]:
            return None, node
        raise InvalidPayload("unknown_action", "hook.event")


MERGE = Merge()
