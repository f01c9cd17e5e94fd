"""How messages are laid out: by the bag's own definitions, as installed, or refused."""

import sqlite3
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rclpy.serialization import serialize_message
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from policy.data.definitions import decode, store
from policy.data.episodes import read_episodes
from policy.data.raw import Definition, Raw
from policy.errors import InputError
from policy.robot.message_fields import reader
from tests import small_robot as robot
from tests.small_robot import SECOND
from tests.test_any_message import CASES, GEOMETRY, LEG, TOPIC, WALKER, recorded, vector, wave, with_state


def test_a_type_that_nothing_defines_is_refused(tmp_path: Path) -> None:
    """As in a .db3 of ROS 2 Humble, which holds no definitions."""
    one = CASES[-3].values[0]
    contract = with_state(one.source)
    recorded(tmp_path / "bag", one, StoragePlugin.SQLITE3)
    with sqlite3.connect(next((tmp_path / "bag").glob("*.db3"))) as database:
        database.execute("DROP TABLE message_definitions")
    with pytest.raises(InputError, match=r"walker_msgs/msg/Leg is not defined.*record as MCAP.*source the workspace"):
        read_episodes(tmp_path / "bag", contract)


def test_a_type_that_is_installed_needs_no_definition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = CASES[-3].values[0]
    folder = tmp_path / "install" / "share" / "walker_msgs" / "msg"
    folder.mkdir(parents=True)
    leg_text, link_text = LEG.split("=" * 80 + "\nMSG: walker_msgs/Link\n")
    (folder / "Leg.msg").write_text(leg_text)
    (folder / "Link.msg").write_text(link_text)
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere:{tmp_path / 'install'}")
    contract = with_state(one.source)
    recorded(tmp_path / "bags" / "bag", one, StoragePlugin.SQLITE3)
    with sqlite3.connect(next((tmp_path / "bags" / "bag").glob("*.db3"))) as database:
        database.execute("DROP TABLE message_definitions")
    (episode,) = read_episodes(tmp_path / "bags" / "bag", contract)
    assert np.ptp(episode.state[:, 3]) > 0.1


def test_a_bag_is_read_by_its_own_definition_of_a_known_type(tmp_path: Path) -> None:
    """Here a wrench with a field before its vectors, as another release of its package might have it."""
    other = get_typestore(Stores.EMPTY)
    text = "std_msgs/Header header\nWrench wrench\n" + "=" * 80
    text += "\nMSG: geometry_msgs/Wrench\nfloat64 confidence\nVector3 force\nVector3 torque\n" + "=" * 80
    text += "\nMSG: geometry_msgs/Vector3\nfloat64 x\nfloat64 y\nfloat64 z\n" + "=" * 80
    text += "\nMSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n"
    other.register(get_types_from_msg(text, GEOMETRY + "WrenchStamped"))

    def made(ns: int, t: float) -> Any:
        wrench = other.types[GEOMETRY + "Wrench"](0.9, vector(t), vector(t, first=3))
        return other.types[GEOMETRY + "WrenchStamped"](robot.header(ns), wrench)

    items = [i for i in robot.moving(2.0) if i[0] != TOPIC]
    items += [(TOPIC, made(ns, k / 100), ns) for k in range(200) for ns in [robot.START + k * SECOND // 100]]
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections: dict[str, Any] = {}
        for topic, message, ns in sorted(items, key=lambda item: item[2]):
            store = other if topic == TOPIC else WALKER
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, message.__msgtype__, typestore=store)
            writer.write(connections[topic], ns, store.serialize_cdr(message, message.__msgtype__))
    source = {"topic": TOPIC, "type": GEOMETRY + "WrenchStamped", "names": ["sure", "push"]}
    source["fields"] = ["wrench.confidence", "wrench.force.z"]
    (episode,) = read_episodes(tmp_path / "bag", with_state(source))
    t = (episode.stamps - robot.START) / SECOND
    np.testing.assert_allclose(episode.state[:, 3:], [[0.9, wave(x, 2)] for x in t], atol=0.005)


def test_a_definition_in_idl(tmp_path: Path) -> None:
    """As rosbag2 keeps a type that was written in IDL, with what it holds."""
    line = "=" * 80 + "\n"
    text = line + "IDL: walker_msgs/msg/Foot\n"
    text += "module walker_msgs { module msg { struct Foot { walker_msgs::msg::Sole sole; double angle; }; }; };\n"
    text += line + "IDL: walker_msgs/msg/Sole\n"
    text += "module walker_msgs { module msg { struct Sole { double pressure[2]; }; }; };\n"
    types = store("walker_msgs/msg/Foot", Definition("ros2idl", text))
    sole = types.types["walker_msgs/msg/Sole"](np.array([1.0, 2.0]))
    cdr = bytes(types.serialize_cdr(types.types["walker_msgs/msg/Foot"](sole, 0.5), "walker_msgs/msg/Foot"))
    read = decode(Raw("/foot", "walker_msgs/msg/Foot", cdr, 1, "cdr", Definition("ros2idl", text)))
    assert (reader("sole.pressure[1]")(read), reader("angle")(read)) == (2.0, 0.5)


def test_a_definition_that_is_none_is_not_believed() -> None:
    """A known type is read as Jazzy has it, an unknown one is refused."""
    broken = Definition("ros2msg", "this is { no definition")
    assert store("std_msgs/msg/Bool", broken) is store("std_msgs/msg/Bool")
    with pytest.raises(InputError, match="walker_msgs/msg/Foot is not defined"):
        store("walker_msgs/msg/Foot", broken)


@pytest.mark.parametrize("points", [0, 1, 4, 16])
def test_what_rclpy_serialises_is_read_though_it_is_padded(points: int) -> None:
    """As by a recorder that writes what rclpy.serialization.serialize_message returns."""
    sent = JointTrajectory(joint_names=[f"joint{i}" for i in range(7)])
    sent.points = [JointTrajectoryPoint(positions=[0.1 * i] * 7, velocities=[0.0] * 7) for i in range(points)]
    data, kind = serialize_message(sent), "trajectory_msgs/msg/JointTrajectory"
    text, _ = get_typestore(Stores.ROS2_JAZZY).generate_msgdef(kind, ros_version=2)
    got = decode(Raw("topic", kind, data, 0, definition=Definition("ros2msg", text)))
    assert list(got.joint_names) == list(sent.joint_names)
    assert [p.positions.tolist() for p in got.points] == [list(p.positions) for p in sent.points]
    with pytest.raises(SerdeError):  # longer than as it is laid out here, and the bag does not say how it was
        decode(Raw("topic", kind, data + bytes(8), 0))
    with pytest.raises(struct.error):
        decode(Raw("topic", kind, data[:60], 0, definition=Definition("ros2msg", text)))
