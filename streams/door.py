"""What every HTTP request passes on its way in: a request id, a limit on how many at once, size and time of the body.

In: ASGI. Out: the application's answer with `X-Request-ID`, or a refusal as JSON: `{error, mend, request_id}`, where `mend`
says what the caller can do. No body, token, signature or query is ever logged.
"""

from __future__ import annotations

import re
import time
import traceback
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import orjson
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streams.room import Full, Place, Room

log = structlog.get_logger()

RETRY_AFTER_SECONDS = 5
#: A body up to this many times the limit is read and thrown away, so that the sender sees its 413 and no broken connection.
DISCARDED = 4
#: Answered whatever the load, or a full gateway would look like a dead one.
ALWAYS_OPEN = frozenset({"/healthz", "/readyz", "/metrics"})
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Refused(Exception):
    """A request that is answered with an error; both texts are for the caller and hold nothing of the body."""

    def __init__(self, status: int, error: str, mend: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.mend = mend
        self.headers = dict(headers or {})

    def response(self, request_id: str) -> Response:
        return answer(self.status, {"error": self.error, "mend": self.mend, "request_id": request_id}, self.headers)


def away(error: str, *, close: bool = False) -> Refused:
    """503: nothing was kept, come again. `close`: the connection ends, since a body is still coming on it."""
    mend = "nothing was acknowledged; send the same again after the seconds in Retry-After"
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS), **({"Connection": "close"} if close else {})}
    return Refused(503, error, mend, headers)


INTERNAL_ERROR = Refused(500, "internal error", "ours, not yours: send it again, and give us the request id if it goes on")


def answer(status: int, content: object, headers: Mapping[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content), status, headers, media_type="application/json")


def speak_json(api: FastAPI) -> None:
    """Let every error of `api`, ours and the framework's, be answered in the one form."""

    async def refused(request: Request, error: Refused) -> Response:
        return error.response(request.state.request_id)

    async def unrouted(request: Request, error: HTTPException) -> Response:
        mend = "docs/gateway.md lists the paths and methods"
        return Refused(error.status_code, str(error.detail).lower(), mend, error.headers).response(request.state.request_id)

    async def bad_parameter(request: Request, error: RequestValidationError) -> Response:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return Refused(422, faults, "docs/gateway.md lists the parameters").response(request.state.request_id)

    async def failed(request: Request, _: Exception) -> Response:
        return INTERNAL_ERROR.response(request.state.request_id)  # the framework raises it again, and Door logs it

    api.exception_handler(Refused)(refused)
    api.exception_handler(HTTPException)(unrouted)
    api.exception_handler(RequestValidationError)(bad_parameter)
    api.exception_handler(Exception)(failed)


#: Told of every answer: scope (route and path parameters are in it by then), status, seconds.
Observer = Callable[[Scope, int, float], None]


class Door:
    """The outermost ASGI layer of a role that is called from outside."""

    def __init__(self, app: ASGIApp, observe: Observer, room: Room | None = None) -> None:
        self._app = app
        self._observe = observe
        self._room = room or Room()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        began = time.perf_counter()
        status = 0  # until the answer has begun

        async def stamped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        refusal = await self._pass(scope, receive, stamped)
        if refusal is not None and not status:
            await refusal.response(request_id)(scope, receive, stamped)
        self._observe(scope, status, time.perf_counter() - began)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> Refused | None:
        place = self._room.enter(always=scope["path"] in ALWAYS_OPEN)
        if place is None:
            return away("too many requests at once")
        scope["state"].update(room=self._room, place=place)
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            # Neither the message nor local variables: both may hold a body. Where it happened is enough to find it.
            where = "".join(traceback.format_tb(error.__traceback__))
            request_id = scope["state"]["request_id"]
            log.error("request_failed", error=type(error).__name__, where=where, request_id=request_id)
            return INTERNAL_ERROR
        finally:
            self._room.leave(place)
        return None


async def read_body(request: Request, limit: int, within: float) -> bytes:
    """The body's exact bytes, at most `limit` of them, read within so many seconds.

    Raises Refused: 415 for an encoded body (a signature is over the bytes as sent), 413 beyond the limit whether or not a
    length was announced, 408 for a body that does not arrive in time, 400 for one that breaks off, 503 if there is no room.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise Refused(415, "the body has a content encoding", "send it as it is, without compression")
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise _too_large(limit, close=int(announced) > DISCARDED * limit)
    room, place = request.state.room, request.state.place
    try:
        async with room.arriving(place, within):
            return await _read(request, limit, room, place)
    except Full:
        raise away("too many bodies at once", close=True) from None
    except TimeoutError:
        raise Refused(408, "the body did not arrive in time", f"send it within {within:g} s", {"Connection": "close"}) from None
    except ClientDisconnect:
        raise Refused(400, "the body broke off", "send it again") from None


async def _read(request: Request, limit: int, room: Room, place: Place) -> bytes:
    body = bytearray()
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > DISCARDED * limit:
            raise _too_large(limit, close=True)
        if size > limit:
            room.hold(place, -len(body))
            body.clear()
        else:
            room.hold(place, len(part))
            body += part
    if size > limit:
        raise _too_large(limit, close=False)
    return bytes(body)


def _too_large(limit: int, *, close: bool) -> Refused:
    mend = f"at most {limit} bytes; send records in smaller batches"
    return Refused(413, "the body is too large", mend, {"Connection": "close"} if close else None)


def media_type(request: Request) -> str | None:
    """The content type in lower case without parameters; None where the sender gave none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() or None


def _request_id(scope: Scope) -> str:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    given: Any = next((value for name, value in headers if name == b"x-request-id"), b"")
    text = given.decode("latin-1")
    return text if REQUEST_ID.fullmatch(text) else uuid.uuid4().hex
