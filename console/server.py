"""The server of the page, in a thread of its own: fixed files, and one websocket for everything else.

Nothing but the websocket changes anything, and nothing is read from a path that a request gives.
"""

import asyncio
import contextlib
import logging
import mimetypes
import socket
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import quote

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from console.backend import Backend
from console.guard import Guard, is_local
from console.hub import MOST, Hub
from console.protocol import LARGEST
from policy.errors import InputError

LOG = logging.getLogger("midstream.console")
STATIC = Path(__file__).parent / "static"
CONNECTIONS = 2 * MOST + 20  # at a time, those that load the page included
ENDING = 2.0  # s that open connections have at the end
LEAST_TOKEN = 16  # characters


class ConsoleServer:
    """Serves a robot's page at an address; `InputError` for one that cannot be had, or is open without a token.

    `port` 0 takes a free one; `url` says where the page is. `close` ends it; the robot goes on.
    """

    def __init__(
        self,
        backend: Backend,
        host: str = "127.0.0.1",
        port: int = 8765,
        token: str = "",
        stop_on_disconnect: bool = False,
    ) -> None:
        if not token and not is_local(host):
            raise InputError(
                f"the console at {host} could be reached from other machines; give a --token of at least "
                f"{LEAST_TOKEN} characters, or leave --host out"
            )
        if token and len(token) < LEAST_TOKEN:
            raise InputError(f"got a --token of {len(token)} characters, expected at least {LEAST_TOKEN}")
        self._backend, self._stop_on_disconnect = backend, stop_on_disconnect
        self._socket = _listen(host, port)
        port = self._socket.getsockname()[1]
        secret = f"#{quote(token, safe='')}" if token else ""
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}/{secret}"
        config = uvicorn.Config(
            _application(self._make_hub, token),
            log_level="error",
            access_log=False,
            ws="websockets-sansio",
            ws_max_size=LARGEST,
            ws_per_message_deflate=False,  # pictures are packed already
            ws_ping_interval=None,  # browsers answer each state (console/client.py)
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=round(ENDING),
            server_header=False,
            lifespan="on",
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._server.serve([self._socket])), name="console", daemon=True
        )

    def start(self) -> None:
        """Serve from now on; the socket listens already, so no request is lost."""
        self._thread.start()

    @property
    def thread_id(self) -> int:
        """The server's thread, as the operating system counts it; 0 before `start`."""
        return self._thread.native_id or 0

    def close(self) -> None:
        """End all connections and the thread."""
        self._server.should_exit = True
        self._thread.join(2 * ENDING)
        self._socket.close()

    def _make_hub(self) -> Hub:
        return Hub(self._backend, self._stop_on_disconnect)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise InputError(f"the console cannot listen at {host}, port {port}: {error}; give another --port") from None


def _report(task: asyncio.Task[None]) -> None:
    """A task that should go on for ever has failed."""
    if not task.cancelled() and (error := task.exception()) is not None:
        LOG.error("the console shows nothing new any more", exc_info=error)


def _application(make_hub: Callable[[], Hub], token: str) -> Guard:
    """The page's files by their names, and the websocket."""
    files = {path.name: path.read_bytes() for path in STATIC.iterdir()}
    hub: Hub | None = None

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        nonlocal hub
        hub = make_hub()
        running = asyncio.create_task(hub.run())
        running.add_done_callback(_report)
        yield
        running.cancel()

    async def file(request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        if name not in files:
            return PlainTextResponse("no such file\n", 404)
        return Response(files[name], media_type=mimetypes.guess_type(name)[0] or "text/plain")

    async def live(websocket: WebSocket) -> None:
        assert hub is not None, "the server has started"
        await hub.serve(websocket, guard.admits(websocket.query_params.get("token", "")))

    guard = Guard(
        Starlette(routes=[Route("/", file), Route("/{name}", file), WebSocketRoute("/live", live)], lifespan=lifespan),
        token,
    )
    return guard
