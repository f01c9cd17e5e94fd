"""The recorder over real DDS: killed, ended by a signal in the middle of a write, without some topics."""

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import Reader

from policy.data import mcap_file
from policy.data.bag_files import find_bags
from policy.data.bag_writer import channels
from policy.data.episodes import read_episodes
from policy.data.raw import TYPES
from tests.demo_bag import CONTRACT, demonstration
from tests.ros_tiny import LONG, bench, until  # skips the file where there is no ROS
from tests.test_recording import KINDS, cdr, custom

# isort: split
from diagnostic_msgs.msg import DiagnosticStatus
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from ros_nodes import bridge
from ros_nodes.executor_thread import in_executor
from ros_nodes.recorder_node import RecorderNode

ROOT = Path(__file__).parents[1]


def live(out: dict[str, Any], seconds: float, text: str) -> None:
    """Publish a demonstration at 20 Hz of the wall's clock."""
    for item in demonstration(int(seconds * 20), start=time.time_ns(), text=text):
        time.sleep(max(0, item.receive - time.time_ns()) * 1e-9)
        out[item.topic].publish(cdr(item))


def test_killed_with_at_most_the_last_second_lost(tmp_path: Path) -> None:
    with bench() as stage:
        process = stage.start("recorder_node", folder=tmp_path)
        statuses = stage.ears.listen("recorder_node/status", DiagnosticStatus, bridge.LATCHED)
        out = {
            c.topic: stage.ears.create_publisher(
                bridge.message_class(c.type), c.topic, bridge.LATCHED if c.latched else 10
            )
            for c in channels(CONTRACT)
        }
        assert "waiting" in stage.ears.call("recorder_node/start", Trigger).message
        until(lambda: all(p.get_subscription_count() for p in out.values()), "the recorder subscribes to all topics")
        live(out, 1.5, "first")
        assert stage.ears.call("recorder_node/mark_success", SetBool, data=True).success
        live(out, 2.0, "second")

        def counted() -> int:
            """Messages in the bag, as the next status has it."""
            statuses.clear()
            until(lambda: statuses, "a status every second")
            return int({v.key: v.value for v in statuses[-1].values}["messages"])

        expected = counted()
        counted()  # a second later
        process.kill()
        process.wait()
    whole, cut = find_bags(tmp_path)
    assert custom(whole) == {"instruction": "first", "success": "true"}
    assert read_episodes(whole, CONTRACT)[0].instruction == "first"
    assert read_episodes(cut, CONTRACT)[0].instruction == "second"
    (file,) = cut.glob("*.mcap")
    assert len(list(mcap_file.messages(file, Counter()))) >= expected > 100


def test_it_reports_what_is_missing_and_ends_its_bag_on_a_signal(tmp_path: Path) -> None:
    with bench() as stage:
        process = stage.start("recorder_node", folder=tmp_path)
        statuses = stage.ears.listen("recorder_node/status", DiagnosticStatus, bridge.LATCHED)
        refused = stage.ears.call("recorder_node/stop", Trigger)
        assert not refused.success and "start first" in refused.message
        stage.publish("instruction", String, String(data="open the drawer"), bridge.LATCHED)
        stage.ears.call("recorder_node/start", Trigger)
        until(lambda: statuses and "no message comes on" in statuses[-1].message, "the silent topics are reported")
        assert statuses[-1].level == DiagnosticStatus.WARN and "camera/front/image_raw" in statuses[-1].message
        out = stage.ears.create_publisher(bridge.message_class(KINDS["joint_states"]), "joint_states", 10)
        until(out.get_subscription_count, "the recorder subscribes")
        for item in demonstration(20, start=time.time_ns()):
            if item.topic == "joint_states":
                time.sleep(max(0, item.receive - time.time_ns()) * 1e-9)
                out.publish(cdr(item))
        process.terminate()
        assert process.wait(LONG) == 0
    (bag,) = find_bags(tmp_path)
    assert custom(bag)["instruction"] == "open the drawer"


def test_messages_are_of_when_they_came_and_not_of_when_a_busy_recorder_takes_them(tmp_path: Path) -> None:
    with bench() as stage:
        node = stage.node(RecorderNode, folder=str(tmp_path))
        stage.publish("instruction", String, String(data="open the drawer"), bridge.LATCHED)
        stage.ears.call("recorder_node/start", Trigger)
        until(lambda: node.recorder.bag, "it records")
        out = stage.ears.create_publisher(bridge.message_class(KINDS["joint_states"]), "joint_states", 10)
        until(out.get_subscription_count, "the recorder subscribes")
        busy = threading.Thread(target=lambda: in_executor(node, lambda: time.sleep(0.8)))
        items = [item for item in demonstration(60, start=time.time_ns()) if item.topic == "joint_states"]
        for i, item in enumerate(items):
            time.sleep(max(0, item.receive - time.time_ns()) * 1e-9)
            out.publish(cdr(item))
            if i == 100:
                busy.start()
        busy.join()
        until(lambda: node.recorder.bag.counts["joint_states"] == len(items), "all are taken")
        stage.ears.call("recorder_node/stop", Trigger)
    (bag,) = find_bags(tmp_path)
    with Reader(bag) as reader:
        late = [
            ns - bridge.nanoseconds(TYPES.deserialize_cdr(raw, KINDS["joint_states"]).header.stamp)
            for connection, ns, raw in reader.messages()
            if connection.topic == "/joint_states"
        ]
    assert len(late) == len(items) and np.quantile(late, 0.95) < 3e8, "a quarter of them were taken up to 0.8 s late"


def test_an_instruction_with_the_default_qos_of_ros2_topic_pub_is_reported(tmp_path: Path) -> None:
    with bench() as stage:
        stage.start("recorder_node", folder=tmp_path)
        statuses = stage.ears.listen("recorder_node/status", DiagnosticStatus, bridge.LATCHED)
        stage.ears.create_publisher(String, "instruction", 10)  # volatile
        until(lambda: statuses and "/instruction: the durability of" in statuses[-1].message, "it is reported")
        assert statuses[-1].level == DiagnosticStatus.WARN


def test_a_signal_in_the_middle_of_a_write_leaves_a_complete_bag(tmp_path: Path) -> None:
    """The process ends itself after a chunk is on the disk, before rosbags has noted so."""
    script = """
import os, signal, sys
from rosbags.rosbag2 import storage_mcap
write, chunks = storage_mcap.write_record, []

def write_and_end(bio, opcode, record):
    write(bio, opcode, record)
    chunks.extend([opcode] * (opcode == 0x06))
    if len(chunks) == 3:  # more than a second has been recorded
        os.kill(os.getpid(), signal.SIGTERM)

storage_mcap.write_record = write_and_end
from ros_nodes.recorder_node import main
sys.exit(main())
"""
    with bench() as stage:
        process = subprocess.Popen(
            [sys.executable, "-c", script, "--ros-args", "-p", f"folder:={tmp_path}"],
            cwd=ROOT,
            text=True,
            env={**os.environ, "ROS_DOMAIN_ID": str(stage.domain.id)},
        )
        stage.processes.append(process)
        stage.publish("instruction", String, String(data="open the drawer"), bridge.LATCHED)
        joints = stage.ears.create_publisher(bridge.message_class(KINDS["joint_states"]), "joint_states", 10)
        until(joints.get_subscription_count, "the recorder subscribes")
        assert stage.ears.call("recorder_node/start", Trigger).success
        messages = (cdr(i) for i in demonstration(10_000) if i.topic == "joint_states")
        until(lambda: joints.publish(next(messages)) or process.poll() is not None, "the recorder ends")
        assert process.wait(LONG) == 0
    (bag,) = find_bags(tmp_path)
    (file,) = bag.glob("*.mcap")
    with Reader(bag) as reader:
        assert len(list(mcap_file.messages(file, Counter()))) == reader.message_count > 0  # none twice
