"""What the tests of the console share: a robot that does nothing but remember, and connections to its server."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from console.backend import Feed, Points, State
from console.server import ConsoleServer
from policy.errors import InputError

LONG = 30.0  # s to wait for what takes a tenth of one on an idle machine
TAUGHT = ("open the drawer", "turn on the lamp")


class Remembering:
    """A back end: `asked` has what it was asked for. An instruction of "juggle" is refused."""

    def __init__(self) -> None:
        self.feed = Feed()
        self.asked: list[str] = []
        self.time = 0.0
        names = ("continue", "stop", "emergency_stop", "reset")
        self.commands: dict[str, Callable[..., str]] = {name: lambda name=name: self._take(name) for name in names}
        self.commands["instruct"] = lambda text: self._take(text)

    def description(self) -> dict[str, Any]:
        return {
            "backend": "memory",
            "model": "none",
            "joints": ["one", "two"],
            "cameras": {"front": {"height": 96, "width": 96}, "wrist": {"height": 96, "width": 96}},
            "sentences": [{"task": text, "text": text} for text in TAUGHT],
            "choices": None,
        }

    def tick(self, **fields: Any) -> None:
        """One control step: a state and two pictures."""
        self.time += 0.05
        planned = Points(np.array([0.05, 0.1]), np.array([[0.0, 1.0], [0.1, np.nan]]))
        self.feed.publish(State(self.time, executed=np.array([0.0, np.inf]), planned=planned, **fields))
        for camera in ("front", "wrist"):
            self.feed.show(camera, np.full((96, 96, 3), int(self.time * 20) % 256, np.uint8))

    def _take(self, what: str) -> str:
        if what == "juggle":
            raise InputError("nobody juggles here")
        self.asked.append(what)
        return what


@contextmanager
def serving(robot: Any, **options: Any) -> Iterator[ConsoleServer]:
    """A console at a free port."""
    server = ConsoleServer(robot, port=0, **options)
    server.start()
    try:
        yield server
    finally:
        server.close()


class Browser:
    """A connection without a browser: a thread of its own takes what comes, and answers states as the page does."""

    def __init__(self, server: ConsoleServer, token: str = "", origin: str | None = "own") -> None:
        address = server.url.split("#")[0]
        live = address.replace("http", "ws") + "live" + (f"?token={token}" if token else "")
        self.socket: ClientConnection = connect(
            live,
            origin=address.rstrip("/") if origin == "own" else origin,
            open_timeout=LONG,
            ping_interval=None,
            legacy=True,
        )
        self.hello: dict[str, Any] = {}
        self.people: dict[str, Any] = {}
        self.state: dict[str, Any] = {}
        self.replies: dict[int, dict[str, Any]] = {}
        self.log: list[str] = []
        self.pictures = [0, 0]
        self.states = 0
        self.answers = True
        self._end: ConnectionClosed | None = None
        threading.Thread(target=self._take_all, daemon=True).start()

    def until(self, true: Callable[[], Any], why: str) -> Any:
        """Wait until something is so."""
        until(lambda: self._end is not None or true(), why)
        value = true()
        assert value, f"{why}: the connection has ended, {self._end}"
        return value

    def send(self, kind: str, **fields: Any) -> None:
        self.socket.send(json.dumps({"type": kind, **fields}))

    def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Ask for something and wait for the reply."""
        number = max(self.replies, default=0) + 1
        self.send(kind, id=number, **fields)
        reply: dict[str, Any] = self.until(lambda: self.replies.get(number), f"no reply to {kind}")
        return reply

    def closed(self) -> tuple[int, str]:
        """Wait until the server has closed the connection: its code and reason."""
        until(lambda: self._end is not None, "the server closes the connection")
        assert self._end is not None and self._end.rcvd is not None
        return self._end.rcvd.code, self._end.rcvd.reason

    def _take_all(self) -> None:
        try:
            for message in self.socket:
                self._take(message)
            self.socket.recv()  # which says how it ended
        except ConnectionClosed as end:
            self._end = end

    def _take(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            assert message[1:3] == b"\xff\xd8", "a JPEG"
            self.pictures[message[0]] += 1
            return
        got = json.loads(message)
        if got["type"] == "reply":
            self.replies[got["id"]] = got
        elif got["type"] == "log":
            self.log += [line["text"] for line in got["lines"]]
        else:
            setattr(self, got["type"], got)
        if got["type"] == "state":
            self.states += 1
            if self.answers:
                self.send("seen", number=got["number"])


def until(true: Callable[[], Any], why: str) -> None:
    """Wait until something is so."""
    end = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < end, why
        time.sleep(0.01)
