"""Policy servers for tests: ours in a thread, and one that answers what a test wants it to."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("websockets", reason="install the extra `serve`")

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.sync.server import Server, ServerConnection, serve

from policy.robot.contract import Contract, load
from policy.running import policy_server, wire
from policy.running.policy_client import PolicyServerError
from policy.running.session import Session
from policy.running.tracker import Tracker
from tests.tiny import frame, write_model

PATIENT = 30.0  # s for an answer: other work may have the machine
Answer = Callable[[dict[str, Any]], Any]  # of an observation: a dict, bytes or text to be sent, None for nothing


class Serving:
    """A server in a thread, which can be ended and begun again on the same port."""

    def __init__(self, bind: Callable[[int], Server], port: int = 0) -> None:
        self._bind = bind
        self.start(port)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"ws://127.0.0.1:{self.port}"

    def start(self, port: int | None = None) -> None:
        """Begin, on the port of before."""
        self._server = self._bind(self.port if port is None else port)
        self.port: int = self._server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it, and its connections."""
        self._server.shutdown()
        self._thread.join()


@contextmanager
def ours(folder: Path) -> Iterator[Serving]:
    """A policy of ours, served."""
    session = Session(folder, 1, "cpu")
    serving = Serving(lambda port: policy_server.bind(session, folder.name, "127.0.0.1", port))
    try:
        yield serving
    finally:
        serving.stop()


@contextmanager
def deaf() -> Iterator[str]:
    """A server that connects, sends its metadata and never reads again; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            connection = ServerProtocol()
            accepted, _ = listening.accept()
            held.enter_context(accepted)
            connection.receive_data(accepted.recv(1 << 16))
            (request,) = connection.events_received()
            assert isinstance(request, Request)
            connection.send_response(connection.accept(request))
            connection.send_binary(wire.pack({}))
            for data in connection.data_to_send():
                accepted.sendall(data)

        with ExitStack() as held:
            thread = threading.Thread(target=greet, daemon=True)
            thread.start()
            yield f"ws://127.0.0.1:{listening.getsockname()[1]}"


class Stub:
    """A server of others: `answer` says what it sends, `seen` are the observations that came."""

    def __init__(self, answer: Answer, metadata: Any = None) -> None:
        self.answer, self.metadata = answer, wire.pack({} if metadata is None else metadata)
        self.seen: list[dict[str, Any]] = []
        self.connections = 0
        self.serving = Serving(lambda port: serve(self._handle, "127.0.0.1", port, compression=None, max_size=None))

    def _handle(self, connection: ServerConnection) -> None:
        self.connections += 1
        try:
            connection.send(self.metadata)
            while True:
                self.seen.append(wire.unpack(connection.recv()))
                reply = self.answer(self.seen[-1])
                if reply is not None:
                    connection.send(wire.pack(reply) if isinstance(reply, dict) else reply)
        except ConnectionClosed:
            pass


@contextmanager
def stub(answer: Answer, metadata: Any = None) -> Iterator[Stub]:
    """A stub that is ended."""
    made = Stub(answer, metadata)
    try:
        yield made
    finally:
        made.serving.stop()


MAPPING = """
rate: 20
horizon: 16
cameras:
  front: {key: observation/image}
  wrist: {key: observation/wrist_image}
state:
  - {key: observation/state, names: [NAMES]}
actions:
  width: 8
  groups:
    - {names: [NAMES], columns: [0, 1, 2, 3, 4, 5, 6, 7]}
""".replace("NAMES", ", ".join([*(f"panda_joint{i}" for i in range(1, 8)), "gripper"]))


def moving(ramp: float = 0.005) -> Answer:
    """The first joint moves by `ramp` a step, as the tiny model of tests/tiny.py does."""

    def answer(observation: dict[str, Any]) -> dict[str, Any]:
        rows = np.tile(np.asarray(observation["observation/state"], np.float32), (16, 1))
        rows[:, 0] += ramp * np.arange(1, 17)
        return {"actions": rows}

    return answer


def answers(tracker: Tracker) -> None:
    """Wait until the server answers again: a connection that has failed is not begun again at once."""
    end = time.monotonic() + PATIENT
    while True:
        try:
            assert tracker.infer(frame(tracker.session.spec)).actions.shape == (16, 8)
            return
        except PolicyServerError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def fails(tracker: Tracker, why: str) -> None:
    """Wait until it fails for this reason."""
    end, said = time.monotonic() + PATIENT, ""
    while why not in said:
        assert time.monotonic() < end, f"{why}; newest: {said}"
        with pytest.raises(PolicyServerError) as error:
            tracker.infer(frame(tracker.session.spec))
        said = str(error.value)
        time.sleep(0.05)


@pytest.fixture(scope="module")
def contract() -> Contract:
    """The robot of the policies that are served."""
    return load("tabletop")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that switches."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_model(folder, switches=True)
    return folder


@pytest.fixture
def served(folder: Path) -> Iterator[Serving]:
    """That policy, served."""
    with ours(folder) as serving:
        yield serving


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    """A file that says what the policy of others reads."""
    path = tmp_path / "mine.yaml"
    path.write_text(MAPPING)
    return path
