"""The policy as a lifecycle node: sensors and an instruction in, trajectories on `policy/<topic>` out.

    ros2 run midstream policy_node --ros-args -p model:=models/tabletop -p autostart:=true

configure loads and warms the model, activate opens the publishers, deactivate brings the arm to rest, cleanup
frees the model. The executor only fills buffers; inference has a thread of its own (policy/running/loop.py).
"""

import sys
from functools import partial
from time import monotonic_ns
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher, LifecycleState, TransitionCallbackReturn
from rclpy.subscription import Subscription
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from policy.errors import InputError
from policy.robot import contract as contracts
from policy.robot.contract import Contract
from policy.robot.live_observations import LiveObservations
from policy.running.loop import NOTHING, Pilot
from policy.running.session import PROVIDERS, Session
from ros_nodes import bridge
from ros_nodes.bridge import COMMAND, LATCHED, LIVING_IN, OVERRIDES, SENSOR_IN, STEADY

Return = TransitionCallbackReturn
WATCH = 0.02  # s between two looks at the clocks
RETRY = 2.0  # s until a configuration that failed is tried again, with autostart


class PolicyNode(LifecycleNode):
    """Runs one model for one robot."""

    def __init__(self, **options: Any) -> None:
        super().__init__("policy_node", **options)
        declare = partial(bridge.declare, self)
        self._model = declare("model", "models/tabletop", "folder of the exported policy")
        self._contract_name = declare(
            "contract", "", "contract of the robot: a shipped name or a YAML file; empty: the one beside the model"
        )
        self._provider = declare("provider", "auto", f"auto or one of {', '.join(PROVIDERS)}")
        self._threads = declare("threads", 2, "threads of one inference on the CPU", 1, 64)
        self._replan = declare("replan", 8, "frames from one inference to the next", 1, 1000)
        self._silence = declare(
            "sensor_timeout", 0.15, "s that a sensor may be silent until the arm is held", 0.02, 10.0
        )
        self._autostart = declare("autostart", False, "go to active without being told")
        self.session: Session | None = None
        self.pilot: Pilot | None = None
        self._intake: LiveObservations | None = None
        self._inputs: list[Subscription] = []
        self._outputs: dict[str, LifecyclePublisher] = {}
        self._unguarded = False  # the safety node was there and is gone
        self._failure = ""  # why configuring failed
        self._latched = ""  # newest instruction, kept while the node is not active
        self._told: tuple[object, ...] = ()
        self._counts: tuple[int, int] = (0, monotonic_ns())  # messages, and when they were counted
        self._status = self.create_publisher(DiagnosticStatus, "~/status", LATCHED)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_subscription(
            DiagnosticStatus,
            "safety_node/status",
            lambda _: None,
            LIVING_IN,
            event_callbacks=SubscriptionEventCallbacks(liveliness=self._guard),
        )
        self.create_service(Trigger, "~/reset", self._reset)
        self.create_service(Trigger, "~/continue", self._continue)
        self.create_timer(WATCH, self._watch, clock=STEADY)
        self.create_timer(1.0, self._diagnose, clock=STEADY)
        self._start = self.create_timer(0.0, self._autostarted, clock=STEADY) if self._autostart else None

    # -- lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and warm the model; without one the node stays unconfigured and says why."""
        try:
            self.session = Session(self._model, self._threads, self._provider)
            contract = contracts.load(self._contract_name) if self._contract_name else self.session.contract
            _check(contract, self.session)
            bridge.outlasts("sensor_timeout", self._silence, contract)
        except InputError as error:
            if self._failure != str(error):  # with autostart it is tried again and again
                self.get_logger().error(str(error))
            self.session, self._failure = None, str(error)
            return Return.FAILURE
        self._failure, self._contract = "", contract
        for topic, kind in contract.observed.items():
            self._inputs.append(
                self.create_subscription(
                    bridge.TYPES[kind],
                    bridge.relative(topic),
                    partial(self._sense, topic),
                    SENSOR_IN,
                    qos_overriding_options=OVERRIDES,
                )
            )
        self._inputs.append(
            self.create_subscription(
                String, bridge.relative(contract.instruction), self._instruct, LATCHED, qos_overriding_options=OVERRIDES
            )
        )
        for topic, _, _ in contract.split(np.zeros(len(contract.spec.action))):
            name = bridge.relative(topic)
            self._outputs[name] = self.create_lifecycle_publisher(
                JointTrajectory, f"policy/{name}", COMMAND, qos_overriding_options=OVERRIDES
            )
        self.get_logger().info(f"{self._model} is warm on {self.session.provider}")
        return Return.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Listen and command."""
        assert self.session is not None
        self._intake = LiveObservations(self._contract, self._silence, monotonic_ns())
        self.pilot = Pilot(self.session, self._now, self._publish, self._replan, self._silence)
        done = super().on_activate(state)
        if self._latched:
            self._instruct(String(data=self._latched))
        return done

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Bring the arm to rest and command nothing more."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model and leave the topics."""
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        for publisher in self._outputs.values():
            self.destroy_lifecycle_publisher(publisher)
        self._inputs, self._outputs, self.session, self._latched = [], {}, None, ""
        return Return.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """As deactivate and cleanup."""
        self._stop()
        return self.on_cleanup(state)

    def destroy_node(self) -> None:
        """End the inference thread first."""
        self._stop()
        super().destroy_node()

    def _stop(self) -> None:
        if self.pilot is not None:
            self.pilot.close()
            self._latched = self.pilot.text or self._latched  # what "continue" meant, not the word
            self.pilot = None

    def _autostarted(self) -> None:
        assert self._start is not None
        self._start.cancel()
        if self.trigger_configure() == Return.SUCCESS:
            self.trigger_activate()
        else:
            self._start = self.create_timer(RETRY, self._autostarted, clock=STEADY)

    # -- the road

    def _now(self) -> int:
        return self.get_clock().now().nanoseconds

    def _sense(self, topic: str, message: Any) -> None:
        if self.pilot is None or self._intake is None:
            return
        for frame in self._intake.push(topic, message, self._now(), monotonic_ns()):
            self.pilot.observe(frame)

    def _instruct(self, message: String) -> None:
        self._latched = message.data
        if self.pilot is None:
            return
        try:
            self.pilot.instruct(message.data)
        except InputError as error:
            self.get_logger().warning(f"instruction refused: {error}")
            self._tell(refused=str(error))

    def _publish(self, times: np.ndarray, actions: np.ndarray) -> None:
        """From the inference thread, or from the executor's: what is still to come."""
        for topic, message in bridge.trajectories(self._contract, times, actions).items():
            self._outputs[topic].publish(message)

    def _guard(self, change: Any) -> None:
        self._unguarded = change.alive_count == 0

    def _watch(self) -> None:
        fault = self._intake.fault(monotonic_ns()) if self._intake is not None else ""
        if self._unguarded:
            fault = "safety_node is gone: nothing reaches the arm"
        if self.pilot is not None and fault:
            self.pilot.fault(fault)
        self._tell()

    # -- services

    def _reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self.pilot is not None
        response.message = "the instruction is forgotten" if self.pilot else "the node is not active"
        self._latched = ""
        if self.pilot is not None:
            self.pilot.reset()
        return response

    def _continue(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        left = self.pilot.unfinished if self.pilot is not None else ""
        response.success, response.message = bool(left), left or "no instruction was left unfinished"
        if self.pilot is not None and left:
            self.pilot.instruct(left)
        return response

    # -- what it says

    def _tell(self, refused: str = "") -> None:
        """Publish the status where it has changed."""
        pilot = self.pilot
        if pilot is None:
            if self._told != (self._failure,):
                self._told = (self._failure,)
                level = "error" if self._failure else "warn"
                self._status.publish(
                    bridge.status(level, "policy_node: status", self._failure or "not active", {"instruction": ""})
                )
            return
        values = {
            "instruction": pilot.text,
            "serves": pilot.served,
            "switches": pilot.switches,
            "unfinished": pilot.unfinished,
            "holding": pilot.reason,
            **_execution(pilot),
        }
        told = tuple(values.values())
        if told == self._told and not refused:
            return
        self._told = told
        level = "ok" if not pilot.reason or pilot.reason == NOTHING else "warn"
        self._status.publish(
            bridge.status("warn" if refused else level, "policy_node: status", refused or _doing(pilot), values)
        )

    def _diagnose(self) -> None:
        pilot, intake = self.pilot, self._intake
        if pilot is None or intake is None or self.session is None:
            level, words = ("error", self._failure) if self._failure else ("warn", "not active")
            self._diagnostics.publish(
                bridge.diagnostics(self, bridge.status(level, "policy_node: inference", words, {"model": self._model}))
            )
            return
        count, now = sum(intake.received.values()), monotonic_ns()
        rate = (count - self._counts[0]) / ((now - self._counts[1]) * 1e-9)
        self._counts = count, now
        waits = pilot.reason and pilot.reason != NOTHING
        self._diagnostics.publish(
            bridge.diagnostics(
                self,
                bridge.status(
                    "error" if waits else "ok",
                    "policy_node: inference",
                    _doing(pilot),
                    {
                        "model": self._model,
                        "provider": self.session.provider,
                        "inferences": pilot.inferences,
                        "failures": pilot.failures,
                        "outdated": pilot.outdated,
                        "inference p50 / p99 ms": bridge.percentiles(pilot.inferring),
                        "frame to chunk less inference p50 / p99 ms": bridge.percentiles(pilot.waiting),
                        "instruction to chunk p50 / p99 ms": bridge.percentiles(pilot.reacting),
                    },
                ),
                bridge.status(
                    "warn" if intake.fault(now) else "ok",
                    "policy_node: sensors",
                    intake.fault(now) or "all sensors speak",
                    {
                        "messages per s": f"{rate:.1f}",
                        "skew p50 / p99 ms": bridge.percentiles(intake.skew),
                        **{f"received, {k}": v for k, v in intake.received.items()},
                        **{f"dropped, {k}": v for k, v in intake.dropped.items()},
                    },
                ),
            )
        )


def _doing(pilot: Pilot) -> str:
    if pilot.reason:
        return f"holding: {pilot.reason}"
    return f"done: {pilot.text}" if pilot.finished else f"commanding: {pilot.served}"


def _execution(pilot: Pilot) -> dict[str, str]:
    """What a switching policy told last."""
    if pilot.execution_estimate is None:
        return dict.fromkeys(("mode", "contact", "done"), "not estimated")
    return {
        "mode": pilot.execution_estimate.mode,
        "contact": "yes" if pilot.touching else "no",
        "done": "yes" if pilot.finished else "no",
    }


def _check(contract: Contract, session: Session) -> None:
    """The robot must give what the policy takes."""
    for key in ("cameras", "state", "action", "rate"):
        robot, policy = getattr(contract.spec, key), getattr(session.spec, key)
        if robot != policy:
            raise InputError(
                f"the model is for another robot ({key}: the contract has {robot}, the model "
                f"{policy}); give the contract that it was trained with, or another model"
            )


def main() -> int:
    """The executable."""
    return bridge.run(PolicyNode)


if __name__ == "__main__":
    sys.exit(main())
