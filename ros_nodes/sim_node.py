"""The MuJoCo robot with a live robot's topics, so that nobody needs hardware.

    ros2 run midstream sim_node --ros-args -p seed:=1000000

Out: cameras and joint states as the contract names them, /clock, contact label. In: a trajectory on each
topic of the contract's action, followed as a joint_trajectory_controller does
(policy/robot/trajectory_controller.py). It samples the trajectory once in a control step, at its end: what the
policy was trained and is evaluated with.
"""

import sys
from functools import partial
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from policy.errors import InputError
from policy.robot import contract as contracts
from policy.robot.trajectory_controller import TrajectoryController
from ros_nodes import bridge
from ros_nodes.bridge import COMMAND, OVERRIDES, SENSOR_OUT, STEADY
from sim import headless
from sim.demonstration_writer import EPOCH
from sim.world import CAMERAS, JOINT_NAMES, STEP_NS, World


class SimNode(Node):
    """One robot at its table; `world` is the truth, for whoever judges a policy in this process."""

    def __init__(self, **options: Any) -> None:
        super().__init__("sim_node", **options)
        declare = partial(bridge.declare, self)
        self._seed = declare(
            "seed", 1_000_000, "of the first layout of the table; each reset takes the next", 0, 2**31 - 1
        )
        speed = declare("real_time_factor", 1.0, "simulated seconds in a real one", 0.01, 100.0)
        headless.require()
        self._contract = contracts.load("tabletop")
        self.world = World()
        self._problem, self._rejected = "", 0
        self._clock_out = self.create_publisher(Clock, "/clock", 10)
        self._joints = self.create_publisher(JointState, "joint_states", SENSOR_OUT, qos_overriding_options=OVERRIDES)
        self._images = {
            name: self.create_publisher(
                Image, self._contract.cameras[name].topic, SENSOR_OUT, qos_overriding_options=OVERRIDES
            )
            for name in CAMERAS
        }
        self._contact = self.create_publisher(Bool, self._contract.labels.contact, SENSOR_OUT)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.world.reset(np.random.default_rng(self._seed))
        self.controllers: dict[str, TrajectoryController] = {}
        for topic, joints, position in self._contract.split(self.world.setpoint()):
            self.controllers[topic] = TrajectoryController(joints, position, self.now)
            self.create_subscription(
                JointTrajectory, topic, partial(self._command, topic), COMMAND, qos_overriding_options=OVERRIDES
            )
        self.create_service(Trigger, "~/reset", self._reset)
        self.create_timer(STEP_NS * 1e-9 / speed, self.tick, clock=STEADY)
        self.create_timer(1.0, self._diagnose, clock=STEADY)

    @property
    def now(self) -> int:
        """The simulated clock [ns]."""
        return EPOCH + self.world.time_ns

    def tick(self) -> None:
        """One control step, and what the robot then says."""
        end = self.now + STEP_NS
        self.world.step(self._contract.join([(topic, c.joints, c.at(end)) for topic, c in self.controllers.items()]))
        now = self.now
        self._clock_out.publish(Clock(clock=bridge.stamp(now)))
        for joints in self.world.joints:
            self._joints.publish(
                bridge.joint_state(JOINT_NAMES, EPOCH + joints.stamp, joints.position, joints.velocity, joints.effort)
            )
        for name, pixels in self.world.frame().images.items():
            self._images[name].publish(bridge.image(pixels, now, f"{name}_camera"))
        self._contact.publish(Bool(data=self.world.contact))

    def reset(self, seed: int) -> None:
        """Lay the table out anew; the clock is set back, as it is another world."""
        self._seed = seed
        self.world.reset(np.random.default_rng(seed))
        self.hold()

    def hold(self) -> None:
        """Let the controllers stand where the world stands."""
        for topic, _, position in self._contract.split(self.world.setpoint()):
            self.controllers[topic].hold(position, self.now)

    def _command(self, topic: str, message: JointTrajectory) -> None:
        try:
            times, positions, speeds = bridge.points(message)
            why = self.controllers[topic].command(
                list(message.joint_names), times, positions, speeds, bridge.nanoseconds(message.header.stamp), self.now
            )
        except InputError as error:
            why = str(error)
        if why:
            self._rejected += 1
            if why != self._problem:
                self.get_logger().warning(f"{topic}: trajectory rejected: {why}")
        self._problem = why or ""

    def _reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.reset(self._seed + 1)
        response.success, response.message = True, f"seed {self._seed}"
        return response

    def _diagnose(self) -> None:
        self._diagnostics.publish(
            bridge.diagnostics(
                self,
                bridge.status(
                    "warn" if self._problem else "ok",
                    "sim_node: controller",
                    self._problem or "following",
                    {"rejected": self._rejected, "seed": self._seed},
                ),
            )
        )


def main() -> int:
    """The executable."""
    return bridge.run(SimNode)


if __name__ == "__main__":
    sys.exit(main())
