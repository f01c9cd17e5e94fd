"""A policy of ours behind a websocket, in the protocol of openpi's policy servers.

    client  --- connects --------------------------->   metadata: names, shapes, rate, and the mapping of them
            --- {image_front, state, prompt} ------->   {actions (H, A), execution_estimate (5,)}
            --- what cannot be used ---------------->   a text that says why; the next observation is another try

A connection is one robot: it has a tracker of its own, which remembers what the robot is doing. `instruction_id`, where
it is sent, is how a client gives the same instruction once more; a `stamp` [ns] before the last one is a new beginning.
"""

import logging
import socket
from http import HTTPStatus
from time import monotonic_ns, perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from policy.errors import InputError
from policy.running import policy_mapping, wire
from policy.running.arrived import described, is_whole, numbers
from policy.running.policy_client import REFUSED
from policy.running.session import Session
from policy.running.tracker import Tracker
from policy.spec import MODES, Frame, Spec

if TYPE_CHECKING:
    from websockets.http11 import Request, Response
    from websockets.sync.server import Server, ServerConnection

LOG = logging.getLogger("midstream.serve")
SPARE = 1 << 20  # bytes of an observation beside its pictures and numbers


class RobotConnection:
    """What one connected robot is doing; `answer` takes its observations."""

    def __init__(self, session: Session) -> None:
        self._tracker, self._spec = Tracker(session), session.spec
        self._asked: tuple[str, int | None] | None = None  # the newest instruction and its id

    def answer(self, message: bytes | str) -> dict[str, Any]:
        """The chunk for an observation; `InputError` for one that cannot be used."""
        received = wire.unpack(message)
        prompt, number, frame = self._text(received), self._number(received), self._frame(received)
        committed = self._committed(received)
        if (prompt, number) != self._asked:
            self._asked = None  # a refused one is asked for again with the next observation
            try:
                self._tracker.instruct(prompt)
            except InputError as error:
                raise InputError(f"{REFUSED}{error}") from None
            self._asked = prompt, number
        began = perf_counter()
        outputs = self._tracker.session.run(self._tracker.inputs(frame, committed))
        chunk = self._tracker.update(frame, outputs, len(committed))
        answer: dict[str, Any] = {"actions": chunk.actions}
        if self._spec.switches:
            answer["execution_estimate"] = outputs["execution_estimate"][0]
        return answer | {"server_timing": {"infer_ms": (perf_counter() - began) * 1e3}}

    def _frame(self, received: dict[str, Any]) -> Frame:
        cameras = [name for name in self._spec.cameras if f"image_{name}" in self._spec.reads]
        if missing := [key for key in (*(f"image_{name}" for name in cameras), "state") if key not in received]:
            raise InputError(
                f"got an observation with {', '.join(map(str, received)) or 'no keys'}, expected also "
                f"{', '.join(missing)}; {expected(self._spec)}"
            )
        images = {name: received[f"image_{name}"] for name in cameras}
        frame = Frame(received.get("stamp", monotonic_ns()), images, received["state"])
        try:
            self._tracker.session.observation(frame)
        except InputError as error:
            raise InputError(f"{error}; {expected(self._spec)}") from None
        return frame

    def _committed(self, received: dict[str, Any]) -> np.ndarray:
        """The set-points (n, A) that are executed whatever comes; none where none are sent."""
        horizon, width = self._spec.horizon, len(self._spec.action)
        sent = received.get("committed", np.zeros((0, width), np.float32))
        rows = numbers(sent)
        if rows is None or rows.ndim != 2 or rows.shape[1] != width or len(rows) > horizon:
            raise InputError(
                f"committed: got {described(sent)}, expected finite numbers (n, {width}), n up to {horizon}; "
                f"{expected(self._spec)}"
            )
        return rows

    def _number(self, received: dict[str, Any]) -> int | None:
        """What tells an instruction from the same one given before; None where nothing is sent."""
        number: int | None = received.get("instruction_id")
        if number is not None and not is_whole(number):
            raise InputError(
                f"instruction_id: got {described(number)}, expected a whole number, or none; {expected(self._spec)}"
            )
        return number

    def _text(self, received: dict[str, Any]) -> str:
        prompt = received.get("prompt")
        if isinstance(prompt, np.ndarray) and prompt.dtype.kind == "U" and prompt.size == 1:
            prompt = str(prompt.item())
        if not isinstance(prompt, str):
            raise InputError(f"prompt: got {type(prompt).__name__}, expected the instruction, a text")
        return prompt


def metadata(session: Session, name: str) -> dict[str, Any]:
    """What a client is sent when it connects."""
    spec = session.spec
    return {
        "policy": name,
        "action": list(spec.action),
        "state": list(spec.state),
        "cameras": {camera: list(spec.picture(camera)[1]) for camera in spec.cameras},
        "execution_estimate": ["contact", "done", *MODES] if spec.switches else [],
        "mapping": policy_mapping.own(spec),
        "taught": [list(pair) for pair in session.taught],
    }


def expected(spec: Spec) -> str:
    """What an observation holds, in words."""
    pictures = (f"image_{name} ({spec.picture(name)[0]} {spec.picture(name)[1]})" for name in spec.cameras)
    return f"an observation is {', '.join(pictures)}, state ({len(spec.state)} numbers) and prompt (text)"


def bind(session: Session, name: str, host: str, port: int) -> "Server":
    """A server that listens; `serve_forever` runs it, `shutdown` ends it. `InputError` where it cannot listen."""
    try:
        from websockets.exceptions import ConnectionClosed
        from websockets.sync.server import serve
    except ImportError:
        raise InputError(wire.NOT_INSTALLED) from None
    greeting = wire.pack(metadata(session, name))

    def handle(connection: "ServerConnection") -> None:
        with session.robot():  # inferences of robots that ask at the same time are one run
            serve_robot(connection)

    def serve_robot(connection: "ServerConnection") -> None:
        robot, peer = RobotConnection(session), connection.remote_address
        LOG.info("connected: %s", peer)
        try:
            connection.send(greeting)
            while True:
                message = connection.recv()
                try:
                    reply: bytes | str = wire.pack(robot.answer(message))
                except InputError as error:
                    LOG.warning("%s: %s", peer, error)
                    reply = str(error)
                except Exception as error:  # whatever a graph raises, the next observation is another try
                    LOG.exception("%s", peer)
                    reply = f"inference failed: {error}"
                connection.send(reply)
        except ConnectionClosed:
            LOG.info("gone: %s", peer)

    def healthy(connection: "ServerConnection", request: "Request") -> "Response | None":
        return connection.respond(HTTPStatus.OK, "OK\n") if request.path == "/healthz" else None

    pixels = sum(int(np.prod(session.spec.picture(name)[1])) * 4 for name in session.spec.cameras)
    try:
        listener = socket.create_server((host, port))
        return serve(handle, sock=listener, compression=None, max_size=pixels + SPARE, process_request=healthy)
    except (OSError, OverflowError) as error:
        raise InputError(f"cannot listen on {host}:{port} ({error}); give another --host or --port") from None
