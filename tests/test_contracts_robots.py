"""Two public robots of another shape: bags with their topics become episodes in the policy's units."""

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from policy.data.bag_writer import channels
from policy.data.episodes import read_episodes
from policy.robot.contract import Contract, load
from policy.robot.streams import Streams
from tests.demo_bag import START, Item, header, image, make, write

MS = 1_000_000
SECONDS = 0.5
SO101 = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
ALOHA = ("waist", "shoulder", "elbow", "forearm_roll", "wrist_angle", "wrist_rotate")


def joint(at: int, i: int) -> float:
    """What joint i of a robot measures at a time [ns]; each its own."""
    return 0.1 * i + 0.2 * (at - START) / 1e9


def picture(k: int, camera: int) -> np.ndarray:
    """(480, 640, 3): a slope that moves with time and differs in each channel, so that a swap is seen."""
    x = np.arange(640, dtype=np.uint16)[None, :, None] // 4 + np.array([0, 40, 80]) + 3 * k + 5 * camera
    return np.broadcast_to(np.minimum(x, 255).astype(np.uint8), (480, 640, 3)).copy()


def joint_state(at: int, names: tuple[str, ...], values: list[float]) -> object:
    n = np.zeros(len(names))
    return make("JointState", header(at), list(names), np.array(values), n, n)


def array(values: list[float]) -> object:
    return make("Float64MultiArray", make("MultiArrayLayout", [], 0), np.array(values))


def ticks(rate: float) -> Iterator[int]:
    for k in range(int(rate * SECONDS)):
        yield START + round(k * 1e9 / rate)


def so101() -> Iterator[Item]:
    """Cameras at 30 Hz, joints and the leader's array at 100 Hz; the array leads the arm by 0.05 rad."""
    yield Item("instruction", make("String", "pick up the tape"), START)
    for at in ticks(100):
        arm = [joint(at, i) for i in range(6)]
        yield Item("follower/joint_states", joint_state(at, SO101[::-1], arm[::-1]), at)
        yield Item("follower/forward_controller/commands", array([v + 0.05 for v in arm]), at)
    for k, at in enumerate(ticks(30)):
        for c, topic in enumerate(("static_camera", "follower")):
            done, packed = cv2.imencode(".jpg", picture(k, c)[..., ::-1])
            assert done
            message = make("CompressedImage", header(at), "rgb8; jpeg compressed bgr8", packed.reshape(-1))
            yield Item(f"{topic}/image_raw/compressed", message, at)


def aloha2() -> Iterator[Item]:
    """Cameras at 60 Hz, four arms at 100 Hz; the leaders lead by 0.05 rad and their fingers are half open."""
    yield Item("instruction", make("String", "fold the towel"), START)
    fingers = ("left_finger", "right_finger")
    for at in ticks(100):
        for side, first in (("left", 0), ("right", 6)):
            arm = [joint(at, first + i) for i in range(6)]
            yield Item(f"follower_{side}/joint_states", joint_state(at, (*ALOHA, *fingers), [*arm, 0.05, -0.05]), at)
            yield Item(
                f"leader_{side}/joint_states",
                joint_state(at, (*ALOHA, *fingers), [*(v + 0.05 for v in arm), 0.0254, -0.0254]),
                at,
            )
    for k, at in enumerate(ticks(60)):
        for c, name in enumerate(("high", "left_wrist", "right_wrist")):
            yield Item(f"cam_{name}/camera/color/image_rect_raw", image(at, picture(k, c)), at)


def recorded(folder: Path, name: str, messages: Callable[[], Iterator[Item]]) -> tuple[Contract, list[Item], Path]:
    contract = load(name)
    items = sorted(messages(), key=lambda item: item.receive)
    return contract, items, write(folder / name, items, channels(contract))


def on_grid(stamps: np.ndarray) -> np.ndarray:
    """The last of the 100 Hz times at or before each."""
    return (stamps - START) // (10 * MS) * (10 * MS) + START


@pytest.mark.parametrize(("name", "messages", "frames"), [("so101", so101, 15), ("aloha2", aloha2, 15)])
def test_its_bag_becomes_episodes_and_live_frames_are_the_same(tmp_path, name, messages, frames):
    contract, items, bag = recorded(tmp_path, name, messages)
    (episode,) = read_episodes(bag, contract)
    assert abs(len(episode.stamps) - frames) <= 1 and not episode.contact.any() and episode.dropped <= 1
    joints, grid = len(contract.spec.state), on_grid(episode.stamps)
    arm = [i for i, n in enumerate(contract.spec.state) if "gripper" not in n or name == "so101"]
    expected = np.array([[joint(t, i) for i in range(12 if name == "aloha2" else 6)] for t in grid])
    assert episode.state.shape == episode.actions.shape == (len(episode.stamps), joints)
    np.testing.assert_allclose(episode.state[:, arm], expected, atol=1e-6)
    ahead = np.minimum(on_grid(episode.stamps + contract.spec.dt_ns), on_grid(START + int(SECONDS * 1e9) - 1))
    led = expected + 0.05 + 0.2 * ((ahead - grid) / 1e9)[:, None]
    np.testing.assert_allclose(episode.actions[:, arm], led, atol=1e-6)
    live = Streams(contract)
    seen = []
    for item in items:
        if item.topic in contract.observed:
            live.push(item.topic, item.message, item.receive)
            while (frame := live.frame()) is not None:
                seen.append(frame)
    assert len(seen) >= len(episode.stamps) - 1
    for i, frame in enumerate(seen[: len(episode.stamps)]):
        assert frame.stamp == episode.stamps[i] and np.array_equal(frame.state, episode.state[i])
        assert all(np.array_equal(frame.images[c], episode.images[c][i]) for c in contract.cameras)


def test_compressed_images_come_out_as_rgb(tmp_path):
    contract, _, bag = recorded(tmp_path, "so101", so101)
    (episode,) = read_episodes(bag, contract)
    for c, camera in enumerate(("overhead", "wrist")):
        for k in (0, 9):
            difference = np.abs(episode.images[camera][k].astype(int) - picture(k, c))
            assert difference.mean() < 4  # JPEG; a swap of red and blue would be 80 off


def test_the_grippers_of_two_arms_are_openings_in_metres(tmp_path):
    contract, _, bag = recorded(tmp_path, "aloha2", aloha2)
    (episode,) = read_episodes(bag, contract)
    for side in ("left", "right"):
        i = contract.spec.state.index(f"{side}_gripper")
        np.testing.assert_allclose(episode.state[:, i], 0.1, atol=1e-6)
        # a leader's finger in the middle of its travel is a follower's in the middle of its own
        np.testing.assert_allclose(episode.actions[:, i], 0.0440 + 0.0579, atol=2e-4)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (
            "so101",
            [
                ("follower/arm_trajectory_controller/joint_trajectory", 5),
                ("follower/gripper_trajectory_controller/joint_trajectory", 1),
            ],
        ),
        (
            "aloha2",
            [
                ("follower_left/arm_controller/joint_trajectory", 6),
                ("follower_left/gripper_controller/joint_trajectory", 1),
                ("follower_right/arm_controller/joint_trajectory", 6),
                ("follower_right/gripper_controller/joint_trajectory", 1),
            ],
        ),
    ],
)
def test_an_action_goes_to_its_controllers_and_back(name, parts):
    contract = load(name)
    middle = ((contract.limits.low + contract.limits.high) / 2).astype(np.float32)
    split = contract.split(middle)
    assert [(topic, len(joints)) for topic, joints, _ in split] == parts
    if name == "aloha2":
        assert split[0][1] == split[2][1] == ALOHA  # told apart by topic alone
        assert split[1][2] == pytest.approx([0.0395])  # half of the opening is one finger's place
    np.testing.assert_allclose(contract.join(split), middle, atol=1e-6)
