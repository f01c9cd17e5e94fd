"""State and actions out of any message: what a bag gives is what an independent reader finds, and what is seen live.

The independent reader is rosbags' own, with a hand-written line for each type.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from scipy.spatial.transform import Rotation

from policy.data.bag_writer import EpisodeWriter, channels
from policy.data.episodes import read_episodes
from policy.data.message_writer import MessageWriter
from policy.errors import InputError
from policy.robot.contract import Contract
from policy.robot.streams import Streams
from policy.spec import Episode, Frame
from tests import small_robot as robot

T, SECOND = robot.T, robot.SECOND
TOPIC = "/measured"
DOWN = [1.0, 0.0, 0.0, 0.0]  # x, y, z, w of a hand that points down
LEG = "std_msgs/Header header\nLink[2] links\nfloat32[] load\n" + "=" * 80
LEG += "\nMSG: walker_msgs/Link\nfloat64 angle\nint16 current\nstring name\n"
WALKER = get_typestore(Stores.ROS2_JAZZY)  # which knows a type that nobody else does
WALKER.register(get_types_from_msg(LEG, "walker_msgs/msg/Leg"))
WALKER.register(get_types_from_msg("float64 position\nfloat64 max_effort\n", "control_msgs/msg/GripperCommand"))


def wave(t: float, i: int) -> float:
    return float(np.sin(t + i) * 0.4)


def turned(t: float) -> np.ndarray:
    """Near the hand that points down, at times with the other sign: the same orientation."""
    q: np.ndarray = (Rotation.from_quat(DOWN) * Rotation.from_rotvec([wave(t, 0), wave(t, 1), wave(t, 2)])).as_quat()
    return -q if int(t * 10) % 3 == 0 else q


def vector(t: float, kind: str = "Vector3", first: int = 0) -> Any:
    return T[f"geometry_msgs/msg/{kind}"](*(wave(t, first + i) for i in range(3)))


def pose(t: float) -> Any:
    return T["geometry_msgs/msg/Pose"](vector(t, "Point"), T["geometry_msgs/msg/Quaternion"](*turned(t)))


def odometry(ns: int, t: float) -> Any:
    twist = T["geometry_msgs/msg/Twist"](vector(t), vector(t, first=3))
    return T["nav_msgs/msg/Odometry"](
        robot.header(ns),
        "base",
        T["geometry_msgs/msg/PoseWithCovariance"](pose(t), np.zeros(36)),
        T["geometry_msgs/msg/TwistWithCovariance"](twist, np.zeros(36)),
    )


def leg(ns: int, t: float) -> Any:
    links = [WALKER.types["walker_msgs/msg/Link"](wave(t, i), round(100 * wave(t, i)), "link") for i in range(2)]
    load = np.array([wave(t, 5), wave(t, 6)], np.float32)
    return WALKER.types["walker_msgs/msg/Leg"](robot.header(ns), links, load)


def joints(ns: int, t: float) -> Any:
    none = np.zeros(0)
    names = ["spare", "b", "a"]
    return T["sensor_msgs/msg/JointState"](robot.header(ns), names, np.array([9, wave(t, 1), wave(t, 0)]), none, none)


@dataclass
class Case:
    """A type: its source in a contract, a message of a time, and what a person reads in the message."""

    source: dict[str, Any]
    made: Callable[[int, float], Any]
    read: Callable[[Any], list[float]]
    header: bool = True


def case(kind: str, made: Callable[[int, float], Any], read: Any, header: bool = True, **source: Any) -> Any:
    return pytest.param(Case({"topic": TOPIC, "type": kind, **source}, made, read, header), id=kind.split("/")[2])


GEOMETRY = "geometry_msgs/msg/"
POSE_FIELDS = [f"pose.position.{c}" for c in "xyz"]
CASES = [
    case(
        GEOMETRY + "PoseStamped",
        lambda ns, t: T[GEOMETRY + "PoseStamped"](robot.header(ns), pose(t)),
        lambda m: [
            *(vars(m.pose.position)[c] for c in "xyz"),
            *(Rotation.from_quat(DOWN).inv() * Rotation.from_quat([vars(m.pose.orientation)[c] for c in "xyzw"]))
            .as_rotvec()
            .tolist(),
        ],
        fields=POSE_FIELDS,
        orientation="pose.orientation",
        reference=DOWN,
        names=["x", "y", "z", "rx", "ry", "rz"],
    ),
    case(
        GEOMETRY + "WrenchStamped",
        lambda ns, t: T[GEOMETRY + "WrenchStamped"](
            robot.header(ns), T[GEOMETRY + "Wrench"](vector(t), vector(t, first=3))
        ),
        lambda m: [m.wrench.force.z, m.wrench.torque.x * 1000],
        fields=["wrench.force.z", "wrench.torque.x"],
        scale=[1, 1000],
        names=["push", "twist"],
    ),
    case(
        GEOMETRY + "TwistStamped",
        lambda ns, t: T[GEOMETRY + "TwistStamped"](
            robot.header(ns), T[GEOMETRY + "Twist"](vector(t), vector(t, first=3))
        ),
        lambda m: [m.twist.linear.y - 0.5],
        fields=["twist.linear.y"],
        offset=-0.5,
        names=["speed"],
    ),
    case(
        "nav_msgs/msg/Odometry",
        odometry,
        lambda m: [m.pose.pose.position.x, m.twist.twist.angular.z],
        fields=["pose.pose.position.x", "twist.twist.angular.z"],
        names=["along", "turning"],
    ),
    case(
        "std_msgs/msg/Float32",
        lambda _, t: T["std_msgs/msg/Float32"](wave(t, 0)),
        lambda m: [float(m.data)],
        header=False,
        fields=["data"],
        names=["opening"],
    ),
    case(
        "std_msgs/msg/Bool",
        lambda _, t: T["std_msgs/msg/Bool"](bool(wave(t, 0) > 0)),
        lambda m: [1.0 if m.data else 0.0],
        header=False,
        fields=["data"],
        names=["suction"],
    ),
    case(
        "std_msgs/msg/Float64MultiArray",
        lambda _, t: robot.array([wave(t, i) for i in range(4)]),
        lambda m: [float(m.data[3]), -float(m.data[0])],
        header=False,
        fields=["data[3]", "data[0]"],
        scale=[1, -1],
        names=["p", "q"],
    ),
    case(
        "walker_msgs/msg/Leg",
        leg,
        lambda m: [m.links[1].angle, m.links[0].current / 100, float(m.load[1])],
        fields=["links[1].angle", "links[0].current", "load[1]"],
        scale=[1, 0.01, 1],
        names=["knee", "current", "load"],
    ),
    case(
        "control_msgs/msg/GripperCommand",  # of no package of Jazzy's core; nodes have it, generated at set-up
        lambda _, t: WALKER.types["control_msgs/msg/GripperCommand"](wave(t, 0), 20.0 + wave(t, 1)),
        lambda m: [m.position, m.max_effort],
        header=False,
        fields=["position", "max_effort"],
        names=["opening", "effort"],
    ),
    case(
        "sensor_msgs/msg/JointState",
        joints,
        lambda m: [-m.position[m.name.index("a")], 2 * m.position[m.name.index("b")] + 0.5],
        joints=["a", "b"],
        scale=[-1, 2],
        offset=[0, 0.5],
    ),
]


def with_state(source: dict[str, Any]) -> Contract:
    """The small robot with further state."""
    return robot.contract(state=[{"topic": "joint_states", "joints": list(robot.JOINTS)}, source])


def recorded(path: Path, one: Case, plugin: StoragePlugin = StoragePlugin.MCAP) -> list[tuple[str, Any, int]]:
    """A bag of the small robot, with messages of the type at 100 Hz."""
    items = [i for i in robot.moving(3.0) if i[0] != TOPIC]
    items += [
        (TOPIC, one.made(robot.START + k * SECOND // 100, k / 100), robot.START + k * SECOND // 100) for k in range(300)
    ]
    items.sort(key=lambda item: item[2])
    robot.record(path, items, plugin, types=WALKER)
    return items


def independent(path: Path, one: Case, at: int) -> list[float]:
    """What rosbags' own reader finds in the newest message at or before a time [ns]."""
    with AnyReader([path], default_typestore=get_typestore(Stores.EMPTY)) as reader:
        found: list[tuple[int, list[float]]] = []
        for connection, received, data in reader.messages([c for c in reader.connections if c.topic == TOPIC]):
            message = reader.deserialize(data, connection.msgtype)
            stamp = message.header.stamp if one.header else None
            found.append((stamp.sec * SECOND + stamp.nanosec if stamp else received, one.read(message)))
    return max((f for f in found if f[0] <= at), key=lambda f: f[0])[1]


def frames(contract: Contract, items: list[tuple[str, Any, int]], live: bool = True) -> list[Frame]:
    """The frames of messages as they come."""
    streams, seen = Streams(contract, live=live), []
    for topic, message, ns in items:
        if streams.reads(topic.lstrip("/")):
            streams.push(topic, message, ns)
            while (frame := streams.frame()) is not None:
                seen.append(frame)
    return seen


def assert_live_is_bag(contract: Contract, items: list[tuple[str, Any, int]], episode: Episode) -> None:
    by_stamp = dict(zip(episode.stamps.tolist(), episode.state, strict=True))
    shared = [f for f in frames(contract, items) if f.stamp in by_stamp]
    assert len(shared) >= len(by_stamp) - 1
    assert all(np.array_equal(f.state, by_stamp[f.stamp]) for f in shared)


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize("one", CASES)
def test_state_of_any_message(tmp_path: Path, one: Case, plugin: StoragePlugin) -> None:
    contract = with_state(one.source)
    items = recorded(tmp_path / "bag", one, plugin)
    (episode,) = read_episodes(tmp_path / "bag", contract)
    assert len(episode.stamps) >= 55
    for k in (0, 17, len(episode.stamps) - 1):
        expected = independent(tmp_path / "bag", one, int(episode.stamps[k]))
        np.testing.assert_allclose(episode.state[k, 3:], expected, atol=1e-6)
    assert np.ptp(episode.state[:, 3:], axis=0).min() > 0.1
    assert_live_is_bag(contract, items, episode)


def assert_acts(episode: Episode, path: Path, one: Case, contract: Contract) -> None:
    for k in (0, 17, len(episode.stamps) - 3):
        expected = independent(path, one, int(episode.stamps[k]) + contract.spec.dt_ns)
        np.testing.assert_allclose(episode.actions[k, : len(expected)], expected, atol=1e-6)


@pytest.mark.parametrize("one", [c for c in CASES if len(c.values[0].source.get("names", "ab")) == 2])
def test_action_of_any_message(tmp_path: Path, one: Case) -> None:
    """The action at t is the newest command at or before t + dt."""
    arm = {"topic": "arm/joint_trajectory", "joints": ["j1", "j2"], "names": ["a", "b"], "measured": ["j1", "j2"]}
    arm |= {"position_min": [-500, -500], "position_max": [500, 500], "velocity_max": [500, 500]}
    contract = robot.contract(action=[arm | {"demonstration": one.source | {"names": ["a", "b"]}}])
    recorded(tmp_path / "bag", one)
    (episode,) = read_episodes(tmp_path / "bag", contract)
    assert_acts(episode, tmp_path / "bag", one, contract)


@pytest.mark.parametrize("one", CASES)
def test_what_is_written_again_is_read_as_it_was(tmp_path: Path, one: Case) -> None:
    """As bags of switches are made of recordings; a type of no installed package cannot be written."""
    contract = with_state(one.source)
    state = np.linspace(0.1, 0.4, len(contract.spec.state)).astype(np.float32)
    if "Bool" in one.source["type"]:
        state[-1] = 1
    pixels = {"front": np.zeros((48, 64, 3), np.uint8)}
    try:
        with EpisodeWriter(tmp_path / "bag", channels(contract)) as bag:
            writer = MessageWriter(bag, contract)
            writer.text("instruction", "wave", robot.START - 1)
            for k in range(20):
                writer.frame(robot.START + k * contract.spec.dt_ns, pixels, state)
                writer.command(robot.START + k * contract.spec.dt_ns, state[:3])
    except InputError as error:
        package = one.source["type"].split("/")[0]
        assert package in ("walker_msgs", "control_msgs") and f"{package}/" in str(error)
        assert not (tmp_path / "bag").exists()
        return
    (episode,) = read_episodes(tmp_path / "bag", contract)
    current = 5e-3 if "walker" in one.source["type"] else 1e-6  # an integer holds hundredths
    np.testing.assert_allclose(episode.state[5], state, atol=current)
    np.testing.assert_allclose(episode.actions[5], state[:3], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fields": ["pose.positon.x"]}, "got no field pose.positon.x: pose has position, orientation"),
        ({"fields": ["pose.position"]}, "got no number at pose.position: it has x, y, z; name one of them"),
        ({"fields": ["pose.position.x[2]"]}, "got no field pose.position.x"),
        ({"fields": ["header.frame_id"]}, "not a finite number among header.frame_id"),
    ],
)
def test_a_path_that_is_not_there_is_named_with_what_is(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    one = Case({}, CASES[0].values[0].made, lambda m: [])
    source = {"topic": TOPIC, "type": GEOMETRY + "PoseStamped", "names": ["x"], **change}
    recorded(tmp_path / "bag", one)
    with pytest.raises(InputError) as error:
        read_episodes(tmp_path / "bag", with_state(source))
    assert words in str(error.value)


def test_joints_without_names_are_read_by_place(tmp_path: Path) -> None:
    """Some drivers leave `name` empty: the refusal says how to read them."""

    def bare(ns: int, t: float) -> Any:
        return robot.joints(ns, [wave(t, 0), wave(t, 1)], names=[])

    one = Case({}, bare, lambda m: [m.position[1], m.position[0]])
    items = recorded(tmp_path / "bag", one)
    source = {"topic": TOPIC, "fields": ["position[1]", "position[0]"], "names": ["a", "b"]}
    (episode,) = read_episodes(tmp_path / "bag", with_state(source))
    for k in (0, 30):
        expected = independent(tmp_path / "bag", one, int(episode.stamps[k]))
        np.testing.assert_allclose(episode.state[k, 3:], expected, atol=1e-6)
    assert_live_is_bag(with_state(source), items, episode)
    with pytest.raises(InputError, match=r"got joints without names, expected a, b; read them by place, as fields"):
        read_episodes(tmp_path / "bag", with_state({"topic": TOPIC, "joints": ["a", "b"]}))


def test_an_orientation_that_is_none_is_refused(tmp_path: Path) -> None:
    """A driver that leaves the quaternion at zero."""

    def unset(ns: int, t: float) -> Any:
        made = CASES[0].values[0].made(ns, t)
        made.pose.orientation = T[GEOMETRY + "Quaternion"](0.0, 0.0, 0.0, 0.0)
        return made

    recorded(tmp_path / "bag", Case({}, unset, lambda m: []))
    with pytest.raises(InputError, match=r"got an orientation of four zeros at pose\.orientation"):
        read_episodes(tmp_path / "bag", with_state(CASES[0].values[0].source))
