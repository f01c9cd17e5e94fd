"""One browser: what it is sent, and how far it has come with showing it.

A slow connection gets fewer pictures and states, and always the newest: the server keeps one of each for it. It sends
no more while the browser has not shown what it was sent half a second ago.
"""

import asyncio
from collections import deque

from starlette.websockets import WebSocket

AHEAD = 10  # states that may be on the way
LINES = 100  # replies and lines of the log that may wait


class Client:
    """A connection; `number` tells it from the others."""

    def __init__(self, number: int, socket: WebSocket) -> None:
        self.number, self.socket, self.name = number, socket, f"browser {number}"
        self.malformed = 0  # messages
        self._lines: deque[str] = deque(maxlen=LINES)
        self._newest: dict[str, str | bytes] = {}
        self._state, self._sent, self._seen = 0, 0, 0  # numbers of states: waiting, sent, shown
        self._wake = asyncio.Event()

    def say(self, line: str) -> None:
        """Send a text, after those before it."""
        self._lines.append(line)
        self._wake.set()

    def show(self, what: str, message: str | bytes, number: int = 0) -> None:
        """Send the newest message of a kind, in place of one that still waits; states have a number."""
        self._newest[what] = message
        self._state = number or self._state
        self._wake.set()

    def seen(self, number: int) -> None:
        """The browser has shown the state of this number."""
        if self._seen < number <= self._sent:
            self._seen = number
            self._wake.set()

    async def send(self) -> None:
        """Send what there is, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._lines:
                await self.socket.send_text(self._lines.popleft())
            if self._sent - self._seen > AHEAD:
                continue
            newest, self._newest = self._newest, {}
            if "state" in newest:
                self._sent = self._state
                if not self._seen:
                    self._seen = self._sent - 1
            for message in newest.values():
                if isinstance(message, str):
                    await self.socket.send_text(message)
                else:
                    await self.socket.send_bytes(message)
