"""The set-point in force: held, or what a joint_trajectory_controller makes of the trajectories that it gets."""

from pathlib import Path

import numpy as np
import pytest

from policy.data.episodes import read_episodes
from policy.robot.setpoints import CommandHistory
from policy.robot.trajectory_controller import TrajectoryController
from tests import small_robot as small

MS = 1_000_000


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("moving", [True, False])
def test_trajectories_are_followed_as_the_controller_follows_them(seed: int, moving: bool) -> None:
    """Random ones, that replace each other on the way, some of them begun in the past; sampled every 3 ms."""
    rng = np.random.default_rng(seed)
    start = rng.normal(size=2)
    controller, history = TrajectoryController(("a", "b"), start, 0), CommandHistory(2)
    sent = np.sort(rng.integers(1, 2000, 12)) * MS
    at = np.arange(0, 3000, 3) * MS + 1
    expected = []
    for now in at.tolist():
        while len(sent) and sent[0] <= now:
            arrival, sent = int(sent[0]), sent[1:]
            stamp = arrival - int(rng.integers(0, 60)) * MS
            times = np.cumsum(rng.integers(5, 200, 5)) * MS
            positions, speeds = rng.normal(size=(5, 2)), rng.normal(size=(5, 2))
            speeds[-1] = 0
            controller.command(["a", "b"], times, positions, speeds if moving else None, stamp, arrival)
            history.follow(arrival, stamp + times, positions, speeds if moving else None, start)
        expected.append(controller.at(now))
    got = history.frozen().at(at)
    known = ~np.isnan(got[:, 0])
    assert known.sum() > 900 and not known[0]
    np.testing.assert_allclose(got[known], np.array(expected)[known], atol=1e-6)


def test_values_are_held_until_the_next() -> None:
    history = CommandHistory(1)
    for time, value in ((10, 1.0), (20, 2.0), (40, 3.0)):
        history.hold(time, np.array([value]))
    got = history.frozen().at(np.array([9, 10, 19, 20, 39, 40, 1000]))[:, 0]
    assert np.isnan(got[0]) and got[1:].tolist() == [1, 1, 2, 2, 3, 3]


def test_a_goal_far_ahead_is_learnt_as_the_way_to_it(tmp_path: Path) -> None:
    """The goal is 2 s ahead: it is not "stay" for 2 s and then "be there"."""
    items = [item for item in small.moving(4) if "traj" not in item[0]]
    goal = small.trajectory(0, (0, [0, 0, 0.02]), (2, [1.0, 0, 0.02]))
    items.append(("/arm/joint_trajectory", goal, small.START))
    small.record(tmp_path / "a", sorted(items, key=lambda item: item[2]))
    (episode,) = read_episodes(tmp_path / "a", small.contract())
    t = (episode.stamps - small.START) * 1e-9
    np.testing.assert_allclose(episode.actions[:, 0], np.minimum((t + 0.05) / 2, 1), atol=1e-5)


def test_a_first_goal_begins_where_the_joints_stand(tmp_path: Path) -> None:
    """One point 1 s ahead, and nothing commanded before."""
    items = [item for item in small.moving(3) if "traj" not in item[0]]
    items.append(("/arm/joint_trajectory", small.trajectory(0, (1, [1.0, 0, 0.02])), small.START + small.SECOND))
    small.record(tmp_path / "a", sorted(items, key=lambda item: item[2]))
    (episode,) = read_episodes(tmp_path / "a", small.contract())
    t = (episode.stamps - small.START) * 1e-9
    stands = 0.5 * np.sin(1.0)
    assert t[0] == pytest.approx(1.0, abs=0.06)
    np.testing.assert_allclose(episode.actions[:, 0], stands + np.clip(t + 0.05 - 1, 0, 1) * (1 - stands), atol=1e-5)


def test_commands_that_come_before_the_first_one_is_reached_begin_where_the_joints_stand(tmp_path: Path) -> None:
    """Each goal is 50 ms ahead, and replaced after 45 ms: none is ever reached. The first comes before any state."""
    items = [item for item in small.moving(3) if "traj" not in item[0]]
    every = 45 * MS
    sent = range(small.START - every // 2, small.START + 3 * small.SECOND, every)
    goals = [small.trajectory(ns, (0.05, small.position(np.array((ns - small.START) * 1e-9 + 0.05)))) for ns in sent]
    items += [("/arm/joint_trajectory", goal, ns) for goal, ns in zip(goals, sent, strict=True)]
    small.record(tmp_path / "a", sorted(items, key=lambda item: item[2]))
    (episode,) = read_episodes(tmp_path / "a", small.contract())
    t = (episode.stamps - small.START) * 1e-9
    assert t[0] < 0.01 and np.abs(episode.actions - small.position(t + 0.05)).max() < 0.01
