"""Contracts: what the tabletop one says, and that whatever is wrong in one is named."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from policy.errors import InputError
from policy.robot.commands import Command
from policy.robot.contract import FOLDER, find, load
from policy.robot.sources import Camera, Source
from policy.strict_yaml import build


def changed(tmp_path, change):
    """A copy of the tabletop contract after a change to its plain values."""
    raw = yaml.safe_load((FOLDER / "tabletop.yaml").read_text())
    change(raw)
    path = tmp_path / "robot.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    return path


def test_tabletop_spec_and_limits():
    contract = load("tabletop")
    spec = contract.spec
    assert spec.cameras == {"front": (96, 96), "wrist": (96, 96)}
    assert spec.state == spec.action and len(spec.state) == 8 and spec.state[-1] == "gripper"
    assert (spec.rate, spec.horizon, spec.dt_ns) == (20, 16, 50_000_000)
    assert contract.limits.low.shape == contract.limits.high.shape == contract.limits.velocity.shape == (8,)
    assert contract.limits.high[-1] == np.float32(0.08) and contract.limits.velocity[0] == np.float32(2.175)


def test_every_shipped_contract_loads():
    assert all(load(path.stem).spec.action for path in FOLDER.glob("*.yaml"))
    assert find("tabletop") == FOLDER / "tabletop.yaml"


def test_split_is_in_robot_units_and_join_undoes_it():
    contract = load("tabletop")
    action = np.linspace(-1, 0.06, 8).astype(np.float32)
    (arm, arm_joints, arm_values), (gripper, finger, finger_value) = contract.split(action)
    assert (arm, gripper) == ("arm_controller/joint_trajectory", "gripper_controller/joint_trajectory")
    assert len(arm_joints) == 7 and finger == ("panda_finger_joint1",)
    assert finger_value[0] == pytest.approx(0.03) and arm_values[0] == -1
    np.testing.assert_allclose(contract.join(contract.split(action)), action, atol=1e-7)
    chunk = np.stack([action, action + 0.01])
    np.testing.assert_allclose(contract.join(contract.split(chunk)), chunk, atol=1e-7)


def test_each_joint_has_its_own_sign_scale_and_offset(tmp_path):
    def reverse(raw):
        raw["action"][0].update(scale=[-1, 1, 1, 1, 1, 1, 2], offset=[0, 0, 0.5, 0, 0, 0, 0])

    contract = load(changed(tmp_path, reverse))
    (_, _, arm), _ = contract.split(np.arange(8.0))
    assert arm.tolist() == [0, 1, 2.5, 3, 4, 5, 12] and contract.split(np.ones(8))[0][2][0] == -1
    np.testing.assert_allclose(contract.join(contract.split(np.arange(8.0))), np.arange(8.0))
    raw = np.array([-1, 1, 1, 1, 1, 1, 2.0])
    assert contract.action[0].source.convert(raw).tolist() == [1, 1, 0.5, 1, 1, 1, 1]


def test_groups_of_one_topic_share_a_message(tmp_path):
    def one_topic(raw):
        raw["action"][1]["topic"] = raw["action"][0]["topic"]

    (part,) = load(changed(tmp_path, one_topic)).split(np.arange(8.0))
    assert part[1][-1] == "panda_finger_joint1" and part[2].tolist() == [0, 1, 2, 3, 4, 5, 6, 3.5]


def test_another_robot_is_expressible(tmp_path):
    """Two arms, compressed cameras, a leader's JointState and a Float64MultiArray as demonstrations."""
    left, right = ["l1", "l2"], ["r1", "r2"]
    limits = {"position_min": [-1, -1], "position_max": [1, 1], "velocity_max": [1, 1]}
    path = tmp_path / "two_arms.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "rate": 30,
                "horizon": 8,
                "instruction": "/task_text",
                "cameras": {
                    "top": {
                        "topic": "/top/compressed",
                        "type": "sensor_msgs/msg/CompressedImage",
                        "encoding": "jpeg",
                        "height": 48,
                        "width": 64,
                    }
                },
                "state": [
                    {"topic": "/left/joint_states", "joints": left},
                    {"topic": "/right/joint_states", "joints": right},
                ],
                "action": [
                    {
                        "topic": "/left/cmd",
                        "joints": left,
                        **limits,
                        "demonstration": {
                            "topic": "/leader/joint_states",
                            "joints": ["a", "b"],
                            "names": left,
                            "scale": -1,
                        },
                    },
                    {
                        "topic": "/right/cmd",
                        "joints": right,
                        **limits,
                        "demonstration": {
                            "topic": "/right/array",
                            "type": "std_msgs/msg/Float64MultiArray",
                            "indices": [3, 4],
                            "names": right,
                        },
                    },
                ],
            }
        )
    )
    contract = load(path)
    assert contract.spec.action == ("l1", "l2", "r1", "r2")
    assert contract.commanded == {
        "/leader/joint_states": "sensor_msgs/msg/JointState",
        "/right/array": "std_msgs/msg/Float64MultiArray",
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.update(rat=20), ["rat", "did you mean 'rate'"]),
        (lambda r: r["cameras"]["front"].update(hight=96), ["cameras.front", "hight", "did you mean 'height'"]),
        (lambda r: r["cameras"]["front"].update(encoding="rgb9"), ["rgb9", "did you mean 'rgb8'"]),
        (
            lambda r: r["cameras"]["front"].update(type="sensor_msgs/msg/Imagee"),
            ["did you mean 'sensor_msgs/msg/Image'"],
        ),
        (lambda r: r["cameras"]["front"].update(height="96"), ["cameras.front: height", "'96' (str)", "expected int"]),
        (lambda r: r["cameras"]["front"].update(height=True), ["True (bool)", "expected int"]),
        (lambda r: r["cameras"]["front"].update(encoding="jpeg"), ["encoding", "expected rgb8, bgr8"]),
        (lambda r: r["state"][0].update(joints="panda_joint1"), ["state[0]: joints", "expected a list"]),
        (lambda r: r["action"][0].update(velocity_max=[1.0]), ["action[0].velocity_max", "1 values for 7 joints"]),
        (lambda r: r["action"][0].update(velocity_max=[float("nan")] * 7), ["velocity_max[0]", "finite"]),
        (lambda r: r["action"][0].update(velocity_max=[1.0] * 6 + [-1.0]), ["action[0].velocity_max", "positive"]),
        (lambda r: r["action"][0].update(velocity_max=[0.0] * 7), ["action[0].velocity_max", "positive"]),
        (lambda r: r["action"][0].update(tracking_max=[-0.1] * 7), ["action[0].tracking_max", "positive"]),
        (lambda r: r["state"][0].update(max_age=-1.0), ["state[0].max_age", "positive"]),
        (lambda r: r["cameras"]["front"].update(max_age=0.0), ["cameras.front.max_age", "positive"]),
        (
            lambda r: r["action"][1].update(topic="/" + r["action"][0]["topic"]),
            ["action[1].topic", "write it alike in both"],
        ),
        (lambda r: r["action"][0].update(scale=[1, 2]), ["action[0].scale", "got 2 values, expected one number or 7"]),
        (lambda r: r["action"][0].update(scale=[1, 0, 1, 1, 1, 1, 1]), ["action[0].scale", "got 0"]),
        (lambda r: r["action"][1].update(names=["griper"]), ["griper", "did you mean 'gripper'"]),
        (lambda r: r["action"][1].update(position_max=[-1.0]), ["action[1]", "not below"]),
        (lambda r: r.pop("instruction"), ["add instruction"]),
        (lambda r: r.update(cameras={}), ["cameras", "at least one"]),
        (lambda r: r.update(rate=0), ["rate", "positive"]),
        (lambda r: r["state"][1].pop("names"), ["state[1]", "names"]),
        (lambda r: r["cameras"]["wrist"].update(topic="joint_states"), ["joint_states", "is both"]),
        (lambda r: r.update(instruction="joint_states"), ["joint_states", "is both", "a topic of its own"]),
        (lambda r: r.update(labels={"contact": "/joint_states"}), ["joint_states", "is both"]),
        *(
            (lambda r, name=name: r["cameras"].update({name: r["cameras"].pop("wrist")}), [repr(name), "rename it"])
            for name in ("left/wrist", "../../x", "")
        ),
        *(
            (change, [f"{key}: got {topic!r}", "expected a topic"])
            for topic in ("", "wrist image", "wrist/image_raw/", "a//b", "joint-states!", "1/a", "a\n")
            for key, change in (
                ("cameras.wrist.topic", lambda r, topic=topic: r["cameras"]["wrist"].update(topic=topic)),
                ("state[0].topic", lambda r, topic=topic: r["state"][0].update(topic=topic)),
                ("action[1].topic", lambda r, topic=topic: r["action"][1].update(topic=topic)),
                ("instruction", lambda r, topic=topic: r.update(instruction=topic)),
                ("labels.mode", lambda r, topic=topic: r.update(labels={"mode": topic})),
            )
        ),
        (lambda r: r["action"][0].update(unbounded=True), ["action[0].unbounded", "only velocities"]),
        (lambda r: r.update(rate="20"), ["rate: got '20' (str), expected float (take the quotes away)"]),
        (lambda r: r.update(rate="2e1"), ["expected float (write 1.0e-3, not 1e-3"]),
        (lambda r: r["cameras"]["front"].update(height="tall"), ["got 'tall' (str), expected int"]),
    ],
)
def test_what_is_wrong_is_named(tmp_path, change, words):
    with pytest.raises(InputError) as error:
        load(changed(tmp_path, change))
    for word in words:
        assert word in str(error.value)


def test_no_such_contract(tmp_path):
    with pytest.raises(InputError, match="did you mean 'tabletop'"):
        load("tabeltop")
    with pytest.raises(InputError, match="no contract at"):
        load(tmp_path / "robot.yaml")


@pytest.mark.parametrize("text", ["", "- 1\n", "rate: [", "rate: 20\n\tx: 1\n"])
def test_not_a_contract(tmp_path, text):
    path = tmp_path / "robot.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"robot\.yaml"):
        load(path)


HAND = ["x", "y", "z", "rx", "ry", "rz"]
POSE = {
    "topic": "target_pose",
    "type": "geometry_msgs/msg/PoseStamped",
    "names": HAND,
    "frame": "base",
    "reference": [1, 0, 0, 0],
    "position_min": [0.2, -0.4, 0.0, -1, -1, -1],
    "position_max": [0.7, 0.4, 0.6, 1, 1, 1],
    "velocity_max": [0.5, 1.5],
}
TWIST = {
    "topic": "twist",
    "type": "geometry_msgs/msg/TwistStamped",
    "names": ["vx", "vy", "vz", "wx", "wy", "wz"],
    "measured": ["x", "y", "z"],
    "frame": "base",
    "position_min": [0.2, -0.4, 0.0],
    "position_max": [0.7, 0.4, 0.6],
    "velocity_max": [0.5, 1.5],
}
SPEEDS = {
    "topic": "velocity_controller/commands",
    "type": "std_msgs/msg/Float64MultiArray",
    "interface": "velocity",
    "joints": ["j1", "j2"],
    "names": ["j1_speed", "j2_speed"],
    "position_min": [-1, -2],
    "position_max": [1, 2],
    "velocity_max": [0.5, 0.6],
}
FINGER = {
    "topic": "gripper_controller/gripper_cmd",
    "type": "control_msgs/action/GripperCommand",
    "joints": ["finger"],
    "gripper": True,
    "position_min": [0],
    "position_max": [0.08],
    "velocity_max": [1.6],
    "demonstration": {"topic": "gripper/wanted", "joints": ["finger"]},
}


def kinds(tmp_path, *groups):
    """A contract with these groups of the action; joints, hand and finger are measured."""
    raw = yaml.safe_load((FOLDER / "tabletop.yaml").read_text())
    hand = {"topic": "hand", "type": "geometry_msgs/msg/PoseStamped", "orientation": "pose.orientation", "names": HAND}
    hand |= {"fields": [f"pose.position.{c}" for c in "xyz"], "reference": [1, 0, 0, 0]}
    raw["state"] = [{"topic": "joint_states", "joints": ["j1", "j2", "finger"]}, hand]
    raw["action"] = list(groups)
    path = tmp_path / "robot.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    return path


def test_each_kind_of_command(tmp_path):
    contract = load(kinds(tmp_path, POSE, SPEEDS, FINGER))
    assert contract.spec.action == (*HAND, "j1_speed", "j2_speed", "finger")
    assert [c.command.kind for c in contract.controllers] == ["pose", "velocity", "position"]
    assert [c.streamed for c in contract.controllers] == [True, True, True]
    assert contract.measured.tolist() == [3, 4, 5, 6, 7, 8, -1, -1, 2], "of velocities nothing is measured"
    assert contract.controllers[1].measured.tolist() == [0, 1], "their joints guard their positions"
    assert contract.spec.velocities == ("j1_speed", "j2_speed")
    with pytest.raises(InputError, match="the action j1_speed is no position"):
        assert contract.positions
    assert contract.limits.low[[0, 6]].tolist() == pytest.approx([0.2, -0.5])
    assert contract.limits.velocity.tolist() == pytest.approx([0.5] * 3 + [1.5] * 3 + [np.inf] * 2 + [1.6])
    assert contract.tracking_max[:7].tolist() == pytest.approx([0.15] * 3 + [0.45] * 3 + [0.15])
    assert contract.spec.action_base[:8] == (3, 4, 5, 6, 7, 8, None, None), "they are learnt from zero"
    assert contract.commanded == {
        "target_pose": "geometry_msgs/msg/PoseStamped",
        "velocity_controller/commands": "std_msgs/msg/Float64MultiArray",
        "gripper/wanted": "sensor_msgs/msg/JointState",
    }


@pytest.mark.parametrize(
    ("group", "change", "words"),
    [
        (POSE, {"names": HAND[:3]}, ["action[0].names", "got 3 values", "rotation vector", "expected 6"]),
        (POSE, {"velocity_max": [0.5] * 6}, ["velocity_max", "got 6", "expected 2"]),
        (POSE, {"joints": ["j1"]}, ["joints", "a pose has none"]),
        (POSE, {"frame": ""}, ["frame", "frame_id"]),
        (POSE, {"scale": 1000.0}, ["scale", "metres"]),
        (POSE, {"reference": [1, 1, 0, 0]}, ["reference", "length 1"]),
        (POSE, {"measured": ["x", "y", "z", "rx", "ry", "ry2"]}, ["action[0].measured", "ry2", "did you mean 'ry'"]),
        (POSE, {"interface": "velocity"}, ["interface", "TwistStamped"]),
        (TWIST, {"measured": []}, ["measured", "got 0", "expected 3"]),
        (TWIST, {"position_min": [0.2] * 6}, ["position_min", "got 6", "expected 3"]),
        (SPEEDS, {"names": ["j1", "j2"]}, ["names", "not the position that measures it"]),
        (SPEEDS, {"measured": ["j3", "j2"]}, ["measured", "j3"]),
        (SPEEDS, {"unbounded": True}, ["unbounded", "got position limits beside it"]),
        (FINGER, {"gripper": False}, ["joints", "gripper: true"]),
        (FINGER, {"demonstration": None}, ["demonstration", "no goals"]),
        (SPEEDS | {"type": "std_msgs/msg/Float32MultiArray"}, {}, ["did you mean", "Float64MultiArray"]),
    ],
)
def test_what_is_wrong_with_a_command_is_named(tmp_path, group, change, words):
    path = kinds(tmp_path, {k: v for k, v in {**group, **change}.items() if v is not None})
    with pytest.raises(InputError) as error:
        load(path)
    for word in words:
        assert word in str(error.value)


def test_a_topic_that_is_no_trajectory_has_one_group(tmp_path):
    with pytest.raises(InputError, match="share a topic"):
        load(kinds(tmp_path, SPEEDS, SPEEDS | {"joints": ["j2", "finger"], "names": ["a", "b"]}))


def test_what_the_page_of_observations_shows_can_be_read():
    page = (Path(__file__).parents[1] / "docs" / "observations.md").read_text()
    read = {"cameras": Camera, "state": Source, "action": Command}
    seen = set()
    for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL):
        for key, parts in yaml.safe_load(block).items():
            for part in parts.values() if isinstance(parts, dict) else parts:
                limits = {"position_min": [-1, -1], "position_max": [1, 1], "velocity_max": [1, 1]}
                built = build(read[key], (limits if key == "action" else {}) | part, key)
                assert not built.faults()
                seen.add(key)
    assert seen == set(read)
