"""What stands around all routes: who may ask, what a browser is told, and no error that is not one line of JSON."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import traceback
from collections.abc import Collection, Coroutine
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from fastapi import Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cocoop.errors import reason
from cocoop.escapes import dumps
from cocoop.progress import say

_HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}

T = TypeVar("T")


class Json(Response):
    """JSON on one line, in which no letter moves a cursor or hides."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The bytes of the body."""
        return dumps(content).encode()


def refusal(status: int, told: str) -> Json:
    """An error."""
    return Json({"error": " ".join(told.split())}, status)


def own_names(host: str) -> set[str]:
    """The names by which a server that listens on `host` may be asked for."""
    machine = socket.gethostname().lower()
    return {"localhost", host.lower(), machine, f"{machine}.local"}


async def while_there(request: Request, asked: Coroutine[Any, Any, T]) -> T:
    """What is asked, unless who asks goes away: then it is cancelled, and `ClientDisconnect` raised.

    The request's body has been read.
    """
    answer, gone = asyncio.create_task(asked), asyncio.create_task(_gone(request))
    both: set[asyncio.Task[Any]] = {answer, gone}
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise ClientDisconnect
        return answer.result()
    finally:
        answer.cancel()
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class Guard:
    """Lets requests through that were meant for this server.

    A page of another site can make a browser ask it: by a name that is bound anew to 127.0.0.1, which the Host header
    shows, or by a form, which the Origin header shows. Addresses in numbers cannot be bound anew.
    """

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self.app, self.names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                more = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", []), *more]}
            await send(message)

        refused = self._refused(Request(scope))
        try:
            await (refused or self.app)(scope, receive, with_headers)
        except ClientDisconnect:  # nobody is there to be told
            return
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            say(f"cocoop: an error that nobody expected: {reason(error)} ({Path(place.filename).name}, {place.lineno})")
            if not begun:
                told = refusal(500, "an error that nobody expected; the server's terminal says more")
                await told(scope, receive, with_headers)

    def _refused(self, request: Request) -> Json | None:
        host = request.headers.get("host", "")
        if not self._is_own(host):
            return refusal(421, f"expected this server's name as Host; got {host!r}. Ask by its address in numbers.")
        origin = request.headers.get("origin")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            return refusal(403, f"expected to be asked by this server's own page; got {origin!r}.")
        return None

    def _is_own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:  # brackets that are not closed
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self.names
        return True
