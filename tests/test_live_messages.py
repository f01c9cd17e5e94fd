"""Any message and every picture over real DDS: what a node sees of rclpy's messages is what the bag of them gives."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import yaml

# isort: split  (ros_tiny skips this file where there is no ROS)
from policy.data.episodes import read_episodes
from policy.errors import InputError
from policy.robot.contract import Contract
from policy.robot.live_observations import LiveObservations
from policy.spec import Frame
from ros_nodes import bridge
from ros_nodes.safety_node import SafetyNode
from tests import small_robot as robot
from tests.ros_tiny import LONG, Bench, bench, until
from tests.small_robot import SECOND, START, Message
from tests.test_any_message import CASES, TOPIC, WALKER, Case
from tests.test_encodings import DEPTH, message, packed_depth, stored

INSTALLED = [c for c in CASES if not c.values[0].source["type"].startswith("walker_msgs")]  # not generated
STEPS = 6
JOINTS = {"topic": "joint_states", "joints": list(robot.JOINTS)}


@pytest.fixture
def stage() -> Iterator[Bench]:
    with bench() as made:
        yield made


def short(contract: Contract, extra: list[Message]) -> list[Message]:
    """A few frames of the small robot; of one time its joints come first, then what is extra, then the picture."""
    items = [i for i in robot.moving(STEPS / 20) if i[0] != f"/{contract.cameras['front'].topic}"]
    order = {"/instruction": 0, "/joint_states": 1, TOPIC: 2}
    return sorted(items + extra, key=lambda i: (i[2], order.get(i[0], 3)))


def pictures(encoding: str = "rgb8") -> list[Message]:
    found = []
    for k in range(STEPS):
        ns = START + k * SECOND // 20
        rows = np.rint(DEPTH * 1000).astype("<u2") if encoding == "16UC1" else stored(encoding)
        made = message(encoding, np.roll(rows, k, axis=0))
        made.header = robot.header(ns)
        found.append(("/cam/image_raw", made, ns))
    return found


def over_dds(stage: Bench, contract: Contract, items: list[Message]) -> list[Frame]:
    """Each message goes through DDS before the next one is sent."""
    live, frames, arrived = LiveObservations(contract, 1.0, START), list[Frame](), Event()
    now = [0]

    def take(topic: str, got: Any) -> None:
        frames.extend(live.push(topic, got, now[0], now[0]))
        arrived.set()

    out = {}
    for topic, kind in (contract.observed | contract.echoed).items():
        made = bridge.message_class(kind)
        stage.ears.create_subscription(made, topic, lambda got, topic=topic: take(topic, got), 10)
        out[topic] = stage.ears.create_publisher(made, topic, 10)
    for topic, publisher in out.items():
        until(publisher.get_subscription_count, f"somebody hears {topic}")
    for topic, made, ns in items:
        if publisher := out.get(topic.lstrip("/")):
            now[0] = ns
            arrived.clear()
            publisher.publish(bytes(WALKER.serialize_cdr(made, made.__msgtype__)))
            assert arrived.wait(LONG), f"no message on {topic}"
    assert not live.dropped
    return frames


def assert_same(contract: Contract, path: Path, items: list[Message], frames: list[Frame]) -> None:
    robot.record(path, items, types=WALKER)
    (episode,) = read_episodes(path, contract)
    by_stamp = dict(zip(episode.stamps.tolist(), range(len(episode.stamps)), strict=True))
    shared = [f for f in frames if f.stamp in by_stamp]
    assert len(shared) >= STEPS - 1
    for frame in shared:
        i = by_stamp[frame.stamp]
        assert np.array_equal(frame.state, episode.state[i]), frame.stamp
        assert all(np.array_equal(image, episode.images[c][i]) for c, image in frame.images.items())


@pytest.mark.parametrize("one", INSTALLED)
def test_state_of_any_message(stage: Bench, tmp_path: Path, one: Case) -> None:
    source = one.source | {"topic": TOPIC.lstrip("/")}
    contract = robot.contract(state=[JOINTS, source])
    values = [(TOPIC, one.made(ns, k / 20), ns) for k in range(STEPS) for ns in [START + k * SECOND // 20]]
    items = short(contract, values + pictures())
    frames = over_dds(stage, contract, items)
    assert_same(contract, tmp_path / "bag", items, frames)
    by_hand = {ns: one.read(made) for topic, made, ns in values}
    for frame in frames:
        np.testing.assert_allclose(frame.state[3:], by_hand[frame.stamp], atol=1e-6)


@pytest.mark.parametrize("encoding", ["bgra8", "yuv422", "bayer_rggb8", "16UC1"])
def test_pictures(stage: Bench, tmp_path: Path, encoding: str) -> None:
    contract = robot.contract(cameras={"front": {**vars(robot.contract().cameras["front"]), "encoding": encoding}})
    items = short(contract, pictures(encoding))
    assert_same(contract, tmp_path / "bag", items, over_dds(stage, contract, items))


def test_compressed_depth(stage: Bench, tmp_path: Path) -> None:
    kind = "sensor_msgs/msg/CompressedImage"
    front = {**vars(robot.contract().cameras["front"]), "encoding": "32FC1", "type": kind}
    contract = robot.contract(cameras={"front": front})
    made = packed_depth("32FC1", True)
    packed = [
        ("/cam/image_raw", robot.T[kind](robot.header(ns), made.format, np.frombuffer(made.data, np.uint8)), ns)
        for k in range(STEPS)
        for ns in [START + k * SECOND // 20]
    ]
    items = short(contract, packed)
    frames = over_dds(stage, contract, items)
    assert_same(contract, tmp_path / "bag", items, frames)
    assert frames[0].images["front"].shape == (48, 64, 1)


def test_a_gripper_without_feedback(stage: Bench, tmp_path: Path) -> None:
    limits = {"position_min": [-3, -3], "position_max": [3, 3], "velocity_max": [3, 3]}
    arm = {"topic": "arm/joint_trajectory", "joints": ["j1", "j2"]} | limits
    grip = {"topic": "grip/commands", "joints": ["grip"], "gripper": True, "initial": [0.05]}
    grip |= {"position_min": [0], "position_max": [0.05], "velocity_max": [1]}
    contract = robot.contract(state=[JOINTS | {"joints": ["j1", "j2"]}], action=[arm, grip])
    commands = [
        ("/grip/commands", robot.trajectory(START + t, (0.0, [v]), names=["grip"]), START + t)
        for t, v in ((-1, 0.04), (120_000_000, 0.01))
    ]
    items = short(contract, pictures() + commands)
    frames = over_dds(stage, contract, items)
    assert_same(contract, tmp_path / "bag", items, frames)
    assert [round(float(f.state[2]), 3) for f in frames] == [0.04] * 3 + [0.01] * (STEPS - 3)


def test_a_type_of_no_installed_package_is_named() -> None:
    with pytest.raises(InputError, match="walker_msgs/msg/Leg is not installed here; install the package walker_msgs"):
        bridge.message_class("walker_msgs/msg/Leg")


def test_the_safety_node_sees_any_state(stage: Bench, tmp_path: Path) -> None:
    """It has to know where the arm is, of whatever message that comes in."""
    raw = yaml.safe_load((Path(__file__).parents[1] / "policy/contracts/tabletop.yaml").read_text())
    raw["state"][1] = {
        "topic": "opening",
        "type": "std_msgs/msg/Float32",
        "fields": ["data"],
        "names": ["gripper"],
        "scale": 0.001,
    }
    path = tmp_path / "robot.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    node = stage.node(SafetyNode, contract=str(path))
    kind = bridge.message_class("std_msgs/msg/Float32")
    out = stage.ears.create_publisher(kind, "opening", 10)
    until(out.get_subscription_count, "the safety node hears the gripper")
    out.publish(kind(data=40.0))
    until(lambda: abs(node._monitor._state[-1] - 0.04) < 1e-6, "it knows how far the gripper is open")
