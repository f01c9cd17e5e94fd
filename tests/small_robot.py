"""A robot of two joints, a gripper and one small camera, and bags of it written by rosbags and by mcap themselves."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys.store import Typestore

from policy.data.raw import TYPES
from policy.robot.contract import Contract, load

SECOND, START = 10**9, 1_750_000_000 * 10**9
JOINTS = ("j1", "j2", "grip")
T = TYPES.types
Message = tuple[str, Any, int]  # topic, message, reception [ns]


def contract(**changed: Any) -> Contract:
    """Its contract, with other values for some keys."""
    arm = {
        "topic": "arm/joint_trajectory",
        "joints": ["j1", "j2"],
        "position_min": [-3.2, -3.2],
        "position_max": [3.2, 3.2],
        "velocity_max": [3, 3],
    }
    grip = {
        "topic": "arm/joint_trajectory",
        "joints": ["grip"],
        "gripper": True,
        "position_min": [0],
        "position_max": [0.05],
        "velocity_max": [1],
    }
    camera = {"topic": "cam/image_raw", "type": "sensor_msgs/msg/Image", "encoding": "rgb8", "height": 48, "width": 64}
    raw = {
        "rate": 20,
        "horizon": 8,
        "cameras": {"front": camera},
        "state": [{"topic": "joint_states", "joints": list(JOINTS)}],
        "action": [arm, grip],
        "instruction": "instruction",
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small.yaml"
        path.write_text(yaml.safe_dump(raw | changed, sort_keys=False))
        return load(path)


def position(t: np.ndarray) -> np.ndarray:
    """Where it is asked to be (..., 3) at a time [s]."""
    return np.stack([0.5 * np.sin(t), 0.3 * np.cos(t), np.full_like(t, 0.02)], -1)


def header(ns: int) -> Any:
    return T["std_msgs/msg/Header"](T["builtin_interfaces/msg/Time"](int(ns // SECOND), int(ns % SECOND)), "")


def string(text: str) -> Any:
    return T["std_msgs/msg/String"](text)


def image(ns: int, pixels: np.ndarray) -> Any:
    h, w, _ = pixels.shape
    return T["sensor_msgs/msg/Image"](header(ns), h, w, "rgb8", 0, 3 * w, np.ascontiguousarray(pixels).reshape(-1))


def joints(ns: int, values: Iterable[float], names: Iterable[str] = JOINTS) -> Any:
    none = np.zeros(0)
    return T["sensor_msgs/msg/JointState"](header(ns), list(names), np.array(list(values), float), none, none)


def array(values: Iterable[float]) -> Any:
    layout = T["std_msgs/msg/MultiArrayLayout"]([], 0)
    return T["std_msgs/msg/Float64MultiArray"](layout, np.array(list(values), float))


def trajectory(ns: int, *points: tuple[float, Iterable[float]], names: Iterable[str] = JOINTS) -> Any:
    """Points as (seconds from the start, positions)."""
    none = np.zeros(0)
    made = [
        T["trajectory_msgs/msg/JointTrajectoryPoint"](
            np.array(list(p), float),
            none,
            none,
            none,
            T["builtin_interfaces/msg/Duration"](*divmod(round(t * 1e9), SECOND)),
        )
        for t, p in points
    ]
    return T["trajectory_msgs/msg/JointTrajectory"](header(ns), list(names), made)


def moving(
    seconds: float = 4.0,
    camera: float = 20,
    commands: float = 20,
    text: str = "pick the cup",
    start: int = START,
    still_from: float = 1e9,
    still_until: float = 1e9,
) -> list[Message]:
    """Joints at 100 Hz, images and trajectories at their rates; between two times it stands still."""

    def at(t: float) -> np.ndarray:
        return position(np.array(t - min(max(t - still_from, 0.0), still_until - still_from)))

    def stamp(k: int, hertz: float) -> int:
        return start + round(k * SECOND / hertz)

    items = [("/instruction", string(text), start - 1)] if text else []
    for k in range(round(seconds * camera)):
        items.append(
            ("/cam/image_raw", image(stamp(k, camera), np.full((48, 64, 3), k % 256, np.uint8)), stamp(k, camera))
        )
    for k in range(round(seconds * 100)):
        items.append(("/joint_states", joints(stamp(k, 100), at(k / 100)), stamp(k, 100)))
    for k in range(round(seconds * commands)):
        ns = stamp(k, commands)
        items.append(("/arm/joint_trajectory", trajectory(ns, (1 / commands, at((k + 1) / commands))), ns))
    return sorted(items, key=lambda item: item[2])


def record(
    path: Path,
    items: Iterable[Message],
    plugin: StoragePlugin = StoragePlugin.MCAP,
    version: Any = 9,
    types: Typestore = TYPES,
) -> Path:
    """A rosbag2 directory, as rosbags writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with Writer(path, version=version, storage_plugin=plugin) as writer:
        connections: dict[str, Any] = {}
        for topic, message, ns in items:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, message.__msgtype__, typestore=types)
            writer.write(connections[topic], ns, types.serialize_cdr(message, message.__msgtype__))
    return path


def record_mcap(
    path: Path,
    items: Iterable[Message],
    profile: str = "ros2",
    encoding: str = "cdr",
    short: bool = False,
    foreign: bool = False,
    **how: Any,
) -> Path:
    """A bare MCAP file, as the mcap library writes it; with short type names, or a channel of another encoding."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        writer = McapWriter(file, **how)
        writer.start(profile=profile, library="test")
        if foreign:
            schema = writer.register_schema("foxglove.Log", "jsonschema", b"{}")
            writer.add_message(writer.register_channel("/log", "json", schema), START, b"{}", START)
        channels: dict[str, int] = {}
        for topic, message, ns in items:
            kind = message.__msgtype__
            if topic not in channels:
                definition, _ = TYPES.generate_msgdef(kind, ros_version=2)
                name = kind.replace("/msg/", "/") if short else kind
                schema = writer.register_schema(name, "ros2msg", definition.encode())
                channels[topic] = writer.register_channel(topic, encoding, schema)
            writer.add_message(channels[topic], ns, bytes(TYPES.serialize_cdr(message, kind)), ns)
        writer.finish()
    return path
