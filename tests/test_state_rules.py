"""State that wraps, state that nothing measures, and actions that nobody recorded: in a bag and live alike."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy.data.bag_writer import EpisodeWriter, channels
from policy.data.bags import messages
from policy.data.episodes import read_episodes
from policy.data.message_writer import MessageWriter
from policy.errors import InputError
from policy.robot.contract import Contract
from policy.robot.joint_consistency import JointConsistency
from policy.robot.live_observations import LiveObservations
from policy.robot.motors import Motors
from policy.robot.streams import Streams
from policy.running.safety import SafetyMonitor
from policy.spec import Frame
from tests import small_robot as robot
from tests.small_robot import SECOND, START, Message

SPEED = 2.5  # rad/s: a turn in 2.5 s
GRIP = {"topic": "grip/commands", "joints": ["grip"], "gripper": True}
GRIP |= {"position_min": [0], "position_max": [0.05], "velocity_max": [1]}
ARM = {"topic": "arm/joint_trajectory", "joints": ["j1", "j2"]}
ARM |= {"position_min": [-30, -30], "position_max": [30, 30], "velocity_max": [4, 4]}
CONTINUOUS = {"topic": "joint_states", "joints": ["j1", "j2", "grip"], "continuous": [True, False, False]}


def angle(t: float) -> float:
    """Forth for 6 s, then back: more than two turns."""
    return SPEED * (t if t < 6 else 12 - t) + 1.0


def wrapped(value: float) -> float:
    """As a driver gives it, within half a turn of 0."""
    return float(np.arctan2(np.sin(value), np.cos(value)))


def turning(seconds: float = 9.0, commands: str = "trajectory") -> list[Message]:
    """Its first joint turns; driver and controller wrap at half a turn, not at the same moment."""
    items: list[Message] = [("/instruction", robot.string("turn the handle"), START - 1)]
    for k in range(round(seconds * 20)):
        ns, t = START + k * SECOND // 20, k / 20
        items.append(("/cam/image_raw", robot.image(ns, np.full((48, 64, 3), k % 256, np.uint8)), ns))
        goal = [wrapped(angle(t + 0.05) + 0.02), 0.1, 0.02]
        command = robot.trajectory(ns, (0.05, goal)) if commands == "trajectory" else robot.array(goal)
        items.append((f"/arm/{'joint_trajectory' if commands == 'trajectory' else 'array'}", command, ns))
    for k in range(round(seconds * 100)):
        ns, t = START + k * SECOND // 100, k / 100
        items.append(("/joint_states", robot.joints(ns, [wrapped(angle(t)), 0.1, 0.02]), ns))
    return sorted(items, key=lambda item: item[2])


def played(contract: Contract, items: Iterable[Message]) -> list[Frame]:
    """The frames that a live robot's observations give; of one time its joints come first."""
    live, frames = LiveObservations(contract, 1.0, START), []
    for topic, message, ns in sorted(items, key=lambda i: (i[2], i[0] != "/joint_states")):
        if topic.lstrip("/") in contract.observed | contract.echoed:
            frames += live.push(topic, message, ns, ns)
    return frames


def assert_live_is_bag(contract: Contract, items: list[Message], stamps: np.ndarray, state: np.ndarray) -> None:
    by_stamp = dict(zip(stamps.tolist(), state, strict=True))
    shared = [f for f in played(contract, items) if f.stamp in by_stamp]
    assert len(shared) >= len(by_stamp) - 2
    assert all(np.array_equal(f.state, by_stamp[f.stamp]) for f in shared)


@pytest.mark.parametrize("commands", ["trajectory", "array"])
def test_a_joint_that_turns_without_end_counts_on(tmp_path: Path, commands: str) -> None:
    """State and command rise over two turns and return, though driver and controller wrap."""
    demonstration = {"topic": "arm/array", "type": "std_msgs/msg/Float64MultiArray", "fields": ["data[0]", "data[1]"]}
    arm = ARM | ({} if commands == "trajectory" else {"demonstration": demonstration | {"names": ["j1", "j2"]}})
    contract = robot.contract(state=[CONTINUOUS], action=[arm])
    items = turning(commands=commands)
    robot.record(tmp_path / "bag", items)
    (episode,) = read_episodes(tmp_path / "bag", contract)
    t = (episode.stamps - START) / SECOND
    np.testing.assert_allclose(episode.state[:, 0], [angle(x) for x in t], atol=0.03)  # a state is up to 10 ms old
    ahead = [angle(x + 0.05) + 0.02 for x in t[:-2]]
    behind = 0.0 if commands == "trajectory" else 0.05 * SPEED  # an array is in force from its arrival on
    np.testing.assert_allclose(episode.actions[:-2, 0], ahead, atol=0.02 + 2 * behind)
    assert episode.state[:, 0].max() > 4 * np.pi and np.abs(np.diff(episode.state[:, 0])).max() < 0.2
    assert np.abs(np.diff(episode.actions[:, 0])).max() < 0.3
    assert_live_is_bag(contract, items, episode.stamps, episode.state)


def test_what_the_motors_do_is_counted_on_too() -> None:
    """Contact is estimated of their positions: a wrap would be a jolt. In the robot's units, here degrees."""
    scale = float(np.pi / 180)
    contract = robot.contract(state=[CONTINUOUS | {"scale": [scale, 1, 1]}], action=[ARM])
    motors = Motors(contract)
    streams = Streams(contract, motors)
    for k in range(500):
        ns = START + k * SECOND // 100
        joints = robot.joints(ns, [wrapped(angle(k / 100)) / scale, 0.1, 0.02])
        joints.velocity = joints.effort = np.zeros(3)
        streams.push("joint_states", joints, ns)
    assert motors.at(ns)[0, 0] == pytest.approx(angle(4.99) / scale)


def test_a_wrap_is_no_contradiction_of_two_publishers() -> None:
    """Each publishes at half of the rate; what one says and the other differs by a turn and no more."""
    for continuous, found in ((True, ""), (False, "contradictory joint states: j1 on joint_states")):
        contract = robot.contract(state=[CONTINUOUS | {"continuous": continuous}], action=[ARM])
        consistency = JointConsistency(contract)
        consistency.publishers["joint_states"] = 2
        for k in range(20):
            at = 3.13 if k % 2 else -3.14
            consistency.add("joint_states", robot.joints(START, [at, 0.1, 0.02]), START + k * 10_000_000)
        assert consistency.fault(START + 200_000_000).startswith(found) and bool(found) != continuous


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e308])
@pytest.mark.parametrize("publishers", [1, 2])
def test_what_is_no_number_of_a_joint_that_turns_ends_nothing(publishers: int, bad: float) -> None:
    """As a driver gives before its hardware has spoken. It is dropped, and what contradicts is still found."""
    contract = robot.contract(state=[CONTINUOUS], action=[ARM])
    live = LiveObservations(contract, 1.0, START)
    live.consistency.publishers["joint_states"] = publishers

    def hears(k: int, first: float, again: float | None = None) -> None:
        message = robot.joints(START + k, [first, 0.1, 0.02])
        if again is not None:
            message.name, message.position = [*message.name, "j1"], [*message.position, again]
        live.push("joint_states", message, START + k, START + k)

    hears(0, 1.0)
    hears(1, bad)
    assert np.isfinite(bad) or any("not a finite number" in reason for reason in live.dropped)
    hears(2, -bad)
    hears(3, bad, 1.0)
    if not np.isfinite(bad):
        assert not live.consistency.fault(START + 4)
    for k in range(4, 10):
        hears(k, 1.0 if k % 2 else 2.0, None if publishers > 1 else 3.0)
    assert live.consistency.fault(START + 10).startswith("contradictory joint states: ")


def test_without_continuous_the_same_bag_is_refused_or_reported(tmp_path: Path) -> None:
    contract = robot.contract(state=[CONTINUOUS | {"continuous": False}], action=[ARM])
    robot.record(tmp_path / "bag", turning())
    (episode,) = read_episodes(tmp_path / "bag", contract)
    assert np.abs(np.diff(episode.state[:, 0])).max() > 6


@pytest.mark.parametrize("turns", [-2, 0, 1])
def test_the_safety_monitor_counts_turns_from_wherever_it_began(turns: int) -> None:
    """Policy and safety monitor see a joint from different starts: whole turns between them are no distance."""
    monitor = SafetyMonitor(robot.contract(state=[CONTINUOUS], action=[ARM]))
    for k in range(61):  # half a turn and more: the monitor counts on while the driver wraps
        monitor.measured(np.array([wrapped(2.0 + 0.05 * k), 0.1, 0.02]), START + k * 10_000_000)
    now = START + 600_000_000
    goal = np.tile([5.0 + turns * 2 * np.pi, 0.1], (8, 1))
    plans = monitor.command(now + np.arange(1, 9) * 50_000_000, goal, now, now)
    assert plans and not monitor.reason and not monitor.met
    positions, _ = plans[0].in_robot_units()
    np.testing.assert_allclose(positions[-1], [5.0, 0.1], atol=1e-6)


# -- a gripper without feedback


def unmeasured(**changed: Any) -> Contract:
    state = [{"topic": "joint_states", "joints": ["j1", "j2"]}]
    return robot.contract(state=state, action=[ARM, GRIP | {"initial": [0.05]} | changed])


def gripping(seconds: float = 3.0) -> list[Message]:
    """The arm as ever; the gripper gets 0.01 at 1 s, 0.04 at 2.01 s, on the topic of its own controller."""
    items = [item for item in robot.moving(seconds) if item[0] != "/arm/joint_trajectory"]
    for k in range(round(seconds * 20)):
        ns = START + k * SECOND // 20
        goal = robot.position(np.array((k + 1) / 20))[:2]
        items.append(("/arm/joint_trajectory", robot.trajectory(ns, (0.05, goal), names=["j1", "j2"]), ns))
    for t, value in ((0.0, 0.05), (1.0, 0.01), (2.01, 0.04)):
        ns = START + round(t * SECOND)
        items.append(("/grip/commands", robot.trajectory(ns, (0.0, [value]), names=["grip"]), ns))
    return sorted(items, key=lambda item: item[2])


def test_the_state_of_a_gripper_without_feedback_is_its_last_command(tmp_path: Path) -> None:
    contract = unmeasured()
    assert contract.spec.state == ("j1", "j2", "grip") and contract.spec.unmeasured == ("grip",)
    items = gripping()
    robot.record(tmp_path / "bag", items)
    (episode,) = read_episodes(tmp_path / "bag", contract)
    t = (episode.stamps - START) / SECOND
    by_hand = np.select([t <= 1.0, t <= 2.01], [0.05, 0.01], 0.04)  # one that comes with the image is of the next
    np.testing.assert_allclose(episode.state[:, 2], by_hand, atol=1e-6)
    assert_live_is_bag(contract, items, episode.stamps, episode.state)


def test_before_its_first_command_it_is_as_the_contract_says() -> None:
    contract = unmeasured(initial=[0.03])
    silent = [item for item in gripping() if item[0] != "/grip/commands"]
    frames = played(contract, silent)
    assert len(frames) > 50 and {float(f.state[2]) for f in frames} == {float(np.float32(0.03))}


def test_of_a_leader_the_bag_reads_the_leader_and_the_robot_its_own_topic(tmp_path: Path) -> None:
    """A demonstration's command comes from elsewhere: the state follows it in the bag, and the controller's live."""
    leader = {"topic": "leader/grip", "type": "std_msgs/msg/Float32", "fields": ["data"], "names": ["grip"]}
    contract = unmeasured(demonstration=leader)
    assert contract.echoed == {"grip/commands": "trajectory_msgs/msg/JointTrajectory"}
    items = [
        ("/leader/grip", robot.T["std_msgs/msg/Float32"](float(m.points[0].positions[0])), ns)
        if topic == "/grip/commands"
        else (topic, m, ns)
        for topic, m, ns in gripping()
    ]
    robot.record(tmp_path / "bag", items)
    (episode,) = read_episodes(tmp_path / "bag", contract)
    assert_live_is_bag(contract, gripping(), episode.stamps, episode.state)


def test_a_command_that_comes_with_a_picture_is_of_the_next_frame() -> None:
    """Whichever of the two arrives first."""
    contract = unmeasured()
    items = [i for i in gripping() if i[0] != "/instruction"]
    for last in ("/grip/commands", "/cam/image_raw"):
        streams, seen = Streams(contract, live=True), []
        for topic, message, ns in sorted(items, key=lambda i: (i[2], i[0] == last, i[0] == "/joint_states")):
            if streams.reads(topic.lstrip("/")):
                streams.push(topic, message, ns)
            while (frame := streams.frame()) is not None:
                seen.append(frame)
        opening = {(f.stamp - START) / SECOND: float(f.state[2]) for f in seen}
        assert opening[1.0] == pytest.approx(0.05) and opening[1.05] == pytest.approx(0.01)


def test_a_live_robot_keeps_few_commands() -> None:
    contract = unmeasured()
    streams = Streams(contract, live=True)
    for k in range(3000):
        ns = START + k * 10_000_000
        streams.push("grip/commands", robot.trajectory(ns, (0.0, [0.02]), names=["grip"]), ns)
    (points,) = streams.setpoints()
    assert len(points.times) < 600


def test_the_safety_monitor_takes_its_last_command_for_where_it_is() -> None:
    contract = unmeasured()
    monitor = SafetyMonitor(contract)
    now = START
    monitor.measured(np.array([0.0, 0.0, np.nan]), now)
    times = now + np.arange(1, 9) * 50_000_000
    plans = monitor.command(times, np.tile([0.0, 0.0, 0.01], (8, 1)), now, now)
    assert plans and not monitor.reason
    for k in range(1, 100):  # nothing measures it: it cannot be far from its set-point
        now = START + k * 10_000_000
        monitor.measured(np.array([0.0, 0.0, np.nan]), now)
        if k % 10 == 0:
            monitor.command(now + np.arange(1, 9) * 50_000_000, np.tile([0.0, 0.0, 0.01], (8, 1)), now, now)
        monitor.watch(now, now)
        assert not monitor.stopped
    monitor.refuse("a break", now)
    later = now + 10_000_000
    monitor.measured(np.array([0.0, 0.0, np.nan]), later)
    monitor.command(later + np.arange(1, 9) * 50_000_000, np.tile([0.0, 0.0, 0.01], (8, 1)), later, later)
    assert monitor.setpoint(later)[2] == pytest.approx(
        0.01, abs=1e-3
    )  # it goes on from there, not from the initial one


# -- actions that nobody recorded


def test_the_next_state_is_the_action_where_no_command_was_recorded(tmp_path: Path) -> None:
    """The action at t is the state at t + dt, of the same rule as a frame's."""
    contract = robot.contract(
        state=[{"topic": "joint_states", "joints": list(robot.JOINTS), "scale": [1, -2, 1], "offset": [0, 0.5, 0]}],
        action=[ARM | {"demonstration": "next_state"}, GRIP | {"demonstration": "next_state"}],
    )
    items = [item for item in robot.moving(3.0) if item[0] != "/arm/joint_trajectory"]
    robot.record(tmp_path / "bag", items)
    (episode,) = read_episodes(tmp_path / "bag", contract)
    assert contract.spec.state == contract.spec.action and len(episode.stamps) >= 58
    assert np.array_equal(episode.actions[:-1], episode.state[1:])
    by_hand = robot.position((episode.stamps - START) / SECOND + 0.05) * [1, -2, 1] + [0, 0.5, 0]
    np.testing.assert_allclose(episode.actions[:-1], by_hand[:-1], atol=1e-6)


def test_what_is_written_of_next_states_is_read_as_it_was(tmp_path: Path) -> None:
    """The state is not written twice, as a command of its own topic."""
    contract = robot.contract(
        action=[ARM | {"demonstration": "next_state"}, GRIP | {"demonstration": "next_state"}],
    )
    pixels = {"front": np.zeros((48, 64, 3), np.uint8)}
    path = robot.position(np.arange(20) / 20).astype(np.float32)
    with EpisodeWriter(tmp_path / "bag", channels(contract)) as bag:
        writer = MessageWriter(bag, contract)
        writer.text("instruction", "wave", START - 1)
        for k in range(20):
            writer.frame(START + k * contract.spec.dt_ns, pixels, path[k])
            writer.command(START + k * contract.spec.dt_ns, path[min(k + 1, 19)])
    (episode,) = read_episodes(tmp_path / "bag", contract)
    np.testing.assert_allclose(episode.state, path, atol=1e-6)
    assert np.array_equal(episode.actions[:-1], episode.state[1:])
    assert sum(raw.topic == "/joint_states" for raw in messages(tmp_path / "bag", None, Counter())) == 20


def test_a_next_state_of_several_groups_is_refused() -> None:
    groups = [{"topic": "joint_states", "joints": ["j1"]}, {"topic": "joint_states", "joints": ["j2"]}]
    with pytest.raises(InputError, match="next_state needs j1, j2 in one group of the state; divide the groups alike"):
        robot.contract(state=groups, action=[ARM | {"demonstration": "next_state"}])


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"scale": [1, 2]}, "state[0].scale: got 2 values, expected one number or 3"),
        ({"offset": [1]}, "state[0].offset: got 1 values, expected one number or 3"),
        ({"continuous": [True]}, "state[0].continuous: got 1 values, expected one number or 3"),
        ({"scale": [1, 0, 1]}, "state[0].scale: got 0"),
        ({"scale": ["1"]}, "state[0]: scale[0]"),
        ({"type": "geometry_msgs/msg/PoseStamped"}, "it names no joints, list the fields to read"),
        ({"type": "PoseStamped"}, "expected a message type such as sensor_msgs/msg/JointState"),
        ({"joints": [], "fields": ["a..b"], "names": ["x"]}, "expected a path such as pose.position.x or data[3]"),
        ({"fields": ["position[0]"]}, "got joints and fields, list the joints"),
        ({"type": "trajectory_msgs/msg/JointTrajectory"}, "a trajectory is a command"),
    ],
)
def test_what_is_wrong_with_a_source_is_named(state: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as error:
        robot.contract(state=[{"topic": "joint_states", "joints": list(robot.JOINTS)} | state])
    assert words in str(error.value)


def test_a_state_is_measured_or_it_is_not() -> None:
    with pytest.raises(InputError, match="grip has an `initial` value and is in the state"):
        robot.contract(action=[ARM, GRIP | {"initial": [0.05]}])
