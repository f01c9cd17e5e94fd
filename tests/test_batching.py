"""Calls of several threads become one run of the graph, and nobody gets another's answer."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest

from policy.errors import InputError
from policy.running import policy_server
from policy.running.batching import Batching
from policy.running.remote import RemoteSession
from policy.running.session import Session
from policy.running.tracker import Tracker
from tests.policy_servers import Serving
from tests.tiny import frame, write_model


def at_once(batching: Batching, numbers: list[float], call: Callable[[float], Any] | None = None) -> list[Any]:
    """What each robot's thread gets for its number, or the error that it gets."""
    barrier = Barrier(len(numbers))

    def robot(number: float) -> Any:
        barrier.wait()
        try:
            return (call or (lambda n: batching.run({"x": np.array([[n]])})["y"].item()))(number)
        except ValueError as error:
            return error

    with ThreadPoolExecutor(len(numbers)) as pool, ExitStack() as stack:
        for _ in numbers:
            stack.enter_context(batching.robot())
        return list(pool.map(robot, numbers))


def square(feed: dict[str, Any]) -> dict[str, Any]:
    if (feed["x"] < 0).any():
        raise ValueError("a number below zero")
    return {"y": feed["x"] ** 2}


def test_all_that_are_due_are_one_run_and_each_gets_its_own_row() -> None:
    batching = Batching(square, window_s=None)
    assert at_once(batching, [0, 1, 2, 3]) == [0, 1, 4, 9]
    assert (batching.runs, batching.calls, batching.robots) == (1, 4, 0)


def test_more_than_fit_go_into_the_next_run() -> None:
    batching = Batching(square, window_s=None, most=2)
    assert at_once(batching, [0, 1, 2, 3]) == [0, 1, 4, 9]
    assert (batching.runs, batching.calls) == (2, 4)


def test_what_one_robot_sends_wrongly_fails_that_one_alone() -> None:
    answers = at_once(Batching(square, window_s=None), [1, -1, 3])
    assert [answers[0], answers[2]] == [1, 9] and isinstance(answers[1], ValueError)


def test_a_robot_that_does_not_call_keeps_the_others_only_for_the_window() -> None:
    batching = Batching(square, window_s=0.01)
    with batching.robot(), batching.robot():
        assert batching.run({"x": np.array([[3.0]])})["y"].item() == 9


def test_a_robot_that_leaves_is_not_waited_for() -> None:
    batching = Batching(square, window_s=None)
    with ThreadPoolExecutor(1) as pool, batching.robot():
        with batching.robot():
            waiting = pool.submit(batching.run, {"x": np.array([[3.0]])})
        assert waiting.result(timeout=10)["y"].item() == 9


def test_robots_of_one_session_get_what_each_gets_alone(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    session = Session(tmp_path / "model", threads=1)
    trackers = {number: Tracker(session) for number in (10.0, 120.0, 240.0)}
    frames = {number: frame(session.spec, int(number)) for number in trackers}
    for tracker in trackers.values():
        tracker.instruct("open the drawer")
    alone = [tracker.infer(frames[number]).actions for number, tracker in trackers.items()]
    session.batching.window_s = None
    together = at_once(session.batching, list(trackers), lambda number: trackers[number].infer(frames[number]).actions)
    assert (session.batching.runs, session.batching.calls) == (1, 3)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    tracker = trackers[10.0]
    small = frame(session.spec)
    small.state = small.state[:-1]
    with pytest.raises(InputError, match="state"):
        tracker.infer(small)


def test_robots_at_one_policy_server_share_its_runs(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    session = Session(tmp_path / "model", threads=1)
    session.batching.window_s = None  # the first waits for the second
    serving = Serving(lambda port: policy_server.bind(session, "tiny", "127.0.0.1", port))
    try:
        robots = [Tracker(RemoteSession(serving.url, session.contract, timeout_s=60)) for _ in range(2)]
        seen = [frame(session.spec, 40), frame(session.spec, 200)]
        for robot in robots:
            robot.instruct("open the drawer")
        with ThreadPoolExecutor(2) as pool:
            chunks = list(pool.map(Tracker.infer, robots, seen))
        assert (session.batching.runs, session.batching.calls) == (1, 2)
        for robot, shown, chunk in zip(robots, seen, chunks, strict=True):
            alone = Tracker(session)
            alone.instruct("open the drawer")
            outputs = session._graph.run(alone.inputs(shown))
            np.testing.assert_allclose(chunk.actions, outputs["actions"][0], atol=1e-6)
            robot.session.close()
    finally:
        serving.stop()
