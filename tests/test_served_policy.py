# ruff: noqa: F811  fixtures are imported
"""The policy node at a policy server, over real DDS and a real socket; as tests/test_faults.py."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.faults_stand import Stand, make, model, says, switching  # noqa: F401  fixtures
from tests.policy_servers import MAPPING, Stub, moving, ours, stub
from tests.ros_tiny import until  # skips the file where there is no ROS


@pytest.fixture
def server() -> Iterator[Stub]:
    """A server of others: the first joint moves slowly."""
    with stub(moving()) as made:
        yield made


@pytest.fixture
def stand(make: Callable[..., Stand], server: Stub, tmp_path: Path) -> Stand:
    """At work already, by what the server answers."""
    mapping = tmp_path / "mine.yaml"
    mapping.write_text(MAPPING)
    stand = make(policy={"model": server.serving.url, "contract": "tabletop", "mapping": str(mapping)})
    stand.instruct("open the drawer")
    stand.moves()
    return stand


def test_a_policy_of_others_runs_the_robot(stand: Stand, server: Stub) -> None:
    """Through the same schedule, safety node and status; what it cannot tell is unknown."""
    stand.hears("policy_node: serves: open the drawer", anew=False)
    for key in ("mode", "contact", "done"):
        stand.hears(f"policy_node: {key}: unknown", anew=False)
    assert server.seen[-1]["prompt"] == "open the drawer"
    shown = stand.robot._count
    until(lambda: int(server.seen[-1]["observation/image"][-1, -1, 0]) >= shown % 251, "it sees new pictures")
    stand.instruct("close the drawer")
    until(lambda: server.seen[-1]["prompt"] == "close the drawer", "it is given the new instruction")


def test_its_server_is_killed(stand: Stand, server: Stub, says: str) -> None:
    """The server of a policy is killed mid-motion. Then: the arm is held.
    Says: policy_node: no connection: Connection refused
    After: it goes on when the server is back."""
    server.serving.stop()
    began = time.monotonic()
    stand.hears(says)
    stand.rests(began)
    server.serving.start()
    stand.moves()


def test_its_server_stalls(stand: Stand, server: Stub, says: str) -> None:
    """A policy server does not answer. Then: the arm goes to the end of its last chunk, and is held.
    Says: policy_node: no answer within 0.8 s After: it goes on with the next answer that is in time."""
    server.answer = lambda _: None
    stand.hears(says)
    stand.rests()
    server.answer = moving()
    stand.moves()


@pytest.mark.parametrize(
    "answer, words",
    [
        ({"actions": np.full((16, 8), np.nan)}, "not finite numbers"),
        ({"actions": np.zeros((16, 9))}, "expected numbers (16, 8)"),
        (b"\xc1", "not msgpack"),
        ("Traceback\nKeyError: 'state'", "reports: KeyError: 'state'"),
    ],
)
def test_its_server_answers_nonsense(stand: Stand, server: Stub, answer: Any, words: str) -> None:
    """A policy server answers what cannot be used: another shape, NaN, no msgpack, an error of its own.
    Then: the arm is held. Says: policy_node: inference failed: policy server ws://
    After: it goes on with the next answer that can be used."""
    server.answer = lambda _: answer
    began = time.monotonic()
    stand.hears(f"policy_node: {words}")
    stand.rests(began)
    server.answer = moving()
    stand.moves()


def test_its_server_asks_for_a_leap(stand: Stand, server: Stub) -> None:
    """Finite numbers far away are what the safety node is for."""

    def far(observation: dict[str, Any]) -> dict[str, Any]:
        return {"actions": np.tile(np.asarray(observation["observation/state"]) + 2.0, (16, 1))}

    server.answer = far
    stand.moves()  # the stand looks at the limits when it is closed


def test_a_server_that_comes_later_is_taken(make: Callable[..., Stand], switching: Path) -> None:
    """Ours, which describes itself, and tells contact, mode and done."""
    with ours(switching) as server:
        server.stop()
        stand = make(policy={"model": server.url, "contract": "tabletop"})
        stand.hears("policy_node: no connection: Connection refused", anew=False)
        server.start()
        stand.instruct("open the drawer")
        stand.moves()
        stand.robot.tells = {"contact": 1.0, "mode": "rollback"}
        stand.hears("policy_node: mode: rollback", anew=False)
        stand.robot.tells = {"done": 1.0}
        stand.hears("policy_node: done: open the drawer", anew=False)
        stand.rests()
        stand.robot.tells = {}
        stand.instruct("open the drawer")  # once more
        stand.moves()
