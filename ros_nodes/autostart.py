"""A lifecycle node that activates itself, where it is asked to, and that survives a transition it does not have.

unconfigured --configure--> inactive --activate--> active      a configuration that fails is tried again
"""

import traceback
from collections.abc import Callable

from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.timer import Timer

from policy.errors import InputError
from ros_nodes.bridge import STEADY

RETRY = 2_000_000_000  # ns until a configuration that failed is tried again


class AutostartNode(LifecycleNode):
    """Its subclass calls `autostart` where it is asked to."""

    _start: Timer | None = None  # while it starts itself
    _starting = False  # a transition is its own
    _failure = ""  # why the newest transition failed

    def autostart(self) -> None:
        """Configure and activate as soon as the executor spins, unless somebody else does either first."""
        self._start = self.create_timer(0.0, self._autostarted, clock=STEADY)

    def _autostarted(self) -> None:
        self._starting = True
        try:
            if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
                self._end_autostart()
                self.trigger_activate()
        finally:
            self._starting = False
        if self._start is not None:  # one timer for all tries
            self._start.timer_period_ns = RETRY
            self._start.reset()

    def _attempt(
        self, doing: str, work: Callable[[], TransitionCallbackReturn], undo: Callable[[], object]
    ) -> TransitionCallbackReturn:
        """A transition that fails where `work` raises; it is undone, and said, as rclpy would drop the error."""
        try:
            done = work()
        except Exception as error:
            text = str(error)
            if not isinstance(error, InputError):
                text = f"{doing} failed: {type(error).__name__}: {text}; look at the traceback in the log of this node"
            if self._failure != text:  # with autostart it is tried again and again
                self.get_logger().error(text if isinstance(error, InputError) else traceback.format_exc())
            self._failure = text
            undo()
            return TransitionCallbackReturn.FAILURE
        self._failure = ""
        return done

    def _end_autostart(self) -> None:
        """Leave the rest to whoever makes transitions."""
        if self._start is not None:
            self.destroy_timer(self._start)
            self._start = None

    def _LifecycleNodeMixin__change_state(self, transition_id: int) -> TransitionCallbackReturn:
        """A transition that the current state does not have fails, where rclpy raises and ends the process."""
        if not self._starting:
            self._end_autostart()
        valid = {int(transition[0]) for transition in self._state_machine.available_transitions}
        if transition_id not in valid:
            label = self._state_machine.current_state[1]
            self.get_logger().warning(f"no transition {transition_id} from the state {label}; the node stays {label}")
            return TransitionCallbackReturn.FAILURE
        return super()._LifecycleNodeMixin__change_state(transition_id)  # type: ignore[misc]  # name-mangled
