# ruff: noqa: F811  fixtures are imported
"""The connection to a served policy: none, one that ends, another policy behind it; and the command that serves."""

import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from policy.errors import InputError
from policy.robot.contract import Contract
from policy.running import policy_server, wire
from policy.running.policy_client import RETRY, PolicyClient, PolicyServerError
from policy.running.remote import RemoteSession, open_session
from policy.running.session import Session
from policy.running.tracker import Tracker
from tests.policy_servers import (  # noqa: F401  fixtures
    PATIENT,
    Serving,
    answers,
    contract,
    fails,
    folder,
    mapping,
    moving,
    served,
    stub,
)
from tests.tiny import TAUGHT, frame, write_model

ROOT = Path(__file__).parent.parent


def test_an_observation_that_is_too_large_ends_the_connection(served: Serving, folder: Path) -> None:
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    with connect(served.url, compression=None) as connection, pytest.raises(ConnectionClosed) as closed:
        connection.recv()
        connection.send(wire.pack({"image_front": np.zeros((3000, 3000, 3), np.uint8)}))
        connection.recv()
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009
    assert urllib.request.urlopen(served.url.replace("ws", "http") + "/healthz").read() == b"OK\n", "it goes on"


def test_another_policy_on_the_same_port_is_not_obeyed(contract: Contract, tmp_path: Path, served: Serving) -> None:
    tracker = Tracker(RemoteSession(served.url, contract, timeout_s=PATIENT))
    tracker.instruct(TAUGHT[0])
    tracker.infer(frame(tracker.session.spec))
    served.stop()
    write_model(tmp_path / "plain")
    session = Session(tmp_path / "plain", 1, "cpu")
    other = Serving(lambda port: policy_server.bind(session, "plain", "127.0.0.1", port), served.port)
    fails(tracker, "serves another policy than before")
    other.stop()
    served.start()


@pytest.mark.parametrize("extra", [wire.pack({"of": -1}), "a text"], ids=["answer", "text"])
def test_one_message_too_many_does_not_shift_the_answers(extra: bytes | str) -> None:
    """It ends the connection; on the next one each answer is that of its own frame."""
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.server import ServerConnection, serve

    arrived, connections = threading.Event(), []

    def handle(connection: ServerConnection) -> None:
        connections.append(connection)
        connection.send(wire.pack({}))
        with suppress(ConnectionClosed):
            while True:
                asked = wire.unpack(connection.recv())["n"]
                connection.send(wire.pack({"of": asked}))
                if asked == 2:
                    connection.send(extra)
                    connection.ping().wait(PATIENT)  # answered when all before it has been taken in
                    arrived.set()

    serving = Serving(lambda port: serve(handle, "127.0.0.1", port, compression=None))
    client = PolicyClient(serving.url)
    client.timeout = PATIENT
    client.connect(PATIENT)
    try:
        assert [client.infer({"n": n})["of"] for n in range(3)] == [0, 1, 2]
        assert arrived.wait(PATIENT)
        with pytest.raises(PolicyServerError, match="a message that nobody asked for"):
            client.infer({"n": 3})
        client.renew()  # at once
        assert [client.infer({"n": n})["of"] for n in range(4, 8)] == [4, 5, 6, 7] and len(connections) == 2
    finally:
        client.close()
        serving.stop()


def test_a_robot_that_begins_anew_does_not_storm_a_server_that_is_gone(served: Serving, contract: Contract) -> None:
    """It tries to connect now and then, not with every frame."""
    tracker = Tracker(RemoteSession(served.url, contract, timeout_s=PATIENT))
    tracker.instruct(TAUGHT[0])
    answers(tracker)
    served.stop()
    tries, ended = 0, threading.Event()

    def refuse(listener: socket.socket) -> None:
        nonlocal tries
        while not ended.is_set():
            try:
                listener.accept()[0].close()
                tries += 1
            except TimeoutError:
                pass

    with socket.create_server(("127.0.0.1", served.port)) as listener:
        listener.settimeout(0.1)
        counting = threading.Thread(target=refuse, args=(listener,))
        counting.start()
        tracker.reset()
        tracker.instruct(TAUGHT[0])
        begun = time.monotonic()
        for _ in range(30):
            with pytest.raises(PolicyServerError, match="no connection"):
                tracker.infer(frame(tracker.session.spec))
        most = (time.monotonic() - begun) / RETRY + 2
        ended.set()
        counting.join()
    assert 1 <= tries <= most
    served.start()


@pytest.mark.parametrize(
    "url, why",
    [
        ("ws://127.0.0.1:9", "no connection: Connection refused"),
        ("ws://nowhere.invalid:8000", "no connection"),
        ("ws://", "no connection"),
        ("ws://127.0.0.1:99999", "no connection"),
    ],
)
def test_no_server(contract: Contract, url: str, why: str) -> None:
    with pytest.raises(InputError) as error:
        RemoteSession(url, contract)
    assert why in str(error.value) and f"policy server {url}" in str(error.value)


def test_what_goes_with_what(contract: Contract, mapping: Path, folder: Path) -> None:
    with pytest.raises(InputError, match="give that of the robot"):
        open_session("ws://127.0.0.1:9")
    with pytest.raises(InputError, match="only a served policy"):
        open_session(folder, mapping=mapping)
    with stub(moving(), {"env": "DROID"}) as server:
        with pytest.raises(InputError, match=r"sent metadata with env, which do not say .* give a mapping"):
            open_session(server.serving.url, contract=contract)
        assert open_session(server.serving.url, contract=contract, mapping=mapping).provider == server.serving.url
    with stub(moving(), {"mapping": {"rate": "fast"}}) as server:
        before = threading.active_count()
        for _ in range(3):
            with pytest.raises(InputError, match="metadata of ws://"):
                open_session(server.serving.url, contract=contract)
        end = time.monotonic() + 30
        while threading.active_count() > before:  # both sides of each connection have ended
            assert time.monotonic() < end
            time.sleep(0.01)


def test_without_websockets_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, contract: Contract
) -> None:
    monkeypatch.setitem(sys.modules, "websockets.sync.client", None)
    with pytest.raises(InputError, match="pip install msgpack websockets"):
        RemoteSession("ws://127.0.0.1:9", contract)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_interrupted(folder: Path, contract: Contract, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "policy.serve", str(folder), "--port", "0", "--threads", "1", "--provider", "cpu"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        found = re.fullmatch(rf"{re.escape(str(folder))} on cpu is served at (ws://127\.0\.0\.1:\d+)\n", line)
        assert found, line + (process.stderr.read() if process.stderr and not line else "")
        tracker = Tracker(RemoteSession(found[1], contract, timeout_s=PATIENT))
        tracker.instruct(TAUGHT[0])
        answers(tracker)
        port = found[1].rpartition(":")[2]
        taken = subprocess.run([*command[:5], port, *command[6:]], cwd=ROOT, capture_output=True, text=True)
        assert taken.returncode == 2 and f"cannot listen on 127.0.0.1:{port}" in taken.stderr
        process.send_signal(number)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()
