"""The MuJoCo robot with a live robot's topics, for those without hardware.

    ros2 run midstream sim_node --ros-args -p seed:=1000000

publishes    cameras and joint states as the contract names them, /clock, contact label, /diagnostics (1 Hz)
subscribes   each topic of the contract's action: trajectories are followed as a joint_trajectory_controller does
services     ~/reset (Trigger): the next layout of the world

It samples a trajectory once in a control step, at its end: what the policy was trained and is evaluated with.
It refuses to start where another node publishes /clock.
"""

import sys
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool, Float64MultiArray
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from policy.errors import InputError
from policy.robot.commands import Controller
from policy.robot.decode import Unusable, value_decoder
from policy.robot.message_types import ARRAY, POSE
from policy.robot.trajectory_controller import TrajectoryController
from ros_nodes import bridge
from ros_nodes.bridge import COMMAND, OVERRIDES, SENSOR_OUT, STEADY
from ros_nodes.clock_publisher import ClockPublisher
from ros_nodes.outputs import pose_message
from ros_nodes.qos_events import QosMismatches
from sim import headless
from sim.demonstration_writer import EPOCH
from sim.worlds import load
from sim.worlds.interface import STEP_NS


class SimNode(Node):
    """One robot in its world; a policy that runs in this process is judged by `world`."""

    def __init__(self, **options: Any) -> None:
        super().__init__("sim_node", **options)
        declare = partial(bridge.declare, self)
        self._seed = declare("seed", 1_000_000, "of the first layout; each reset takes the next", 0, 2**31 - 1)
        speed = declare("real_time_factor", 1.0, "simulated seconds in a real one", 0.01, 100.0)
        kind = load(declare("world", "tabletop", "the robot and its scene: a name in sim/worlds"))
        self._task = declare("task", "", "the scene, in a world whose tasks have one each; empty: drawn by the seed")
        if self._task:
            kind.named(self._task)
        headless.require()
        self._contract = kind.contract()
        self._contact = str(self._contract.labels.contact)
        self.world = kind()
        self._lay_out()
        self._streamed = {c.topic: value_decoder(c.command.sent) for c in self._contract.controllers if c.streamed}
        self.controllers = {
            topic: TrajectoryController(joints, position, self.now)
            for topic, joints, position in self._contract.split(self.world.setpoint())
            if topic not in self._streamed
        }
        self.set_point = self.world.setpoint()  # (A,) in force, of which controllers without trajectories have a part
        self.rejected = 0  # trajectories
        self._problem, self._reported = "", ""  # of the newest trajectory; the newest diagnostic
        self._sim_clock = ClockPublisher(self)
        self._qos = QosMismatches(self)
        self.outputs: dict[str, Publisher] = {}
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_timer(STEP_NS * 1e-9 / speed, self._run, clock=STEADY)
        self.create_timer(1.0, self._diagnose, clock=STEADY)

    def _run(self) -> None:
        if not self.outputs:
            if not self._sim_clock.ready():
                return
            self._open()
        self.tick()

    def _open(self) -> None:
        """The robot's topics and services."""
        cameras = [camera.topic for camera in self._contract.cameras.values()]
        kinds = {
            self._contact: Bool,
            **dict.fromkeys(self.world.joint_topics, JointState),
            **dict.fromkeys(cameras, Image),
        }
        for topic, kind in kinds.items():
            self.outputs[topic] = self.create_publisher(
                kind,
                topic,
                SENSOR_OUT,
                qos_overriding_options=OVERRIDES,
                event_callbacks=self._qos.publisher(topic),
            )
        whole = {POSE: PoseStamped, ARRAY: Float64MultiArray}  # messages that are a part of the state
        for topic, kind in {s.topic: whole[s.type] for s in self._contract.state if s.type in whole}.items():
            self.outputs[topic] = self.create_publisher(kind, topic, SENSOR_OUT)
        for controller in self._contract.controllers:
            topic = controller.topic
            self.create_subscription(
                bridge.message_class(controller.command.type),
                topic,
                partial(self._take, controller) if controller.streamed else partial(self._command, topic),
                COMMAND,
                qos_overriding_options=OVERRIDES,
                event_callbacks=self._qos.subscription(topic),
            )
        self.create_service(Trigger, "~/reset", self._reset)

    @property
    def now(self) -> int:
        """The simulated clock [ns]."""
        return EPOCH + self.world.time_ns

    def tick(self) -> None:
        """One control step, and what the robot then publishes."""
        end = self.now + STEP_NS
        taken = {topic: controller.at(end) for topic, controller in self.controllers.items()}
        parts = [
            (topic, joints, taken.get(topic, last)) for topic, joints, last in self._contract.split(self.set_point)
        ]
        self.set_point = self._contract.join(parts)
        self.world.step(self.set_point)
        now = self.now
        self._sim_clock.publish(now)
        for topic, names, joints in self.world.joint_states():
            self.outputs[topic].publish(
                bridge.joint_state(names, EPOCH + joints.stamp, joints.position, joints.velocity, joints.effort)
            )
        for name, pixels in self.world.frame().images.items():
            topic = self._contract.cameras[name].topic
            self.outputs[topic].publish(bridge.image(pixels, now, f"{name}_camera"))
        self._publish_parts(now)
        self.outputs[self._contact].publish(Bool(data=self.world.contact))

    def _publish_parts(self, now: int) -> None:
        """The parts of the state that are no joints: poses, and arrays of which they are the whole."""
        state, begin = self.world.state().astype(float), 0
        for source in self._contract.state:
            end = begin + len(source.spec_names)
            if source.type == POSE:
                self.outputs[source.topic].publish(pose_message(state[begin:end], source.reference, "", now))
            elif source.type == ARRAY:
                self.outputs[source.topic].publish(Float64MultiArray(data=state[begin:end].tolist()))
            begin = end

    def reset(self, seed: int) -> None:
        """Draw another layout; the clock is set back, as it is another world."""
        self._seed = seed
        self._lay_out()
        self.hold()

    def _lay_out(self) -> None:
        rng = np.random.default_rng(self._seed)
        if self._task:
            self.world.reset_to(self._task, rng)
        else:
            self.world.reset(rng)

    def hold(self) -> None:
        """Let the controllers stand where the world stands."""
        self.set_point = self.world.setpoint()
        for topic, _, position in self._contract.split(self.set_point):
            if topic in self.controllers:
                self.controllers[topic].hold(position, self.now)

    def _take(self, controller: Controller, message: Any) -> None:
        """A set-point for a controller that follows no trajectories."""
        try:
            self.set_point[controller.columns] = self._streamed[controller.topic](message)
        except Unusable as error:
            self.rejected += 1
            self._problem = str(error)

    def _command(self, topic: str, message: JointTrajectory) -> None:
        try:
            times, positions, speeds = bridge.points(message)
            why = self.controllers[topic].command(
                list(message.joint_names), times, positions, speeds, bridge.nanoseconds(message.header.stamp), self.now
            )
        except InputError as error:
            why = str(error)
        if why:
            self.rejected += 1
            if why != self._problem:
                self.get_logger().warning(f"{topic}: trajectory rejected: {why}")
        self._problem = why or ""

    def _reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.reset(self._seed + 1)
        response.success, response.message = True, f"seed {self._seed}"
        return response

    def _diagnose(self) -> None:
        level, message = "ok", "following"
        if conflict := self._sim_clock.conflict():
            level, message = "error", conflict
        elif problem := self._problem or self._qos.fault():
            level, message = "warn", problem
        status = bridge.status(level, "sim_node: controller", message, {"rejected": self.rejected, "seed": self._seed})
        if message != self._reported and level == "error":
            self.get_logger().error(message)
        self._reported = message
        self._diagnostics.publish(bridge.diagnostics(self, status))


def main() -> int:
    """The executable."""
    return bridge.run(SimNode)


if __name__ == "__main__":
    sys.exit(main())
