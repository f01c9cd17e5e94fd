"""A connection to a policy server: an observation goes out, its answer comes back in time, or the connection ends.

connect    <- metadata           once for each connection
infer      -> observation
           <- answer             a text in its place is an error that the server reports
"""

import socket
import struct
from contextlib import ExitStack, suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

from policy.errors import InputError, Refused
from policy.running import wire

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

SCHEMES = ("ws://", "wss://")
OPEN = 1.0  # s to connect again and to receive the metadata, while a robot waits
BEGIN = 5.0  # s to connect for the first time: nothing moves yet, and the machine may be busy
CLOSE = 0.1  # s that a server may take to end a connection
RETRY = 0.5  # s from one try to connect to the next
LARGEST = 4 << 20  # bytes of an answer
REFUSED = "refused: "  # begins the text of a server of ours that does not know an instruction


class PolicyServerError(Exception):
    """The server of a policy is not there, does not answer in time, or answers what cannot be used."""


class PolicyClient:
    """One connection at a time, which begins again by itself; not for several threads at once.

    `url` is ws://host:port or wss://host:port, `timeout` how long an answer may take [s].
    """

    def __init__(self, url: str) -> None:
        self.url, self.timeout = url, OPEN
        self.metadata: dict[str, Any] = {}  # of the newest connection
        self._connection: ClientConnection | None = None
        self._open = ExitStack()  # what ends the connection
        self._tried, self._failure = -RETRY, ""

    def connect(self, timeout: float = BEGIN) -> None:
        """Connect and receive the server's metadata, each within `timeout` s; `PolicyServerError` where that fails."""
        try:
            from websockets.exceptions import WebSocketException
            from websockets.sync.client import connect
        except ImportError:
            raise InputError(wire.NOT_INSTALLED) from None
        self.close()
        self._tried = monotonic()
        try:
            # no pings: a server that computes in the thread of its connection does not answer them
            self._connection = self._open.enter_context(
                connect(
                    self.url,
                    compression=None,
                    proxy=None,
                    open_timeout=timeout,
                    close_timeout=CLOSE,
                    ping_interval=None,
                    max_size=LARGEST,
                )
            )
            # of what is sent: the timeout of `recv` does not bound it where a server no longer reads
            limit = struct.pack("ll", int(OPEN), int(OPEN % 1 * 1e6))
            self._connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
            self.metadata = self._receive(timeout)
        except PolicyServerError:
            self.close()
            raise
        except (OSError, ValueError, WebSocketException) as error:
            raise self._failed(f"no connection: {_described(error)}") from None

    def infer(self, observation: dict[str, Any]) -> dict[str, Any]:
        """The answer to an observation; `PolicyServerError` where none comes that can be read.

        `Refused` where the policy does not know the instruction.
        """
        from websockets.exceptions import WebSocketException

        if self._connection is None:
            if monotonic() - self._tried < RETRY:
                raise PolicyServerError(self._failure)
            self.connect(OPEN)
        assert self._connection is not None
        try:
            self._check_silent()
            self._connection.send(wire.pack(observation))
            return self._receive(self.timeout)
        except (OSError, WebSocketException) as error:
            raise self._failed(_described(error)) from None

    def renew(self) -> None:
        """End the connection; the next inference makes another at once."""
        self.close()
        self._tried = -RETRY

    def close(self) -> None:
        """End the connection; the next inference makes another."""
        self._connection = None
        self._open.close()

    def _check_silent(self) -> None:
        """`PolicyServerError` where a message lies there before anything is asked: it would be taken for the answer."""
        assert self._connection is not None
        with suppress(TimeoutError):
            self._connection.recv(0)
            raise self._failed(
                "it sent a message that nobody asked for, expected one answer to each observation; correct the server"
            )

    def _receive(self, timeout: float) -> dict[str, Any]:
        assert self._connection is not None
        try:
            message = self._connection.recv(timeout)
        except TimeoutError:
            # what comes later must not be taken for the answer to another observation
            raise self._failed(f"no answer within {timeout:.2g} s") from None
        if isinstance(message, str):
            if message.startswith(REFUSED):
                raise Refused(message.removeprefix(REFUSED))
            lines = [line for line in message.splitlines() if line.strip()]
            raise PolicyServerError(f"{self.url} reports: {lines[-1].strip()[:500] if lines else 'an empty text'}")
        try:
            return wire.unpack(message)
        except InputError as error:
            raise self._failed(str(error)) from None

    def _failed(self, why: str) -> PolicyServerError:
        """End the connection."""
        self._failure = f"policy server {self.url}: {why}"
        self.close()
        return PolicyServerError(self._failure)


def _described(error: Exception) -> str:
    """What went wrong, in words where the error has some."""
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    if isinstance(cause, BlockingIOError):
        return "it does not read what is sent"
    if isinstance(cause, TimeoutError):
        return "it does not answer"
    return str(getattr(cause, "strerror", None) or cause) or type(cause).__name__
