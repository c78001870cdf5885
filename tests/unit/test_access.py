"""Secrets by reference, bearer tokens and webhook secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.sources import Account, SecretRef, Sources, Token
from streams.access import Access, Identity, UnreadableSecret, resolve
from streams.errors import InvalidConfiguration

TOKEN = "extractor-token-0123456789"


def sources(**overrides: object) -> Sources:
    values: dict[str, object] = {
        "tenant": "acme",
        "accounts": (
            Account(
                account="greenhouse",
                system="greenhouse",
                webhook_secrets=(SecretRef(env="TEST_GH_SECRET"), SecretRef(file="old.secret")),
            ),
        ),
        "tokens": (Token(identity="extractor-1", role="extractor", token=SecretRef(env="TEST_EXTRACTOR_TOKEN")),),
    }
    return Sources.model_validate(values | overrides)


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TEST_GH_SECRET", "new-secret")
    monkeypatch.setenv("TEST_EXTRACTOR_TOKEN", TOKEN)
    (tmp_path / "old.secret").write_text("old-secret\n")
    return tmp_path


def test_a_secret_comes_from_the_environment_or_from_a_file_beside_the_sources(base: Path) -> None:
    assert Access.from_sources(sources(), base).webhook_secrets("greenhouse") == (b"new-secret", b"old-secret")


def test_an_account_nobody_configured_has_no_secrets(base: Path) -> None:
    assert Access.from_sources(sources(), base).webhook_secrets("lever") == ()


@pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"Bearer  {TOKEN} "])
def test_a_bearer_token_gives_identity_and_role(base: Path, header: str) -> None:
    assert Access.from_sources(sources(), base).identify(header) == Identity("extractor-1", "extractor")


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}"]
)
def test_any_other_header_is_nobody(base: Path, header: str | None) -> None:
    assert Access.from_sources(sources(), base).identify(header) is None


def test_a_token_that_is_no_latin_text_is_nobody(base: Path) -> None:
    assert Access.from_sources(sources(), base).identify("Bearer ключ-ключ-ключ-ключ") is None


def test_all_missing_secrets_are_listed_at_once_without_a_value(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_EXTRACTOR_TOKEN")
    (base / "old.secret").unlink()
    with pytest.raises(InvalidConfiguration) as caught:
        Access.from_sources(sources(), base)
    assert [fault.split(":")[0] for fault in caught.value.faults] == ["token of extractor-1", "webhook secret of greenhouse"]
    assert "TEST_EXTRACTOR_TOKEN" in str(caught.value)
    assert "new-secret" not in str(caught.value)


@pytest.mark.parametrize("value", ["", "\n"])
def test_an_empty_secret_is_refused(value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TEST_EMPTY", value)
    with pytest.raises(UnreadableSecret, match="TEST_EMPTY"):
        resolve(SecretRef(env="TEST_EMPTY"), tmp_path)


def test_two_identities_cannot_share_a_token(base: Path) -> None:
    twice = (
        Token(identity="ada", role="approver", token=SecretRef(env="TEST_EXTRACTOR_TOKEN")),
        Token(identity="bob", role="talent_acquisition", token=SecretRef(env="TEST_EXTRACTOR_TOKEN")),
    )
    with pytest.raises(InvalidConfiguration, match="token of bob: the same as that of ada") as caught:
        Access.from_sources(sources(tokens=twice), base)
    assert TOKEN not in str(caught.value)


def test_a_short_token_is_refused(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_EXTRACTOR_TOKEN", "short")
    with pytest.raises(InvalidConfiguration, match="shorter than 16 characters"):
        Access.from_sources(sources(), base)
