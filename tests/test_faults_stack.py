# ruff: noqa: F811  fixtures are imported
"""Faults of processes, clock, instructions and people; as tests/test_faults.py."""

import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy.data.raw import TYPES
from tests.demo_bag import demonstration, write
from tests.faults_stand import Stand, make, model, says, stand, switching  # noqa: F401  fixtures
from tests.ros_tiny import LONG, until  # skips the file where there is no ROS

# isort: split
from rosgraph_msgs.msg import Clock
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from ros_nodes import bridge
from ros_nodes.policy_node import PolicyNode


def test_the_policy_node_is_killed(make: Callable[..., Stand], says: str) -> None:
    """The policy node is killed mid-motion. Then: the arm is held. Says: safety_node: commands are silent
    After: started again, it asks for the instruction, as the latched one is older than its activation."""
    stand = make(inside=("safety_node",))
    process = stand.stage.start("policy_node", **stand.parameters["policy_node"])
    stand.instruct("open the drawer")
    stand.moves()
    process.kill()
    began = time.monotonic()
    stand.hears(says)
    stand.rests(began)
    stand.said.clear()
    stand.stage.start("policy_node", **stand.parameters["policy_node"])
    stand.hears("policy_node: is not obeyed", anew=False)
    stand.rests()
    stand.instruct("open the drawer")
    stand.moves()


def test_the_safety_node_is_killed(make: Callable[..., Stand], says: str, caplog: pytest.LogCaptureFixture) -> None:
    """The safety node is killed. Then: the controller ends the 0.25 s that it was given, and holds; the policy
    commands nothing. Says: policy_node: safety_node is gone
    After: started again, it is stopped: `~/reset`, and give the instruction again."""
    stand = make(inside=("policy_node",))
    process = stand.stage.start("safety_node", **stand.parameters["safety_node"])
    chunks = stand.stage.ears.listen("action_chunk", JointTrajectory, bridge.COMMAND)
    stand.instruct("open the drawer")
    stand.moves()
    process.kill()
    began = time.monotonic()
    stand.hears(says)
    stand.rests(began)
    caplog.clear()
    sent, shown = len(chunks), stand.robot._count
    until(lambda: stand.robot._count > shown + 40, "forty more images of each camera")
    assert len(chunks) == sent and not caplog.records, "it commands nothing and does not repeat itself in the log"
    stand.stage.start("safety_node", **stand.parameters["safety_node"])
    stand.hears("safety_node: had ended without being shut down")
    stand.rests()
    stand.reset("open the drawer")
    stand.moves()


def test_the_arm_is_moved_by_hand_while_it_is_held(stand: Stand, says: str) -> None:
    """The arm is held and moved by hand, or by another controller. Then: following begins where it is measured, at
    a fifth of the velocity limits. Says: policy_node: camera/front/image_raw is silent
    After: nothing needs to be done."""
    robot = stand.robot
    robot.mute.add("camera/front/image_raw")
    stand.hears(says)
    stand.rests()
    moved = robot.action + 0.8 * np.eye(8)[0]
    for topic, _, position in robot.contract.split(moved):
        robot.controllers[topic].hold(position, robot.get_clock().now().nanoseconds)
    until(lambda: abs(robot.action[0] - moved[0]) < 1e-6, "the arm is moved")
    robot.setpoints.clear()  # the hand's way is not the stack's
    robot.mute.clear()
    stand.moves()
    _, points = zip(*robot.setpoints, strict=True)
    assert np.abs(np.diff([p[0] for p in points])).max() < 0.1 and abs(points[0][0] - moved[0]) < 0.01


class SimClock:
    """/clock under the test's hand."""

    def __init__(self, stand: Stand) -> None:
        self.now, self.runs = 10**9 * 1000, True
        self._out = stand.stage.ears.create_publisher(Clock, "/clock", 10)
        stand.stage.ears.create_timer(0.01, self._tick)
        until(lambda: stand.robot.get_clock().now().nanoseconds < 2 * self.now, "the robot follows /clock")
        for timer in stand.robot.timers:  # they were set by the wall's clock
            timer.reset()

    def _tick(self) -> None:
        if self.runs:
            self.now += 10_000_000
            self._out.publish(Clock(clock=bridge.stamp(self.now)))


@pytest.mark.parametrize("jump", [0, -100, 100])
def test_the_simulated_clock_stops_or_jumps(make: Callable[..., Stand], jump: int) -> None:
    """The simulated clock stops, or jumps back or ahead. Then: the arm is held, as no sensor speaks.
    Says: policy_node: is silent After: it goes on when the clock does."""
    stand = make(sim_time=True)
    clock = SimClock(stand)
    stand.instruct("open the drawer")
    stand.moves()
    clock.runs = False
    stand.hears("policy_node: is silent")
    clock.now += jump * 10**9
    clock.runs = True
    stand.moves()


@pytest.mark.parametrize(
    ("text", "words"),
    [("  ", "got an empty instruction"), ("very " * 20_000, "got an instruction of 99999 characters")],
)
def test_an_instruction_that_is_none(stand: Stand, text: str, words: str) -> None:
    """An instruction is empty or of 100 KB. Then: it is refused, the former one goes on.
    Says: policy_node: got an After: the next one counts."""
    stand.said.clear()
    stand.instruct(text)
    until(lambda: any(n == "policy_node" and words in said for n, said in list(stand.said)), words)
    stand.moves()
    stand.instruct("close the drawer")
    stand.hears("policy_node: serves: close the drawer")


def test_an_instruction_that_is_no_text(stand: Stand, says: str) -> None:
    """An instruction is not valid UTF-8. Then: it is refused, the former one goes on.
    Says: policy_node: is not readable After: the next one counts."""
    bad = bytes([0, 1, 0, 0, 5, 0, 0, 0]) + b"\xff\xfe\xff\xfe\0"  # CDR of a String of four bytes
    out = stand.stage.ears.create_publisher(String, "instruction", bridge.LATCHED)
    until(out.get_subscription_count, "the policy listens")
    stand.said.clear()
    out.publish(bad)
    node, words = says.split(": ")
    until(lambda: any(n == node and words in said for n, said in list(stand.said)), words)
    stand.moves()


def test_an_instruction_that_nobody_taught(make: Callable[..., Stand], switching: Path, says: str) -> None:
    """An instruction is unlike anything that was taught. Then: a switching policy refuses it and the arm is
    held; a plain one cannot tell, and follows it within all limits.
    Says: policy_node: unknown instruction 'make coffee' After: a known one counts, or `continue`."""
    stand = make(policy={"model": str(switching)})
    stand.instruct("open the drawer")
    stand.moves()
    began = time.monotonic()
    stand.said.clear()
    stand.instruct("make coffee")
    stand.hears(says, anew=False)
    stand.rests(began)
    stand.instruct("close the drawer")
    stand.moves()
    stand.instruct("make coffee")
    stand.rests()
    stand.said.clear()
    stand.instruct("continue")
    stand.hears("policy_node: serves: close the drawer", anew=False)
    stand.moves()


def test_an_unknown_instruction_for_a_policy_that_cannot_tell(stand: Stand) -> None:
    stand.instruct("make coffee")
    stand.hears("policy_node: serves: make coffee")


def test_fifty_instructions_a_second(stand: Stand, says: str) -> None:
    """50 instructions a second. Then: what is inferred under an older one is dropped; the last one is served.
    Says: policy_node: serves: instruction 99 After: nothing needs to be done."""
    for i in range(100):
        stand.instruct(f"instruction {i}")
        time.sleep(0.02)
    stand.instruct("instruction 99")
    stand.hears(says, anew=False)  # a latched status is not repeated
    stand.moves()


def test_estop_during_a_rollback(make: Callable[..., Stand], switching: Path, says: str) -> None:
    """E-stop while the arm undoes what it did. Then: the arm is held, whatever is commanded.
    Says: safety_node: stopped: e-stop After: release it, then `~/reset`, and give the instruction again."""
    stand = make(policy={"model": str(switching)})
    call = stand.stage.ears.call
    stand.instruct("open the drawer")
    stand.robot.tells = {"contact": 1.0}
    stand.hears("policy_node: contact: yes", anew=False)
    stand.robot.tells = {"contact": 1.0, "mode": "rollback"}
    stand.instruct("close the drawer")
    stand.hears("policy_node: mode: rollback", anew=False)
    stand.moves()
    call("safety_node/estop", SetBool, data=True)
    began = time.monotonic()
    stand.hears(says)
    stand.rests(began)
    assert not call("safety_node/reset", Trigger).success  # still engaged
    call("safety_node/estop", SetBool, data=False)
    stand.rests()
    stand.robot.tells = {}
    stand.reset("close the drawer")
    stand.moves()


def test_two_policies_on_one_robot(stand: Stand, says: str) -> None:
    """Two policy nodes command one robot. Then: the arm is held.
    Says: safety_node: two publishers on action_chunk After: it goes on when one of them has gone."""
    other = stand.stage.node(PolicyNode, **stand.parameters["policy_node"])
    stand.hears(says)
    stand.rests()
    stand.stage.leave(other)
    stand.moves()


def test_the_arm_is_far_from_where_the_policy_starts(make: Callable[..., Stand], says: str) -> None:
    """The arm is far from where the policy starts. Then: the command is refused, the arm does not move.
    Says: safety_node: too far from the first set-point After: it goes on when the arm is near."""
    stand = make()
    until(lambda: stand.nodes["policy_node"].live, "the policy is active")
    session = stand.nodes["policy_node"].session
    run = session.run

    def far(feed: Any) -> Any:
        outputs = run(feed)
        outputs["actions"][0, :, 1] += 1.0
        return outputs

    session.run = far
    was = stand.robot.action.copy()
    stand.instruct("open the drawer")
    stand.hears(says)
    assert np.allclose(stand.robot.action, was, atol=1e-6)
    session.run = run
    stand.moves()


def test_the_recorders_disk_fills(make: Callable[..., Stand], says: str, tmp_path: Path) -> None:
    """The recorder's disk fills. Then: recording ends, what was flushed is kept, the robot is not touched.
    Says: recorder_node: recording ended After: free space and call `~/start` again."""
    stand = make()
    process = stand.stage.start("recorder_node", folder=tmp_path)
    stand.instruct("open the drawer")
    stand.stage.ears.call("recorder_node/start", Trigger)
    # a limit on the size of files stands in for a full disk
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    stand.hears(says)
    stand.moves()
    assert list(tmp_path.glob("*/*.mcap"))
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert stand.stage.ears.call("recorder_node/start", Trigger).success


def test_a_bag_is_replayed_into_a_live_stack(stand: Stand, tmp_path: Path) -> None:
    """A bag is replayed into a live stack. Then: the replay node refuses; the arm goes on undisturbed.
    Says: replay_node: another node publishes After: replay in another domain."""
    process = stand.stage.start("replay_node", bag=write(tmp_path / "bag", demonstration(20)))
    said, _ = process.communicate(timeout=LONG)
    assert process.returncode == 2 and "another node publishes" in said
    stand.moves()


def test_old_messages_are_played_into_a_live_stack(stand: Stand, says: str) -> None:
    """A bag is played into a live stack by other means. Then: the policy node drops its messages by their stamps;
    where its joints are elsewhere, the arm is held. Says: policy_node: dropped, joint_states: late
    After: it goes on a second after the bag has ended."""
    out = {
        topic: stand.stage.ears.create_publisher(bridge.message_class(kind), topic, 10)
        for topic, kind in stand.robot.contract.observed.items()
    }
    until(lambda: all(p.get_subscription_count() for p in out.values()), "the policy listens")
    stand.said.clear()
    for item in demonstration(20):
        if item.topic in out:
            kind = stand.robot.contract.observed[item.topic]
            out[item.topic].publish(bytes(TYPES.serialize_cdr(item.message, kind)))
            time.sleep(0.002)
    node, words = says.split(": ", 1)
    until(lambda: any(n == node and words in said for n, said in list(stand.said)), words)
    stand.moves()
