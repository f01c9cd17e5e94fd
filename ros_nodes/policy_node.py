"""The policy as a lifecycle node: sensors and an instruction in, action chunks out.

    ros2 run midstream policy_node --ros-args -p model:=tabletop -p autostart:=true

configure loads and warms the model, activate opens the publisher, deactivate brings the arm to rest, cleanup frees
the model. The executor only fills buffers; inference has a thread of its own (policy/running/live_loop.py).
"""

import sys
import time
from dataclasses import replace
from functools import partial
from time import monotonic_ns
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import Executor
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.subscription import Subscription
from std_msgs.msg import String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from policy.errors import InputError
from policy.robot import contract as contracts
from policy.robot.contract import Contract
from policy.robot.live_observations import LiveObservations
from policy.running.live_loop import LiveLoop
from policy.running.providers import PROVIDERS
from policy.running.remote import open_session
from policy.running.schedule import STRATEGIES, choose
from policy.running.session import Session, check_robot
from ros_nodes import bridge, policy_status
from ros_nodes.autostart import AutostartNode
from ros_nodes.bridge import ACTION_CHUNK, COMMAND, LATCHED, LIVING_IN, OVERRIDES, SENSOR_IN, STEADY
from ros_nodes.goal_images import GoalImages
from ros_nodes.graph import count_publishers, publishers_fault, unheard
from ros_nodes.instruction_gate import InstructionGate
from ros_nodes.perform import Performer
from ros_nodes.qos_events import QosMismatches

Return = TransitionCallbackReturn
WATCH = 0.02  # s between two looks at the clocks
LOOK = 0.1  # s between two looks at the graph


class PolicyNode(AutostartNode):
    """Runs one model for one robot."""

    def __init__(self, **options: Any) -> None:
        super().__init__("policy_node", **options)
        declare = partial(bridge.declare, self)
        self._model = declare(
            "model",
            "tabletop",
            "folder of the exported policy, name of a shipped one, or ws://host:port that serves one",
        )
        self._mapping = declare(
            "mapping", "", "YAML of a served policy's keys, units and rate; empty: as its server describes it"
        )
        self._contract_name = declare(
            "contract", "", "contract of the robot: a shipped name or a YAML file; empty: the one beside the model"
        )
        self._provider = declare("provider", "auto", f"auto or one of {', '.join(PROVIDERS)}")
        self._threads = declare("threads", 2, "threads of one inference on the CPU", 1, 64)
        self._schedule = declare(
            "schedule", "", f"how a chunk joins the one before: {', '.join(STRATEGIES)}; empty: as the model says"
        )
        self._return_to_go = declare("return_to_go", "", "a number, how good it is to be; empty: none", or_number=True)
        self._replan = declare("replan", 0.0, "s from one inference to the next; 0: as the model says", 0.0, 60.0)
        self._silence = declare(
            "sensor_timeout", 0.15, "s that a sensor may be silent until the arm is held", 0.02, 10.0
        )
        autostart = declare("autostart", False, "go to active without being asked to")
        self._gate = InstructionGate(
            declare("obey_latched", False, "obey an instruction that is older than activation, stop or reset")
        )
        self.session: Session | None = None
        self.live: LiveLoop | None = None
        self._contract: Contract | None = None
        self._observations: LiveObservations | None = None
        self._goals: GoalImages | None = None
        self._inputs: list[Subscription] = []
        self._mismatches = QosMismatches(self)
        self._blocked = ""  # why nothing can reach the arm, whatever the sensors show
        self._safety = policy_status.Safety(self._end, self._begin_anew)
        self._shown: tuple[object, ...] = ()
        self._sensors = policy_status.Sensors(monotonic_ns())
        self._status = self.create_publisher(DiagnosticStatus, "~/status", LATCHED)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._chunks = self.create_lifecycle_publisher(
            JointTrajectory,
            ACTION_CHUNK,
            COMMAND,
            qos_overriding_options=OVERRIDES,
            event_callbacks=self._mismatches.publisher(ACTION_CHUNK),
        )
        # rclpy hands the source's time stamp to callbacks that take two arguments, which its types do not know
        take: Any = self._safety.take
        self.create_subscription(
            DiagnosticStatus,
            "safety_node/status",
            take,
            LIVING_IN,
            event_callbacks=self._mismatches.subscription("safety_node/status", self._safety.alive),
        )
        self._performer = Performer(self, self._ask)
        self.create_service(Trigger, "~/reset", self._reset)
        self.create_service(Trigger, "~/continue", self._continue)
        self.create_timer(WATCH, self._watch, clock=STEADY)
        self.create_timer(LOOK, self._look, clock=STEADY)
        self.create_timer(1.0, self._diagnose, clock=STEADY)
        if autostart:
            self.autostart()

    # -- lifecycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and warm the model; without one the node stays unconfigured and reports why."""
        return self._attempt("configuring", self._configure, self._leave)

    def _configure(self) -> TransitionCallbackReturn:
        named = contracts.load(self._contract_name) if self._contract_name else None
        self.session = open_session(self._model, self._threads, self._provider, named, self._mapping or None)
        contract, spec = named or self.session.contract, self.session.spec
        check_robot(
            contract.spec,
            spec,
            "the model is for another robot",
            "give the contract that it was trained with, or another model",
        )
        bridge.outlasts("sensor_timeout", self._silence, contract)
        self._observations = LiveObservations(contract, self._silence, monotonic_ns())
        choose(self._schedule or None, spec)
        if self._replan:
            replace(spec.runtime, replan_s=self._replan).check(spec.horizon / spec.rate, "parameter replan")
        bridge.number("return_to_go", self._return_to_go)
        self._listen(contract)
        self._contract, self._performer.topic = contract, contract.instruction
        self.get_logger().info(f"{self._model} is warm on {self.session.provider}")
        return Return.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Listen and command; where that fails the node stays inactive and reports why."""
        return self._attempt("activating", partial(self._activate, state), partial(self.on_deactivate, state))

    def _activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        assert self.session is not None and self._contract is not None
        self._observations = LiveObservations(self._contract, self._silence, monotonic_ns())
        self.live = LiveLoop(
            self.session, self._now, self._publish, self._replan or None, self._silence, self._schedule or None
        )
        done = super().on_activate(state)
        if text := self._gate.close("the node was activated", time.time_ns()):
            self._obey(text)
        elif refused := self._gate.repeat():
            self._tell(refused)
        return done

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Bring the arm to rest and command nothing more."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the model and leave the topics."""
        self._leave()
        return Return.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """As deactivate and cleanup."""
        self._stop()
        return self.on_cleanup(state)

    def end(self, executor: Executor) -> None:
        """Command nothing more, and tell whoever waits for a goal."""
        self._stop()
        self._performer.finish(executor)

    def destroy_node(self) -> None:
        """End the inference thread first."""
        self._stop()
        self._leave()
        self._performer.close()
        super().destroy_node()  # type: ignore[no-untyped-call]  # of rclpy

    def _stop(self) -> None:
        if self.live is not None:
            self.live.close()
            self.live = None
            self._performer.failed("the node was deactivated")

    def _leave(self) -> None:
        """No topics and no model."""
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self._inputs, self._observations = [], None
        if self.session is not None:
            self.session.close()
            self.session = None

    def _listen(self, contract: Contract) -> None:
        """Subscribe to all that the policy reads; `InputError` for a type that is not installed."""
        assert self.session is not None
        self._goals = GoalImages(contract, self.session.spec)
        for topic, camera in self._goals.topics.items():
            picture = bridge.message_class(contract.cameras[camera].type)
            self._subscribe(picture, topic, partial(self._goals.take, camera), LATCHED)
        for topic, kind in (contract.observed | contract.echoed).items():
            self._subscribe(bridge.message_class(kind), bridge.relative(topic), partial(self._sense, topic), SENSOR_IN)
        self._subscribe(String, bridge.relative(contract.instruction), lambda m, info: self._instruct(m, info), LATCHED)

    def _subscribe(self, kind: type, topic: str, callback: Any, quality: Any) -> None:
        options: dict[str, Any] = {
            "qos_overriding_options": OVERRIDES,
            "event_callbacks": self._mismatches.subscription(topic),
        }
        self._inputs.append(self.create_subscription(kind, topic, callback, quality, **options))

    # -- sensors to action chunks

    def _now(self) -> int:
        return int(self.get_clock().now().nanoseconds)

    def _sense(self, topic: str, message: Any) -> None:
        if self.live is None or self._observations is None:
            return
        steady = monotonic_ns()
        for frame in self._observations.push(topic, message, self._now(), steady):
            if not self._blocked and not self._observations.consistency.fault(steady):
                self.live.observe(frame)

    def _instruct(self, message: String, info: dict[str, Any]) -> None:
        source = bridge.source_time(info)
        refused = self._gate.refuse(message.data, source)
        if self.live is None or self._performer.is_echo(message.data, source):
            return
        if refused:
            self._tell(refused)
        else:
            self._obey(message.data)

    def _ask(self, text: str) -> str:
        """Obey the goal of an action; why it is refused, "" if it is not."""
        if self.live is None:
            return "the node is not active"
        return self._gate.refuse(text, time.time_ns()) or self._obey(text)

    def _obey(self, text: str) -> str:
        """Give the policy an instruction; why it is refused at once, "" if it is not."""
        assert self.live is not None and self._goals is not None
        try:
            self.live.instruct(text, self._goals.conditions(text, bridge.number("return_to_go", self._return_to_go)))
        except InputError as error:
            self.get_logger().warning(f"instruction refused: {error}")
            self._tell(refused=str(error))
            return str(error)
        self._performer.instructed(text)
        return ""

    def _publish(self, now: int, times: np.ndarray, actions: np.ndarray) -> None:
        """From the inference thread, or from the executor's: what is still to come."""
        assert self._contract is not None
        self._chunks.publish(bridge.trajectory(self._contract.spec.action, now, times - now, actions))

    def _end(self, why: str, source: int) -> None:
        """A stop, by its source time: the arm does not move by itself afterwards, so what was asked before has ended.

        Topics overtake each other: an instruction from after it may be here already, and stays.
        """
        self._gate.close(why, source)
        if self.live is not None and not self._gate.newer(source):
            self.live.reset(why)
            self._performer.failed(why)

    def _begin_anew(self) -> None:
        """A person has given control back: the next chunk begins where the arm was left."""
        if self.live is not None:
            self.live.fault("control was given back")

    def _look(self) -> None:
        """Who hears us, who lets nothing pass, and who else there is."""
        self._blocked = self._safety.fault() or unheard(self, ACTION_CHUNK) or publishers_fault(self, ACTION_CHUNK, 1)
        if self._observations is not None:
            count_publishers(self, self._observations.consistency.publishers)

    def _watch(self) -> None:
        fault = self._observations.fault(monotonic_ns()) if self._observations is not None else ""
        if self.live is not None and (fault := self._blocked or fault):
            self.live.fault(fault)
        if self.live is not None:
            self._performer.watch(self.live.loop)
        self._tell()

    # -- services

    def _reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self.live is not None
        response.message = "the instruction is forgotten" if self.live else "the node is not active"
        self._gate.close("a reset", time.time_ns())
        if self.live is not None:
            self.live.reset()
            self._performer.failed("a reset")
            self._performer.publish("stop")  # to the recorder it is the end of the episode
        return response

    def _continue(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        unfinished = self.live.loop.tracker.unfinished if self.live is not None else ""
        refused = self._ask("continue") if unfinished else "no instruction was left unfinished"
        response.success, response.message = not refused, refused or unfinished
        if not refused:
            self._performer.publish(unfinished)
        return response

    # -- what it reports

    def _tell(self, refused: str = "") -> None:
        """Publish the status where it has changed; a refusal stays until something else does."""
        mismatch = self._mismatches.fault()
        if self.live is None:
            values: dict[str, object] = {"instruction": ""}
            level, text = "error" if self._failure else "warn", self._failure or "not active"
            shown: tuple[object, ...] = (text, mismatch)
        else:
            level, text, values = policy_status.describe(self.live.loop, refused, mismatch)
            shown = (mismatch, *values.values())
        if shown != self._shown or refused:
            self._shown = shown
            self._status.publish(bridge.status(level, "policy_node: status", text, values))

    def _diagnose(self) -> None:
        if self.live is None or self._observations is None or self.session is None:
            found = [policy_status.inactive(self._failure, self._model)]
        else:
            figures = {"model": self._model, "provider": self.session.provider}
            found = [
                policy_status.inference(self.live.loop, figures),
                self._sensors.status(self._observations, monotonic_ns(), self._mismatches.fault()),
            ]
        self._diagnostics.publish(bridge.diagnostics(self, *found))


def main() -> int:
    """The executable."""
    return bridge.run(PolicyNode)


if __name__ == "__main__":
    sys.exit(main())
