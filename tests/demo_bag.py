"""Small recordings for tests: the messages of a tabletop demonstration, a grasp of any robot, and bags of them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from rosbags.rosbag2 import Reader

from policy.data.bag_writer import Channel, EpisodeWriter, channels
from policy.data.message_writer import MessageWriter
from policy.data.raw import TYPES
from policy.robot.contract import Contract, load
from policy.switching.demonstration import Demonstration

CONTRACT: Contract = load("tabletop")
START, STEP = 1_000_000_000, 50_000_000
ARM = CONTRACT.action[0].joints


class Item(NamedTuple):
    """One message, when it was received."""

    topic: str
    message: Any
    receive: int


def make(kind: str, *values: Any) -> Any:
    """A message by its type's short name and the values of its fields."""
    package = {
        "Header": "std_msgs",
        "String": "std_msgs",
        "Bool": "std_msgs",
        "Time": "builtin_interfaces",
        "Duration": "builtin_interfaces",
        "MultiArrayLayout": "std_msgs",
        "Float64MultiArray": "std_msgs",
        "JointTrajectory": "trajectory_msgs",
        "JointTrajectoryPoint": "trajectory_msgs",
    }
    return TYPES.types[f"{package.get(kind, 'sensor_msgs')}/msg/{kind}"](*values)


def header(stamp: int) -> Any:
    return make("Header", make("Time", *divmod(stamp, 10**9)), "")


def image(stamp: int, pixels: np.ndarray, encoding: str = "rgb8") -> Any:
    h, w, _ = pixels.shape
    return make("Image", header(stamp), h, w, encoding, 0, 3 * w, np.ascontiguousarray(pixels).reshape(-1))


def joints(stamp: int, values: np.ndarray) -> Any:
    """values (9,): seven joints and two fingers."""
    names = [*ARM, "panda_finger_joint1", "panda_finger_joint2"]
    return make("JointState", header(stamp), names, np.asarray(values, np.float64), np.zeros(9), np.zeros(9))


def trajectory(stamp: int, names: Iterable[str], values: Iterable[float], from_start: int = STEP) -> Any:
    none = np.zeros(0)
    point = make(
        "JointTrajectoryPoint",
        np.array(list(values), np.float64),
        none,
        none,
        none,
        make("Duration", *divmod(from_start, 10**9)),
    )
    return make("JointTrajectory", header(stamp), list(names), [point])


def demonstration(
    steps: int = 12, start: int = START, seed: int = 0, text: str = "open the drawer", task: str = "open_drawer"
) -> Iterator[Item]:
    """All messages of one execution: at step t state = t + joint / 100, action = the next state."""
    rng = np.random.default_rng(seed)
    yield Item("instruction", make("String", text), start)
    yield Item("label/task", make("String", task), start)
    for t in range(steps):
        now = start + t * STEP
        for k in range(5 if t else 1):  # 100 Hz, the last one with the image
            at = now - (4 - k) * 10_000_000 if t else now
            yield Item("joint_states", joints(at, qpos(t, at - now)), at)
        for camera in ("front", "wrist"):
            pixels = rng.integers(0, 256, (96, 96, 3), np.uint8)
            yield Item(f"camera/{camera}/image_raw", image(now, pixels), now)
        yield Item("label/contact", make("Bool", t >= steps // 2), now)
        for topic, names, values in CONTRACT.split(action(t)):
            yield Item(topic, trajectory(now, names, values), now)


def qpos(t: int, before: int = 0) -> np.ndarray:
    return np.concatenate([np.arange(7) / 100, [0.01, 0.01]]) + t / 1000 + before * 1e-12


def action(t: int) -> np.ndarray:
    q = qpos(t + 1)
    return np.append(q[:7], q[7] + q[8])


def write(directory: Path, items: Iterable[Item], topics: list[Channel] | None = None) -> Path:
    """A bag of messages, in the order given."""
    with EpisodeWriter(directory, topics or channels(CONTRACT), {"seed": "0"}) as bag:
        for item in items:
            bag.write(item.topic, item.message, item.receive)
    return directory


LAG, PACE = 2, 0.018  # steps that an arm follows late in `grasp`, and what it travels in one
REACHED, TAKEN = 40, 44  # steps in which it arrives, and in which what it grasps is in contact
RELEASED = 70


def grasp(
    contract: Contract = CONTRACT,
    steps: int = 100,
    joint: int = 0,
    at: float = 0.0,
    contact: tuple[int, int] = (TAKEN, RELEASED),
    closes: bool = True,
    pace: float = PACE,
) -> Demonstration:
    """One joint travels from `at`, waits ten steps while the grippers close on something, and carries it on."""
    t, hands, limits = np.arange(steps), contract.grippers, contract.limits
    travelled = np.where(t < REACHED, t, np.maximum(REACHED, t - 10)) * pace + at
    state, actions = (np.tile((limits.low + limits.high) / 2.0, (steps, 1)).astype(np.float32) for _ in range(2))
    state[:, joint], actions[:, joint] = travelled, travelled[np.minimum(t + LAG, steps - 1)]
    shut = ((t >= REACHED) & (t < contact[1]) & closes)[:, None]
    actions[:, hands] = np.where(shut, limits.low, limits.high)[:, hands]
    held = (limits.low + limits.high) / 2
    state[:, hands] = np.where(shut & (t > REACHED + 1)[:, None], held, limits.high)[:, hands]
    return Demonstration(state, actions, (t >= contact[0]) & (t < contact[1]))


def record(
    folder: Path,
    demo: Demonstration,
    text: str,
    task: str = "",
    contract: Contract = CONTRACT,
    told: bool = True,
    missing: int | None = None,
) -> Path:
    """A bag of what `grasp` shows; image k is as bright as k; without labels unless `told`."""
    with EpisodeWriter(folder, channels(contract)) as bag:
        encoder = MessageWriter(bag, contract)
        encoder.text(contract.instruction, text, START)
        if task:
            encoder.text(str(contract.labels.task), task, START)
        for k, (state, set_point) in enumerate(zip(demo.state, demo.actions, strict=True)):
            stamp = START + (k + (missing is not None and k >= missing)) * contract.spec.dt_ns
            images = {n: np.full((c.height, c.width, 3), 2 * k, np.uint8) for n, c in contract.cameras.items()}
            if told:
                encoder.contact(bool(demo.contact[k]), stamp)
            encoder.frame(stamp, images, state)
            encoder.command(stamp, set_point)
    return folder


def custom(bag: Path) -> dict[str, str]:
    """What was noted of a bag when it was recorded."""
    with Reader(bag) as reader:
        return dict(reader.storage.metadata.custom or {})


def pretend(folder: Path, name: str, **tags: str) -> None:
    """A bag of which only the tags are read."""
    (folder / name).mkdir(parents=True)
    (folder / name / f"{name}.mcap").touch()
    metadata = {"rosbag2_bagfile_information": {"custom_data": tags}}
    (folder / name / "metadata.yaml").write_text(yaml.safe_dump(metadata))
