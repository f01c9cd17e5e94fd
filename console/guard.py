"""Who may speak to the server: requests by a name of this machine, from pages of its own, with the token.

    Host     a page of another site that resolves its name to this machine (DNS rebinding) is refused
    Origin   a page of another site that connects to this machine is refused; so is what has no origin
    token    asked for at every address but this machine's own

The first two are checked before a request reaches the application.
"""

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob:; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-cache"),
]


def is_local(host: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """Passes what may pass to the application, and adds headers to its answers.

    Without a token only names of this machine are answered to.
    """

    def __init__(self, app: App, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        host, origin = _header(scope, b"host"), _header(scope, b"origin")
        known = bool(self._token) or is_local(_hostname(host))
        if scope["type"] == "websocket":
            if not known or not host or _origin(origin) != host.lower():
                await receive()
                return await send({"type": "websocket.close", "code": 1008})
            return await self._app(scope, receive, send)

        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        if not known:
            await with_headers({"type": "http.response.start", "status": 421, "headers": []})
            return await with_headers({"type": "http.response.body", "body": b"this server has another name\n"})
        return await self._app(scope, receive, with_headers)

    def admits(self, token: str) -> bool:
        """Whether a token is the right one."""
        return hmac.compare_digest(token.encode(), self._token.encode())


def _header(scope: Scope, name: bytes) -> str:
    """The value of a header that is there once, else ""."""
    values = [value for key, value in scope["headers"] if key == name]
    return values[0].decode("latin-1") if len(values) == 1 else ""


def _origin(origin: str) -> str:
    """Host and port of the page that asks, "" where it is no page of the web."""
    scheme, _, rest = origin.lower().partition("://")
    return rest if scheme in ("http", "https") else ""


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
