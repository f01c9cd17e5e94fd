# ruff: noqa: F811  fixtures are imported
"""A policy that others serve, over a real socket, and what their servers may do wrong."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy.robot.contract import Contract
from policy.running import wire
from policy.running.policy_client import LARGEST, PolicyClient, PolicyServerError
from policy.running.remote import RemoteSession
from policy.running.tracker import Tracker
from tests.policy_servers import PATIENT, answers, contract, deaf, fails, mapping, moving, stub  # noqa: F401  fixtures
from tests.tiny import frame


def remote(url: str, contract: Contract, mapping: Path, timeout_s: float | None = PATIENT) -> Tracker:
    tracker = Tracker(RemoteSession(url, contract, mapping, timeout_s))
    tracker.instruct("open the drawer")
    return tracker


def test_a_policy_of_others(contract: Contract, mapping: Path) -> None:
    """By its own names; contact, mode and done are unknown, and any language is sent on."""
    with stub(moving(0.01)) as server:
        tracker = remote(server.serving.url, contract, mapping)
        tracker.instruct("öffne die Schublade")
        seen = frame(tracker.session.spec, 77)
        chunk = tracker.infer(seen)
    assert chunk.execution_estimate is None and chunk.actions.shape == (16, 8)
    assert np.allclose(chunk.actions[:, 0], seen.state[0] + 0.01 * np.arange(1, 17), atol=1e-6)
    (sent,) = server.seen
    assert sent["prompt"] == "öffne die Schublade" and (sent["observation/image"] == 77).all()
    assert set(sent) == {"prompt", "observation/image", "observation/wrist_image", "observation/state"}


@pytest.mark.parametrize(
    "answer, why",
    [
        ({"actions": np.zeros((16, 7))}, "(16, 7), expected numbers (16, 8)"),
        ({"actions": np.full((16, 8), np.nan)}, "not finite"),
        ({"act": 1}, "expected actions"),
        (b"\xc1 no msgpack", "not msgpack"),
        (wire.pack({"a": 0})[:-1], "not msgpack"),
        (b"\0" * (LARGEST + 1), "1009"),
        ("Traceback:\n  somewhere\nKeyError: 'image'\n", "reports: KeyError: 'image'"),
    ],
)
def test_an_answer_that_cannot_be_used(contract: Contract, mapping: Path, answer: Any, why: str) -> None:
    """It is an error that names the server, and the next good answer is taken."""
    with stub(lambda _: answer) as server:
        tracker = remote(server.serving.url, contract, mapping)
        with pytest.raises(PolicyServerError) as error:
            tracker.infer(frame(tracker.session.spec))
        assert why in str(error.value) and server.serving.url in str(error.value)
        server.answer = moving()
        answers(tracker)


def test_a_server_that_does_not_answer(contract: Contract, mapping: Path) -> None:
    """It is waited for as long as its chunk would last; a late answer is never taken for that of another frame."""
    late: list[Any] = []

    def stall(observation: dict[str, Any]) -> None:
        late.append(observation)

    with stub(stall) as server:
        tracker = remote(server.serving.url, contract, mapping, None)
        with pytest.raises(PolicyServerError, match=r"no answer within 0\.8 s"):
            tracker.infer(frame(tracker.session.spec))
        server.answer = moving()
        answers(tracker)
        assert server.connections == 2 and len(late) == 1


def test_a_server_that_does_not_read() -> None:
    """What is sent is more than the sockets hold: that does not block either."""
    with deaf() as url:
        client = PolicyClient(url)
        client.connect(PATIENT)
        with ThreadPoolExecutor() as pool:
            sending = pool.submit(client.infer, {"filler": np.zeros(40 << 20, np.uint8)})
            with pytest.raises(PolicyServerError, match="it does not read what is sent"):
                sending.result(60)


def test_a_server_that_is_killed_and_comes_back(contract: Contract, mapping: Path) -> None:
    with stub(moving()) as server:
        tracker = remote(server.serving.url, contract, mapping)
        tracker.infer(frame(tracker.session.spec))
        server.serving.stop()
        fails(tracker, "going away")
        fails(tracker, "no connection: Connection refused")
        server.serving.start()
        answers(tracker)
