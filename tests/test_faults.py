# ruff: noqa: F811  fixtures are imported
"""Faults of sensors, model and inference: the arm is held, a node says why, and it goes on.

Over real DDS. Each docstring is a row of docs/faults.md (tests/faults.py); its `Says` is what the test waits
for. At the end of each test no set-point was beyond the limits.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests import faults
from tests.faults_stand import Stand, make, model, says, stand  # noqa: F401  fixtures
from tests.ros_tiny import until  # skips the file where there is no ROS

# isort: split
from ros_nodes import bridge

FRONT, JOINTS = "camera/front/image_raw", "joint_states"


def shifted(seconds: float) -> Callable[[Any], Any]:
    """Messages with another stamp."""

    def shift(message: Any) -> Any:
        message.header.stamp = bridge.stamp(bridge.nanoseconds(message.header.stamp) + round(seconds * 1e9))
        return message

    return shift


def mangled(stand: Stand, says: str, topic: str, mangle: Callable[[Any], Any]) -> None:
    """Change a topic's messages; the arm must hold and go on when they are right again."""
    stand.robot.mangle[topic], began = mangle, time.monotonic()
    stand.hears(says)
    stand.rests(began)
    stand.robot.mangle.clear()
    stand.moves()


def test_a_camera_stops(stand: Stand, says: str) -> None:
    """A camera stops. Then: the arm is held. Says: policy_node: camera/front/image_raw is silent
    After: it goes on with the next image."""
    stand.robot.mute.add(FRONT)
    began = time.monotonic()
    stand.hears(says)
    stand.rests(began)
    stand.robot.mute.clear()
    stand.moves()


def test_a_camera_freezes(stand: Stand, says: str) -> None:
    """A camera freezes: the same image with new stamps. Then: once a joint has moved 0.1 rad, it is held.
    Says: policy_node: camera wrist is frozen After: it goes on with the next other image."""
    stand.robot.frozen.add("wrist")
    stand.hears(says)
    stand.rests()
    stand.robot.frozen.clear()
    stand.moves()


def test_images_of_another_size(stand: Stand, says: str) -> None:
    """Images of another size. Then: they are dropped, the arm is held.
    Says: policy_node: got an image of 64x48 After: it goes on with the next right image."""
    mangled(
        stand,
        says,
        FRONT,
        lambda m: bridge.image(np.zeros((48, 64, 3), np.uint8), bridge.nanoseconds(m.header.stamp), "front"),
    )


def test_images_of_another_encoding(stand: Stand, says: str) -> None:
    """Images of another encoding. Then: they are dropped, the arm is held. Says: policy_node: 96x96 mono8
    After: it goes on with the next right image."""

    def mono(message: Any) -> Any:
        message.encoding = "mono8"
        return message

    mangled(stand, says, FRONT, mono)


def test_images_late_by_half_a_second(stand: Stand, says: str) -> None:
    """Images that are late by 500 ms. Then: they are dropped by their stamp, the arm is held.
    Says: policy_node: late by 0.5 After: it goes on with the next image in time."""
    mangled(stand, says, FRONT, shifted(-0.5))


def test_stamps_of_the_future(stand: Stand, says: str) -> None:
    """Stamps of the future. Then: the messages are dropped, the arm is held.
    Says: policy_node: stamped in the future by After: it goes on when the clocks agree."""
    mangled(stand, says, JOINTS, shifted(3600))


def test_stamps_out_of_order(stand: Stand, says: str) -> None:
    """Every other image carries an older stamp. Then: those are dropped, the arm goes on with the rest.
    Says: policy_node: times run backwards After: nothing needs to be done."""
    count = iter(range(10**9))
    stand.robot.mangle[FRONT] = lambda m: shifted(-0.15)(m) if next(count) % 2 else m
    stand.hears(says)
    stand.robot.mangle.clear()
    stand.moves()


def test_a_joint_is_nan(stand: Stand, says: str) -> None:
    """A joint is NaN. Then: the joint states are dropped, the arm is held.
    Says: policy_node: not a finite number After: it goes on with the next right ones."""

    def nan(message: Any) -> Any:
        message.position[2] = float("nan")
        return message

    mangled(stand, says, JOINTS, nan)


def test_a_joint_is_missing(stand: Stand, says: str) -> None:
    """A joint is missing or has another name. Then: the joint states are dropped, the arm is held.
    Says: policy_node: got no joint panda_joint3 After: it goes on with the next right ones."""

    def rename(message: Any) -> Any:
        message.name[message.name.index("panda_joint3")] = "joint_3"
        return message

    mangled(stand, says, JOINTS, rename)


def test_joint_states_stop(stand: Stand, says: str) -> None:
    """Joint states stop. Then: the arm is held. Says: policy_node: joint_states is silent
    After: it goes on when they come again."""
    stand.robot.mute.add(JOINTS)
    began = time.monotonic()
    stand.hears(says)
    stand.rests(began)
    stand.robot.mute.clear()
    stand.moves()


def test_one_joint_has_two_values(stand: Stand, says: str) -> None:
    """A joint is twice in a message, with two values. Then: the arm is held.
    Says: policy_node: contradictory joint states: joint_states has panda_joint2 twice After: it goes on a second
    after the last one."""

    def twice(message: Any) -> Any:
        message.name = [*message.name, "panda_joint2"]
        message.position = [*message.position, 0.94]
        return message

    mangled(stand, says, JOINTS, twice)


def test_stamps_are_off_by_a_little(stand: Stand, says: str) -> None:
    """Stamps are 80 ms behind our clock. Then: the arm goes on, as they are not late.
    Says: policy_node: stamps are After: synchronise the clocks."""
    stand.robot.lag = 0.08
    stand.hears(says)
    stand.moves()
    stand.robot.lag = 0.0


def command_off_by(stand: Stand, says: str, seconds: float) -> None:
    """As from a machine whose clock is off; the arm must hold and go on when the clocks agree."""
    chunks, began = stand.nodes["policy_node"]._chunks, time.monotonic()
    publish = chunks.publish
    chunks.publish = lambda message: publish(shifted(seconds)(message))
    stand.hears(says)
    stand.rests(began)
    chunks.publish = publish
    stand.moves()


def test_the_clock_of_the_policy_is_ahead(stand: Stand, says: str) -> None:
    """The policy's clock is ahead of the safety node's by half a second. Then: its commands are refused, the arm is
    held. Says: safety_node: the command begins too far ahead After: it goes on when the clocks agree."""
    command_off_by(stand, says, 0.5)


def test_the_clock_of_the_policy_is_behind(stand: Stand, says: str) -> None:
    """The policy's clock is behind the safety node's by a chunk. Then: its commands are refused, the arm is held.
    Says: safety_node: the command ends in the past After: it goes on when the clocks agree."""
    command_off_by(stand, says, -0.9)


def broken_model(make: Callable[..., Stand], says: str, folder: Path, repair: Callable[[], None]) -> None:
    stand = make(policy={"model": str(folder)})
    stand.hears(says)
    assert stand.nodes["policy_node"].live is None
    repair()
    stand.instruct("open the drawer")
    stand.moves()


def test_the_model_is_missing(make: Callable[..., Stand], says: str, model: Path, tmp_path: Path) -> None:
    """The model is missing. Then: the policy node stays unconfigured and commands nothing.
    Says: policy_node: no model folder at After: with `autostart` it tries again every two seconds."""
    broken_model(make, says, tmp_path / "model", lambda: shutil.copytree(model, tmp_path / "model"))


def test_the_model_is_truncated(make: Callable[..., Stand], says: str, model: Path, tmp_path: Path) -> None:
    """The model file is truncated. Then: the policy node stays unconfigured and commands nothing.
    Says: policy_node: cannot be loaded by ONNX Runtime After: with `autostart` it tries again."""
    shutil.copytree(model, tmp_path / "model")
    whole = (model / "policy.onnx").read_bytes()
    (tmp_path / "model" / "policy.onnx").write_bytes(whole[: len(whole) // 2])
    broken_model(make, says, tmp_path / "model", lambda: (tmp_path / "model" / "policy.onnx").write_bytes(whole))


def test_the_model_is_for_another_robot(make: Callable[..., Stand], says: str) -> None:
    """The model is for another robot. Then: the policy node stays unconfigured and commands nothing.
    Says: policy_node: the model is for another robot After: give it the contract or the model that fits."""
    stand = make(policy={"contract": "so101"})
    stand.hears(says)
    assert stand.nodes["policy_node"].live is None


def test_inference_raises_an_error(stand: Stand, says: str) -> None:
    """Inference raises an error. Then: the arm is held; each frame is another try. Says: policy_node: inference failed
    After: it goes on with the first try that succeeds."""
    session = stand.nodes["policy_node"].session
    run = session.run

    def throw(feed: Any) -> Any:
        raise RuntimeError("out of memory")

    session.run = throw
    stand.hears(says)
    stand.rests()
    session.run = run
    stand.moves()


def test_inference_takes_ten_control_periods(stand: Stand, says: str) -> None:
    """Inference takes 10 control periods. Then: what is late in a chunk is dropped, the rest is followed;
    where nothing is left the arm is held. Says: policy_node: inference p50 / p99 ms: 5
    After: nothing needs to be done."""
    session = stand.nodes["policy_node"].session
    run, spec = session.run, session.spec
    calls = []

    def slow(feed: Any) -> Any:
        calls.append(feed)
        time.sleep(10 * spec.dt_ns * 1e-9)
        return run(feed)

    session.run = slow
    until(lambda: len(calls) > 6, "slow inferences")
    stand.moves()
    stand.hears(says)
    session.run = run
    stand.moves()


def test_the_page_is_current() -> None:
    assert faults.PAGE.read_text() == faults.page(), "python -m tests.faults"
