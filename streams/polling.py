"""What can be polled: one `Source` a vendor, made of its plan (streams/pollers) and how it signs and hides errors.

A new vendor is a module in streams/pollers and a line in `SOURCES`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import orjson

from schemas.sources import Api
from streams.pollers import ashby, greenhouse, lever, merge, smartrecruiters, workable
from streams.pollers.plan import Comparison, Follow, Plan
from streams.safe_fetch import PollFailed

OVERLAP = timedelta(minutes=10)  #: read again before the last poll's start: vendors' lists lag behind their writes

Plans = Mapping[str, Callable[[datetime | None], Plan]]
Secrets = Mapping[str, str]  #: field of `Api` -> the secret


def no_failure(_: Any) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Source:
    """One vendor's API. `plans` and `compared` by version of the API; `needs`: secrets of `Api` that must be there."""

    system: str
    base_url: Mapping[str, str]  #: by version; "" where every customer has their own
    plans: Mapping[str, Plans]
    compared: Mapping[str, Comparison]
    needs: Mapping[str, tuple[str, ...]]
    signed: Callable[[Secrets], Mapping[str, str]]  #: the headers, where there is no token to be fetched
    token_url: str = ""
    failure: Callable[[Any], str | None] = no_failure
    overlap: timedelta = OVERLAP
    follow: Follow | None = None  #: what to read at once because of a webhook that says too little

    def version(self, api: Api) -> str:
        return api.version or next(iter(self.plans))

    def fetches_token(self, api: Api) -> bool:
        return "client_secret" in self.needs[self.version(api)]


def _bearer(secrets: Secrets) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {secrets['token']}"}


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _as_user(secrets: Secrets) -> Mapping[str, str]:
    return {"Authorization": _basic(secrets["token"], "")}


SOURCES: Mapping[str, Source] = {
    source.system: source
    for source in (
        Source(
            system="ashby",
            base_url={"v1": "https://api.ashbyhq.com"},
            plans={"v1": ashby.PLANS},
            compared=ashby.COMPARED,
            needs={"v1": ("token",)},
            signed=_as_user,
        ),
        Source(
            system="greenhouse",
            base_url={"v3": "https://harvest.greenhouse.io/v3", "v1": "https://harvest.greenhouse.io/v1"},
            plans={"v3": greenhouse.PLANS, "v1": greenhouse.PLANS_V1},
            compared={},
            needs={"v3": ("client_id", "client_secret"), "v1": ("token",)},
            signed=_as_user,
            token_url="https://auth.greenhouse.io/token",  # noqa: S106  a URL
        ),
        Source(
            system="lever",
            base_url={"v1": "https://api.lever.co/v1"},
            plans={"v1": lever.PLANS},
            compared=lever.COMPARED,
            follow=lever.follow,
            needs={"v1": ("token",)},
            signed=_as_user,
        ),
        Source(
            system="merge",
            base_url={"v1": "https://api.merge.dev/api/ats/v1"},
            plans={"v1": merge.PLANS},
            compared=merge.COMPARED,
            follow=merge.follow,
            needs={"v1": ("token", "account_token")},
            signed=lambda secrets: {**_bearer(secrets), "X-Account-Token": secrets["account_token"]},
        ),
        Source(
            system="smartrecruiters",
            base_url={"v1": "https://api.smartrecruiters.com"},
            plans={"v1": smartrecruiters.PLANS},
            compared=smartrecruiters.COMPARED,
            follow=smartrecruiters.follow,
            needs={"v1": ("token",)},
            signed=lambda secrets: {"X-SmartToken": secrets["token"]},
        ),
        Source(
            system="workable",
            base_url={"v3": ""},
            plans={"v3": workable.PLANS},
            compared=workable.COMPARED,
            needs={"v3": ("token",)},
            signed=_bearer,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Fixed:
    """Headers that do not change while the process runs."""

    signed: Mapping[str, str] = field(repr=False)

    async def headers(self, _: httpx.AsyncClient) -> Mapping[str, str]:
        return self.signed

    def expired(self) -> bool:
        return False


@dataclass(slots=True)
class ClientCredentials:
    """OAuth2 client credentials: a token is fetched once and again when the vendor refuses it."""

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    user: str | None = None
    _token: str | None = field(default=None, repr=False, init=False)

    async def headers(self, client: httpx.AsyncClient) -> Mapping[str, str]:
        """Raises httpx.HTTPError (try again) or PollFailed (the credentials are refused)."""
        if self._token is None:
            form = {"grant_type": "client_credentials", **({"sub": self.user} if self.user else {})}
            signed = {"Authorization": _basic(self.client_id, self.client_secret)}
            answer = await client.post(self.token_url, data=form, headers=signed, follow_redirects=False)
            if answer.status_code == 429 or answer.status_code >= 500:
                raise httpx.HTTPError(f"token: status {answer.status_code}")
            try:
                token = orjson.loads(answer.content)["access_token"] if answer.status_code == 200 else None
            except (orjson.JSONDecodeError, KeyError, TypeError):
                token = None
            if not isinstance(token, str) or not token:
                raise PollFailed(f"no access token: status {answer.status_code}")
            self._token = token
        return {"Authorization": f"Bearer {self._token}"}

    def expired(self) -> bool:
        self._token = None
        return True


def authority(source: Source, api: Api, secrets: Secrets) -> Fixed | ClientCredentials:
    """Who signs the requests of an account."""
    if source.fetches_token(api):
        url = api.token_url or source.token_url
        return ClientCredentials(url, secrets["client_id"], secrets["client_secret"], api.user)
    return Fixed(source.signed(secrets))
