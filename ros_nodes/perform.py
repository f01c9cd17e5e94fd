"""The action `~/perform`: an instruction as a goal, for behaviour trees and other programs.

    goal "open the drawer" --accepted--> feedback: mode, contact, done ...... --> done
    another goal, or a sentence on the instruction topic ....................... --> superseded
    cancel --> the arm is stopped .............................................. --> cancelled

Its type is in the package midstream_msgs. A goal is in force as a sentence on the topic is, and is published there, so
that a recorder hears it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from rclpy.action import ActionServer, CancelResponse
from rclpy.executors import Executor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.task import Future
from std_msgs.msg import String

from policy.errors import InputError
from policy.robot.instructions import stops
from policy.running.loop import InferenceLoop
from ros_nodes import bridge, policy_status
from ros_nodes.bridge import LATCHED

TYPE = "midstream_msgs/action/Perform"
ANSWER = 2.0  # s that the results may take when the node ends
ROUNDS = 20
NAN = float("nan")


@dataclass(slots=True)
class Goal:
    """One goal under way."""

    handle: Any  # of rclpy
    text: str
    ended: Future = field(default_factory=Future)  # (outcome, message)
    began: bool = False  # the policy has taken it
    shown: tuple[object, ...] = ()  # the newest feedback


class Performer:
    """The action server of a policy node; all within the executor's thread.

    `obey` gives the policy an instruction, and returns why it is refused, "" if it is not. Where the action's type is
    not installed there is no action, and the log says so.
    """

    def __init__(self, node: Node, obey: Callable[[str], str]) -> None:
        self.topic = ""  # of instructions
        self._node, self._obey = node, obey
        self._goal: Goal | None = None
        self._open = 0  # goals whose end nobody has been told
        self._out: Publisher | None = None  # of the instruction topic, from the first goal on
        self._echo = "", 0  # what is heard from ourselves soon, and when it had been published [ns, of the wall clock]
        self._server: ActionServer | None = None
        try:
            self._type: Any = bridge.message_class(TYPE)
        except InputError as error:
            node.get_logger().info(f"no action ~/perform: {error}")
            return
        self._server = ActionServer(
            node,
            self._type,
            "~/perform",
            self._ended,
            handle_accepted_callback=self._accepted,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
        )

    def is_echo(self, text: str, source: int) -> bool:
        """Whether an instruction on the topic, by its source time [ns], is the newest goal's, which is obeyed already.

        The same words said later are an instruction: what was published here may never have been heard.
        """
        ours, published = self._echo
        if text != ours or source > published:
            return False
        self._echo = "", 0
        return True

    def instructed(self, text: str) -> None:
        """The policy has been given an instruction, whoever gave it."""
        if self._goal is None or text.strip() == self._goal.text:
            return
        if stops(text):
            self.failed(f"stopped by the instruction {text!r}")
        else:
            self._end(self._type.Result.SUPERSEDED, f"another instruction has come: {text!r}")

    def failed(self, why: str) -> None:
        """The instruction has been ended by something else than another one."""
        if self._goal is not None:
            self._end(self._type.Result.FAILED, why)

    def watch(self, loop: InferenceLoop) -> None:
        """Look at the goal under way: many times a second."""
        goal = self._goal
        if goal is None:
            return
        result = self._type.Result
        if goal.handle.is_cancel_requested:
            self._end(result.CANCELLED, "the arm was stopped")
            self._obey("stop")
            self.publish("stop")
            return
        if not loop.pending:
            if not loop.text:
                self._end(result.FAILED if goal.began else result.REFUSED, loop.reason)
                return
            goal.began = True
            if loop.done:
                self._end(result.DONE, policy_status.doing(loop))
        self._show(goal, loop)

    def finish(self, executor: Executor) -> None:
        """Send the results of the goals that have ended, for when nobody spins the node any more."""
        end, rounds = time.monotonic() + ANSWER, 0
        while (self._open or rounds < ROUNDS) and time.monotonic() < end:
            rounds = 0 if self._open else rounds + 1  # the result that a goal has is sent in one of the next rounds
            executor.spin_once(timeout_sec=0.01)

    def close(self) -> None:
        """Free the server, before the node is destroyed."""
        if self._server is not None:
            self._server.destroy()

    def _end(self, outcome: str, message: str) -> None:
        """The goal under way is over, if there is one."""
        goal, self._goal = self._goal, None
        if goal is not None:
            goal.ended.set_result((outcome, message))

    def _accepted(self, handle: Any) -> None:
        goal, result = Goal(handle, handle.request.instruction.strip()), self._type.Result
        self._open += 1
        handle.execute(partial(self._ended, goal))
        if refused := self._obey(goal.text):
            goal.ended.set_result((result.REFUSED, refused))
            return
        self._end(result.SUPERSEDED, f"another goal has come: {goal.text!r}")
        if stops(goal.text):
            goal.ended.set_result((result.DONE, "the arm is held"))
        else:
            self._goal = goal
        self.publish(goal.text)

    def publish(self, text: str) -> None:
        """Let the recorder, and whoever else listens, know what came by no topic."""
        if self._out is None:
            self._out = self._node.create_publisher(String, bridge.relative(self.topic), LATCHED)
        self._out.publish(String(data=text))
        self._echo = text, time.time_ns()

    def _show(self, goal: Goal, loop: InferenceLoop) -> None:
        """Publish the feedback where it has changed."""
        estimate = loop.estimate
        mode, contact, done = (estimate.mode, estimate.contact, estimate.done) if estimate else ("unknown", NAN, NAN)
        shown = (policy_status.doing(loop), mode, str(contact), str(done))
        if shown != goal.shown:
            goal.shown = shown
            goal.handle.publish_feedback(self._type.Feedback(status=shown[0], mode=mode, contact=contact, done=done))

    async def _ended(self, goal: Goal, handle: Any) -> Any:
        """The result, once there is one."""
        outcome, message = await goal.ended
        {self._type.Result.DONE: handle.succeed, self._type.Result.CANCELLED: handle.canceled}.get(
            outcome, handle.abort
        )()
        self._open -= 1
        return self._type.Result(outcome=outcome, message=message)
