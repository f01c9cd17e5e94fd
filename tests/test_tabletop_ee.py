"""The table by poses of the hand: what a recording holds under its two contracts, and what the world makes of it."""

from pathlib import Path

import mujoco
import numpy as np
import pytest
from mcap_ros2.reader import read_ros2_messages

from policy.data.episodes import read_episodes
from policy.robot.contract import load
from sim.record import main
from sim.worlds.tabletop.kinematics import Kinematics
from sim.worlds.tabletop.poses import FASTEST, TabletopPoses

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bags")
    arguments = ["--tasks", "lamp_on", "--episodes", "1", "--processes", "1", "--world", "tabletop_ee"]
    main([*arguments, "--out", str(out)])
    return out / "lamp_on_0000"


def test_a_recording_holds_poses_and_joints_of_one_motion(bag: Path) -> None:
    (poses,), (joints,) = (read_episodes(bag, load(name)) for name in ("tabletop_ee", "tabletop"))
    assert poses.state.shape[1] == 7 and joints.state.shape[1] == 8 and len(poses.state) == len(joints.state) > 30
    assert not poses.dropped and not joints.dropped and poses.instruction == joints.instruction
    kinematics = Kinematics()
    np.testing.assert_allclose(poses.state[:, :6], [kinematics.pose(q[:7]) for q in joints.state], atol=2e-3)
    # what the joints are commanded to is where the hand is commanded to be
    np.testing.assert_allclose(poses.actions[:, :6], [kinematics.pose(q[:7]) for q in joints.actions], atol=2e-3)
    np.testing.assert_array_equal(poses.actions[:, 6], joints.actions[:, 7])


def test_its_poses_are_those_that_another_reader_finds(bag: Path) -> None:
    (episode,) = read_episodes(bag, load("tabletop_ee"))
    found = []
    for message in read_ros2_messages(bag / "lamp_on_0000.mcap", topics=["/hand/pose"]):
        pose = message.ros_msg.pose
        found.append([getattr(pose.position, c) for c in "xyz"] + [getattr(pose.orientation, c) for c in "wxyz"])
    poses = np.array(found)
    np.testing.assert_allclose(episode.state[:, :3], poses[: len(episode.state), :3], atol=1e-6)
    turned, down = np.zeros(3), np.array([0.0, 1.0, 0.0, 0.0])
    for vector, quaternion in zip(episode.state[:, 3:6], poses[:, 3:], strict=False):
        mujoco.mju_subQuat(turned, quaternion, down)  # the rotation vector from `down`, in its axes
        np.testing.assert_allclose(vector, turned, atol=1e-5)


def test_the_world_goes_to_a_pose_no_faster_than_its_joints_may() -> None:
    world = TabletopPoses()
    world.reset(np.random.default_rng(0))
    goal = world.setpoint() + np.array([0.1, -0.15, -0.05, 0.1, -0.2, 0.3, -0.03])
    last = world.joint_setpoint()
    for _ in range(60):
        world.step(goal)
        assert np.abs(world.joint_setpoint() - last)[:7].max() <= FASTEST + 1e-9
        last = world.joint_setpoint()
    np.testing.assert_allclose(world.state()[:3], goal[:3], atol=0.005)
    np.testing.assert_allclose(world.state()[3:6], goal[3:6], atol=0.03)
    np.testing.assert_allclose(world.setpoint(), goal, atol=2e-3)
    assert world.opening == pytest.approx(goal[6], abs=2e-3)
