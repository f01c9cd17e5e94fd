"""A robot that ROS runs, as the console shows it: what its nodes report, and what its topics carry.

    policy_node/status, safety_node/status, /diagnostics    instruction, mode, contact, done, stops, latencies
    cameras, state                                          pictures, and where each action is measured
    action_chunk, topics of the controllers                 what is planned, and what is committed

Policy and safety node count who listens to the last two, and hold the arm where nobody does. So the console listens
only while somebody else does: it never stands in for a safety node or a controller.
"""

from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from trajectory_msgs.msg import JointTrajectory

from console.backend import NO_POINTS, Feed, Points, State
from console.committed import LONGEST, Committed
from policy.errors import InputError
from policy.robot.commands import Controller
from policy.robot.contract import Contract
from policy.robot.decode import Unusable, image_decoder, value_decoder
from policy.robot.message_types import TRAJECTORY
from policy.running.loop import NO_INSTRUCTION, STOPPED
from ros_nodes import bridge
from ros_nodes.bridge import ACTION_CHUNK, LATCHED, LIVING_IN, POLICY_STATUS, SENSOR_IN, STEADY
from ros_nodes.graph import publisher_count
from ros_nodes.overheard import Overheard

SHOWN = 1 / 25  # s between two pictures of a camera
LOOK = 0.5  # s between two looks at who listens
DEAD = 1.5  # s without a status of the safety node, which sends four a second
FIGURES = {  # of /diagnostics -> as the page names them
    "policy_node: inference: inference p50 / p99 ms": "inference [ms]",
    "policy_node: inference: instruction to chunk p50 / p99 ms": "instruction to chunk [ms]",
    "policy_node: inference: frame to chunk less inference p50 / p99 ms": "frame to chunk [ms]",
    "policy_node: inference: inferences": "inferences",
    "policy_node: inference: outdated": "outdated",
    "policy_node: inference: provider": "provider",
    "policy_node: sensors: messages per s": "messages /s",
}


class ConsoleRobot:
    """Listens to a robot's nodes; `state` is what they report now."""

    def __init__(self, node: Node, contract: Contract, feed: Feed) -> None:
        self._node, self._contract, self._feed = node, contract, feed
        self.asked = ""  # the newest instruction of this console
        self._policy: dict[str, str] = {}
        self._policy_text, self._safety_text = "", ""
        self._safety: dict[str, str] = {}
        self._safety_at = -DEAD
        self._figures: dict[str, str] = {}
        self._state = np.full(len(contract.spec.state), np.nan)
        self._planned: tuple[np.ndarray, np.ndarray] | None = None  # times (N,) ns, set-points (N, A)
        self._committed = Committed(len(contract.spec.action), contract.spec.dt_ns)
        self._pictured: dict[str, float] = {}
        node.create_subscription(DiagnosticStatus, POLICY_STATUS, self._take_policy, LATCHED)
        node.create_subscription(DiagnosticStatus, "safety_node/status", self._take_safety, LIVING_IN)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._take_diagnostics, 10)
        self._subscribe_sensors()
        self._overheard = [Overheard(node, ACTION_CHUNK, JointTrajectory, self._take_chunk)]
        self._overheard += [
            Overheard(node, bridge.relative(c.topic), JointTrajectory, partial(self._take_plan, c))
            for c in contract.controllers
            if c.command.type == TRAJECTORY
        ]
        node.create_timer(LOOK, self._look, clock=STEADY)

    @property
    def unready(self) -> str:
        """What policy_node says while it does not take instructions, "" while it does."""
        return self._policy_text if "holding" not in self._policy else ""

    @property
    def cameras(self) -> dict[str, dict[str, int]]:
        """Name -> size of the cameras that have pictures; depth has none."""
        return {
            name: {"height": camera.height, "width": camera.width}
            for name, camera in self._contract.cameras.items()
            if name not in self._contract.spec.depth
        }

    @property
    def there(self) -> bool:
        """Whether a policy node has reported."""
        return bool(self._policy_text)

    @property
    def corrected(self) -> bool:
        """Whether a person is in control."""
        return self._safety.get("in control") == "a person"

    @property
    def ended(self) -> bool:
        """Whether a stop ended what a person did, so that they take over again to go on."""
        return self._safety.get("take over again") == "yes"

    @property
    def stopped(self) -> str:
        """Why the arm is stopped until it is reset, "" if it is not."""
        return self._safety.get("stopped", "")

    @property
    def held(self) -> bool:
        """Whether safety_node lets nothing pass."""
        return bool(self._safety.get("holding"))

    def known(self) -> np.ndarray | None:
        """As `measured`; None before all of the state is known."""
        try:
            return self.measured()
        except InputError:
            return None

    def measured(self) -> np.ndarray:
        """Where each action is measured (A,); 0 of a velocity. `InputError` before all of the state is known."""
        places = self._contract.measured
        values = np.where(places < 0, 0.0, self._state[places])
        if not np.isfinite(values).all():
            raise InputError("the robot does not measure all of its state yet; wait, or look at its drivers")
        return values

    def setpoint(self) -> np.ndarray:
        """As `measured`, but of a gripper its set-point, where one was heard: what it holds keeps it from there."""
        now, planned = self._now(), np.full(len(self._contract.spec.action), np.nan)
        if self._planned is not None:
            times, actions = self._planned
            planned = actions[max(0, int(np.searchsorted(times, now, "right")) - 1)]
        told = self._committed.in_force(now)
        told = np.where(np.isfinite(told), told, planned)
        return np.where(self._contract.grippers & np.isfinite(told), told, self.measured())

    def state(self) -> State:
        """What the robot does now."""
        now, policy, watched = self._now(), self._policy, self._feed.watched
        holding = policy.get("holding", "") or (self.unready if self.there else "nothing is heard of policy_node")
        stopped, refused = self.stopped, self._refused()
        idle = holding.startswith((NO_INSTRUCTION, STOPPED))
        places = self._contract.measured
        return State(
            time=now * 1e-9,
            instruction=policy.get("instruction", ""),
            serves="" if holding else policy.get("serves", ""),
            following=_listed(policy.get("following", "")),
            completed=_listed(policy.get("completed", "")),
            unfinished=policy.get("unfinished", ""),
            mode=policy.get("mode", "").replace("not estimated", ""),
            contact=_share(policy.get("contact", "")),
            done=_share(policy.get("done", "")),
            finished=policy.get("done") == "yes",
            holding=holding,
            idle=idle,
            refused=refused,
            stopped=stopped,
            corrected=self.corrected,
            faults=() if stopped or refused else self._faults(holding, idle),
            executed=np.where(places < 0, np.nan, self._state[places]) if watched else None,
            committed=self._committed.ahead(now) if watched else NO_POINTS,
            planned=self._ahead(now) if watched else NO_POINTS,
            figures=self._figures,
        )

    # -- what the nodes report

    def _take_policy(self, status: DiagnosticStatus) -> None:
        self._policy = {entry.key: entry.value for entry in status.values}
        self._policy_text = status.message

    def _take_safety(self, status: DiagnosticStatus) -> None:
        self._safety = {entry.key: entry.value for entry in status.values}
        self._safety_at = monotonic()

    def _take_diagnostics(self, array: DiagnosticArray) -> None:
        for status in array.status:
            if status.hardware_id not in ("", self._node.get_namespace()):
                continue  # another robot's
            for entry in status.values:
                if shown := FIGURES.get(f"{status.name}: {entry.key}"):
                    self._figures[shown] = entry.value

    def _refused(self) -> str:
        """A refusal names the instruction that it refuses, and stays until there is another status."""
        text, holding = self._policy_text, self._policy.get("holding", "")
        if not self.asked or holding.startswith(STOPPED):
            return ""
        if (
            text
            and not text.startswith(("holding", "commanding", "done"))
            and self._policy.get("instruction") is not None
        ):
            return text if text.startswith(("got ", "an instruction ")) else ""
        return holding if repr(self.asked)[1:60].rstrip("'\"") in holding else ""

    def _faults(self, holding: str, idle: bool) -> tuple[str, ...]:
        found = [] if idle else [holding]
        if self._safety and monotonic() - self._safety_at > DEAD:
            found.append("nothing is heard of safety_node")
        elif not holding:  # the policy commands: why does nothing pass?
            found.append(self._safety.get("holding", ""))
        return tuple(filter(None, found))

    # -- what the topics carry

    def _subscribe_sensors(self) -> None:
        contract, begin = self._contract, 0
        for name in self.cameras:
            camera = contract.cameras[name]
            self._listen(camera.type, camera.topic, partial(self._take_picture, name, image_decoder(camera)))
        for source in contract.state:
            part = slice(begin, begin := begin + len(source.spec_names))
            self._listen(source.type, source.topic, partial(self._take_part, part, value_decoder(source)))

    def _listen(self, kind: str, topic: str, take: Callable[[Any], None]) -> None:
        self._node.create_subscription(bridge.message_class(kind), bridge.relative(topic), take, SENSOR_IN)

    def _take_picture(self, name: str, decode: Callable[[Any], np.ndarray], message: Any) -> None:
        now = monotonic()
        if not self._feed.watched or now - self._pictured.get(name, 0.0) < SHOWN:
            return
        self._pictured[name] = now
        try:
            self._feed.show(name, decode(message))
        except Unusable:
            return  # the policy node says so

    def _take_part(self, part: slice, decode: Callable[[Any], np.ndarray | None], message: Any) -> None:
        try:
            values = decode(message)
        except Unusable:
            return  # the policy node says so
        if values is not None:
            self._state[part] = values

    def _take_chunk(self, message: JointTrajectory) -> None:
        try:
            stamp, times, actions = bridge.chunk(message, self._contract.spec.action)
        except InputError:
            return  # the safety node says so
        self._planned = stamp + times, actions

    def _take_plan(self, controller: Controller, message: JointTrajectory) -> None:
        try:
            times, points, _ = bridge.points(message)
        except InputError:
            return
        if points.shape[1:] == (len(controller.columns),) and tuple(message.joint_names) == controller.joints:
            stamp = bridge.nanoseconds(message.header.stamp)
            values = (points - controller.offset) / controller.scale
            self._committed.take(controller.topic, controller.columns, stamp + times, values)

    def _ahead(self, now: int) -> Points:
        if self._planned is None:
            return NO_POINTS
        times, actions = self._planned
        coming = (times > now) & (times <= now + LONGEST)  # what ends later is of another clock
        return Points((times[coming] - now) * 1e-9, actions[coming])

    def _look(self) -> None:
        if self._policy_text and not publisher_count(self._node, POLICY_STATUS):
            self._policy, self._policy_text = {}, ""  # what is latched outlives a node, and would be shown for ever
        for topic in self._overheard:
            topic.look()

    def _now(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split("; ")))


def _share(text: str) -> float | None:
    """The words yes and no as a probability."""
    return {"yes": 1.0, "no": 0.0}.get(text)
