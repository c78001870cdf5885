"""Asking a vendor's API: only its configured host, no redirects, its limits obeyed, what passes by itself tried again.

In: `Ask`s of a plan. Out: the JSON of the answer, or PollFailed. A link that a vendor sends is followed only if scheme, host,
port and path are those we asked: whoever can forge one cannot make us call elsewhere, nor show our token there. No body and no
token is ever logged or part of an error.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

import httpx
import orjson
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from streams.errors import MutualSLAError
from streams.pollers.plan import Ask

ATTEMPTS = 6
LONGEST_WAIT = 120.0  #: seconds; a vendor that wants more is asked again by the next poll
MEANT = 86_400.0  #: seconds; whoever says that a limit ends later than that means something else
WINDOWS = ("x-ratelimit", "x-rate-limit")  #: how the headers of limits begin; Workable sends both
MAX_ANSWER = 64 * 1024 * 1024  #: bytes of one page, unpacked
NEXT = re.compile(r'<([^<>]*)>\s*;[^,]*\brel="?next"?', re.IGNORECASE)
PORTS = {"http": 80, "https": 443}

Sleep = Callable[[float], Awaitable[None]]
Count = Callable[[str], None]


class PollFailed(MutualSLAError):
    """The vendor cannot be read now; names status and path, never what it answered."""

    exit_code = 69


class RefusedLink(PollFailed):
    """A link or redirect that leads elsewhere than the configured API."""


class _Passing(Exception):
    """What may pass by itself: 429, 5xx, a broken connection, half a page."""

    def __init__(self, why: str, wait: float | None = None) -> None:
        super().__init__(why)
        self.wait = wait


class Authority(Protocol):
    """Who signs our requests."""

    async def headers(self, client: httpx.AsyncClient) -> Mapping[str, str]:
        """Headers with the secret in them."""
        ...

    def expired(self) -> bool:
        """The vendor said 401: forget the token. False if there is no other to be had."""
        ...


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port. Raises RefusedLink for what is no plain http(s) URL, or has a user in it."""
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS[parts.scheme]
    except (ValueError, KeyError):
        raise RefusedLink("a link is no http or https URL") from None
    if not parts.hostname or parts.username is not None or parts.password is not None:
        raise RefusedLink("a link without a host, or with a user in it")
    return parts.scheme, parts.hostname.lower(), port


def query_below(link: str, asked: str) -> dict[str, str]:
    """The query of a link to the next page of what was `asked` (a URL). Raises RefusedLink where it leads elsewhere."""
    if origin(link) != origin(asked) or urlsplit(link).path != urlsplit(asked).path:
        raise RefusedLink("the link to the next page leads to another host or path than the configured one")
    return dict(parse_qsl(urlsplit(link).query))


def path_below(link: str, base_url: str) -> str:
    """The path of a link to something in the API at `base_url`, below that. Raises RefusedLink where it leads elsewhere."""
    base, path = urlsplit(base_url).path.rstrip("/"), urlsplit(link).path
    if origin(link) != origin(base_url) or not path.startswith(f"{base}/") or {".", "..", ""} & set(path.split("/")[1:]):
        raise RefusedLink("a link leads to another host or path than the configured ones")
    return path.removeprefix(base)


def next_page(header: str | None, asked: str) -> dict[str, str] | None:
    """The next page's query from a `Link` header; None where it names no next page."""
    found = NEXT.search(header or "")
    return query_below(found[1], asked) if found else None


@dataclass(slots=True)
class Vendor:
    """One account's API. `failure` looks into an answer of 200 for an error, where the vendor hides them there."""

    client: httpx.AsyncClient
    base_url: str
    authority: Authority
    failure: Callable[[Any], str | None] = lambda _: None
    count: Count = lambda _: None
    sleep: Sleep = asyncio.sleep
    attempts: int = ATTEMPTS
    _pause: float = field(default=0.0, init=False)

    async def ask(self, ask: Ask) -> Any:
        """The answer, as `Ask` says. Raises PollFailed (RefusedLink) when it will not come by asking again now."""
        url = self.base_url.rstrip("/") + ask.path
        if origin(url) != origin(self.base_url):
            raise RefusedLink("the path of a request leads to another host")
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_Passing),
            stop=stop_after_attempt(self.attempts),
            wait=_wait,
            sleep=self.sleep,
            retry_error_callback=_give_up(ask.path),
        )
        return await retrying(self._once, ask, url)

    async def _once(self, ask: Ask, url: str) -> Any:
        for again in (True, False):
            if self._pause:
                pause, self._pause = self._pause, 0.0
                await self.sleep(pause)
            answer, body = await self._send(ask, url)
            if answer.status_code != 401 or not again or not self.authority.expired():
                break
        self._judge(answer, ask.path)
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise _Passing("the answer is not JSON") from None
        if why := self.failure(value):
            raise PollFailed(f"{ask.path}: {why}")
        self._pause = _exhausted(answer.headers)
        return (value, next_page(answer.headers.get("link"), url)) if ask.linked else value

    async def _send(self, ask: Ask, url: str) -> tuple[httpx.Response, bytes]:
        method = "GET" if ask.json is None else "POST"
        try:
            headers = await self.authority.headers(self.client)
            request = self.client.build_request(
                method, url, params=dict(ask.params) or None, json=ask.json, headers=dict(headers)
            )
            answer = await self.client.send(request, stream=True, follow_redirects=False)
            try:
                parts, size = [], 0
                async for part in answer.aiter_bytes():
                    size += len(part)
                    if size > MAX_ANSWER:
                        raise PollFailed(f"{ask.path}: an answer over {MAX_ANSWER} bytes")
                    parts.append(part)
            finally:
                await answer.aclose()
        except httpx.HTTPError as error:
            self.count("none")
            raise _Passing(type(error).__name__) from None
        self.count(str(answer.status_code))
        return answer, b"".join(parts)

    def _judge(self, answer: httpx.Response, path: str) -> None:
        status = answer.status_code
        if status == 429 or status >= 500:
            wait = _retry_after(answer.headers)
            if wait is not None and wait > LONGEST_WAIT:
                raise PollFailed(f"{path}: status {status}, to be asked again in {wait:.0f} s")
            raise _Passing(f"status {status}", wait)
        if answer.is_redirect:
            raise RefusedLink(f"{path}: redirects (status {status}) are not followed")
        if status != 200:
            raise PollFailed(f"{path}: status {status}")


_backoff = wait_exponential_jitter(initial=1.0, max=30.0)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    told = error.wait if isinstance(error, _Passing) else None
    return _backoff(state) if told is None else told


def _give_up(path: str) -> Callable[[RetryCallState], Any]:
    def give_up(state: RetryCallState) -> Any:
        why = state.outcome.exception() if state.outcome else None
        raise PollFailed(f"{path}: {why}, {state.attempt_number} times") from None

    return give_up


def _retry_after(headers: httpx.Headers) -> float | None:
    """Seconds the vendor wants us to wait: `Retry-After` as seconds or date, else until a used up window begins anew."""
    told = headers.get("retry-after", "").strip()
    if told:
        try:
            return max(0.0, float(told))
        except ValueError:
            pass
        try:
            return max(0.0, parsedate_to_datetime(told).timestamp() - _date(headers))
        except (ValueError, TypeError):
            return None
    return max((wait for _, wait in _windows(headers) if wait is not None), default=None)


def _windows(headers: httpx.Headers) -> list[tuple[bool, float | None]]:
    """Each limit that the answer tells of: whether it is used up, and the seconds until it begins anew.

    Used up ones come alone, as the others say nothing of when to ask again.
    """
    told = [
        (headers.get(f"{name}-remaining", "").strip() == "0", _until_reset(headers, name))
        for name in WINDOWS
        if f"{name}-remaining" in headers or f"{name}-reset" in headers
    ]
    return [one for one in told if one[0]] or told


def _until_reset(headers: httpx.Headers, window: str) -> float | None:
    """By the vendor's own clock, so that ours may be wrong or simulated; a small number is already a difference.

    None where it is not told, or told so that nobody can wait for it: Ashby was recorded with `+10000000014`.
    """
    try:
        reset = float(headers.get(f"{window}-reset", ""))
        wait = reset if reset < 1_000_000 else reset - _date(headers)
    except (ValueError, TypeError):
        return None
    return max(0.0, wait) if wait < MEANT else None


def _date(headers: httpx.Headers) -> float:
    return parsedate_to_datetime(headers.get("date", "")).timestamp()


def _exhausted(headers: httpx.Headers) -> float:
    """How long to wait before the next request because this one used up a window."""
    return max((min(LONGEST_WAIT, wait or 1.0) for used_up, wait in _windows(headers) if used_up), default=0.0)
