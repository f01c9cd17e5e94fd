"""Demonstrations whose action is a pose, a twist or velocities, read into episodes; by live streams just the same."""

from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from policy.data.cache import open_cache
from policy.data.episodes import read_episodes
from policy.robot.contract import Contract
from policy.robot.streams import Streams
from policy.spec import Episode, Frame
from tests.small_robot import SECOND, START, Message, T, contract, header, image, joints, record, string
from tests.test_contract import HAND, POSE, SPEEDS, TWIST

DT = SECOND // 20
CAMERA_HZ, HAND_HZ, COMMAND_HZ = 20, 100, 40
TURN = np.array([0.3, -0.2, 0.4])  # rad, from the hand that points down
VELOCITY = np.array([0.1, -0.05, 0.02])  # m/s


def where(t: float) -> np.ndarray:
    """Where the hand is asked to be (6,) at a time [s]."""
    return np.concatenate([[0.45, 0.0, 0.3] + VELOCITY * t, TURN * np.sin(t)])


def quaternion(vector: np.ndarray) -> np.ndarray:
    """x, y, z, w of a rotation vector from half a turn about x, by MuJoCo."""
    turned, product, angle = np.zeros(4), np.zeros(4), float(np.linalg.norm(vector))
    mujoco.mju_axisAngle2Quat(turned, vector / max(angle, 1e-12), angle)
    mujoco.mju_mulQuat(product, np.array([0.0, 1.0, 0.0, 0.0]), turned)
    return np.roll(product, -1)


def pose(ns: int, values: np.ndarray) -> Any:
    point = T["geometry_msgs/msg/Point"](*values[:3].tolist())
    turned = T["geometry_msgs/msg/Quaternion"](*(-quaternion(values[3:])).tolist())  # -q is the same orientation
    return T["geometry_msgs/msg/PoseStamped"](header(ns), T["geometry_msgs/msg/Pose"](point, turned))


def twist(ns: int, values: np.ndarray) -> Any:
    linear, angular = (T["geometry_msgs/msg/Vector3"](*part.tolist()) for part in (values[:3], values[3:]))
    return T["geometry_msgs/msg/TwistStamped"](header(ns), T["geometry_msgs/msg/Twist"](linear, angular))


def array(values: np.ndarray) -> Any:
    layout = T["std_msgs/msg/MultiArrayLayout"]([], 0)
    return T["std_msgs/msg/Float64MultiArray"](layout, values)


def speeds(t: float) -> np.ndarray:
    return np.concatenate([VELOCITY * np.cos(t), [0.0, 0.1, 0.2]])


COMMANDS = {  # the group of the action, its message at a time, and its values
    "pose": (POSE, lambda ns, t: pose(ns, where(t)), where),
    "twist": (TWIST, lambda ns, t: twist(ns, speeds(t)), speeds),
    "velocity": (SPEEDS, lambda ns, t: array(speeds(t)[:2]), lambda t: speeds(t)[:2]),
}


def robot(group: dict[str, Any]) -> Contract:
    hand = {"topic": "hand", "type": "geometry_msgs/msg/PoseStamped", "orientation": "pose.orientation", "names": HAND}
    hand |= {"fields": [f"pose.position.{c}" for c in "xyz"], "reference": [1, 0, 0, 0]}
    return contract(state=[{"topic": "joint_states", "joints": ["j1", "j2"]}, hand], action=[group])


def messages(group: dict[str, Any], command: Any) -> list[Message]:
    items: list[Message] = [("/instruction", string("move"), START - 1)]
    for k in range(3 * CAMERA_HZ):
        ns = START + k * SECOND // CAMERA_HZ
        items.append(("/cam/image_raw", image(ns, np.full((48, 64, 3), k, np.uint8)), ns))
    for k in range(3 * HAND_HZ):
        ns = START + k * SECOND // HAND_HZ
        items += [
            ("/hand", pose(ns, where(k / HAND_HZ)), ns),
            ("/joint_states", joints(ns, (0.1, 0.2), ["j1", "j2"]), ns),
        ]
    for k in range(3 * COMMAND_HZ):
        ns = START + k * SECOND // COMMAND_HZ
        items.append(("/" + group["topic"], command(ns, k / COMMAND_HZ), ns))
    return sorted(items, key=lambda item: item[2])


@pytest.mark.parametrize("kind", COMMANDS)
def test_an_episode_s_actions_are_the_set_points_in_force(kind: str, tmp_path: Path) -> None:
    group, command, value = COMMANDS[kind]
    made, items = robot(group), messages(group, command)
    (episode,) = read_episodes(record(tmp_path / "bag", items), made)
    assert isinstance(episode, Episode) and len(episode.state) > 55 and not episode.dropped
    t = (episode.stamps - START) / SECOND
    hand = np.array([where(x) for x in t])
    np.testing.assert_allclose(episode.state[:, 2:], hand, atol=1e-6)
    in_force = np.array([value(np.floor((x + 0.05) * COMMAND_HZ + 1e-6) / COMMAND_HZ) for x in t])
    np.testing.assert_allclose(episode.actions[:-2], in_force[:-2], atol=1e-6)

    streams, frames = Streams(made), list[Frame]()
    for topic, message, ns in items:
        if topic != "/instruction":
            streams.push(topic, message, ns)
        while (frame := streams.frame()) is not None:
            frames.append(frame)
    np.testing.assert_array_equal(np.array([f.state for f in frames]), episode.state[: len(frames)])
    at = streams.setpoint_at(int(frames[-1].stamp))
    np.testing.assert_allclose(at, value((frames[-1].stamp - START) / SECOND), atol=1e-6)


@pytest.mark.parametrize("stopped", [True, False])
def test_a_velocity_rests_at_zero(stopped: bool, tmp_path: Path) -> None:
    """An instruction that an empty one ends is done where the robot stood still, not where its speed was constant."""
    made = robot(SPEEDS)

    def command(ns: int, t: float) -> Any:
        return array(np.array([0.0 if t < 0.5 or (stopped and t > 1.2) else 0.3, 0.0]))

    items = [*messages(SPEEDS, command), ("/instruction", string(""), START + 2 * SECOND)]
    record(tmp_path / "bag", sorted(items, key=lambda item: item[2]))
    assert open_cache(tmp_path, made, processes=1).incomplete.tolist()[0] is not stopped
