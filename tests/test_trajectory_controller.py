"""The model of ros2_control's joint_trajectory_controller: what it follows, and what it rejects."""

from typing import Any

import numpy as np
import pytest

from policy.robot.trajectory_controller import TrajectoryController

S = 10**9
DT = S // 20


@pytest.fixture
def controller() -> TrajectoryController:
    return TrajectoryController(("a", "b"), np.array([0.0, 1.0]), S)


def go(
    controller: TrajectoryController,
    times: list[int],
    points: list[list[float]],
    now: int = S,
    speeds: list[list[float]] | None = None,
    names: tuple[str, ...] = ("a", "b"),
    stamp: int = 0,
) -> str | None:
    return controller.command(
        list(names),
        np.array(times),
        np.array(points, float),
        None if speeds is None else np.array(speeds, float),
        stamp,
        now,
    )


def test_positions_alone_are_joined_by_lines_and_the_last_is_held(controller: TrajectoryController) -> None:
    assert go(controller, [DT, 2 * DT], [[1, 1], [1, 2]]) is None
    np.testing.assert_allclose(controller.at(S + DT // 2), [0.5, 1])
    np.testing.assert_allclose(controller.at(S + DT + DT // 2), [1, 1.5])
    np.testing.assert_allclose(controller.at(9 * S), [1, 2])


def test_velocities_are_met(controller: TrajectoryController) -> None:
    assert go(controller, [DT, 2 * DT], [[1, 1], [2, 1]], speeds=[[20, 0], [0, 0]]) is None
    step = 1000
    slope = (controller.at(S + DT + step) - controller.at(S + DT - step)) / (2 * step) * S
    np.testing.assert_allclose(slope, [20, 0], atol=0.1)


def test_the_newest_replaces_the_old_one_whole_from_where_it_is(controller: TrajectoryController) -> None:
    go(controller, [DT, 2 * DT, 3 * DT], [[1, 1], [2, 1], [3, 1]])
    go(controller, [DT], [[0, 1]], now=S + DT)
    np.testing.assert_allclose(controller.at(S + DT), [1, 1])
    np.testing.assert_allclose(controller.at(S + 2 * DT), [0, 1])
    np.testing.assert_allclose(controller.at(9 * S), [0, 1])


def test_joints_may_come_in_another_order(controller: TrajectoryController) -> None:
    assert go(controller, [DT], [[5, 6]], names=("b", "a")) is None
    np.testing.assert_allclose(controller.at(9 * S), [6, 5])


def test_a_stamped_trajectory_is_joined_where_its_time_has_come(controller: TrajectoryController) -> None:
    assert go(controller, [DT, 2 * DT, 3 * DT], [[9, 9], [2, 1], [3, 1]], stamp=S - DT - DT // 2) is None
    np.testing.assert_allclose(controller.at(S), [5.5, 5])  # halfway from its first point to the second
    np.testing.assert_allclose(controller.at(S + DT // 2), [2, 1])
    np.testing.assert_allclose(controller.at(S + DT + DT // 2), [3, 1])


@pytest.mark.parametrize(
    ("why", "change"),
    [
        ("empty", {"times": [], "points": np.empty((0, 2))}),
        ("joints", {"names": ("a", "c")}),
        ("joints", {"names": ("a",), "points": [[1], [2]]}),
        ("rise", {"times": [DT, DT]}),
        ("rise", {"times": [2 * DT, DT]}),
        ("last velocity", {"speeds": [[0, 0], [0, 1]]}),
        ("passed", {"stamp": S // 2}),
        ("finite", {"points": [[1, 1], [1, np.nan]]}),
        ("velocities", {"speeds": [[0], [0]]}),
    ],
)
def test_what_a_controller_rejects(controller: TrajectoryController, why: str, change: dict[str, Any]) -> None:
    given: Any = {"times": [DT, 2 * DT], "points": [[1, 1], [2, 2]]} | change
    assert why in str(go(controller, **given))
    np.testing.assert_allclose(controller.at(9 * S), [0, 1])
