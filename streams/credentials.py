"""Secrets for a run on this machine only: what deploy/sources.yaml names and nobody has set is made up once, and kept.

With the user's own Kafka (`--brokers`) nothing is made up: a missing secret is then a fault that the gateway reports.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from schemas.sources import Sources


def names(sources: Sources) -> list[str]:
    """The environment variables that the sources file names, in its order."""
    references = [ref for account in sources.accounts for ref in account.webhook_secrets]
    references += [token.token for token in sources.tokens]
    return [ref.env for ref in references if ref.env is not None]


def kept(state_dir: Path) -> dict[str, str]:
    """Name -> secret of those an earlier run made up; empty if none did."""
    path = state_dir / "secrets.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def complete(sources: Sources, state_dir: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Name -> secret for every variable of the sources file: from `given` (the environment), else from an earlier run, else new.

    New ones go to `secrets.json` in the state directory, readable by its owner only. Never log the result.
    """
    path = state_dir / "secrets.json"
    known = kept(state_dir)
    missing = [name for name in names(sources) if not given.get(name) and name not in known]
    if missing:
        known.update({name: secrets.token_urlsafe(32) for name in missing})
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(known, file, indent=1)
        fresh.replace(path)
    return {name: given.get(name) or known[name] for name in names(sources)}
