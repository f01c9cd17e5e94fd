"""A lifecycle node that activates itself, where it is asked to, and that survives a transition it does not have.

unconfigured --configure--> inactive --activate--> active      a configuration that fails is tried again
"""

from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn

from ros_nodes.bridge import STEADY

RETRY = 2.0  # s until a configuration that failed is tried again


class AutostartNode(LifecycleNode):
    """Its subclass calls `autostart` where it is asked to."""

    def autostart(self) -> None:
        """Configure and activate as soon as the executor spins."""
        self._start = self.create_timer(0.0, self._autostarted, clock=STEADY)

    def _autostarted(self) -> None:
        self._start.cancel()
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()
        else:
            self._start = self.create_timer(RETRY, self._autostarted, clock=STEADY)

    def _LifecycleNodeMixin__change_state(self, transition_id: int) -> TransitionCallbackReturn:
        """A transition that the current state does not have fails, where rclpy raises and ends the process."""
        valid = {int(transition[0]) for transition in self._state_machine.available_transitions}
        if transition_id not in valid:
            label = self._state_machine.current_state[1]
            self.get_logger().warning(f"no transition {transition_id} from the state {label}; the node stays {label}")
            return TransitionCallbackReturn.FAILURE
        return super()._LifecycleNodeMixin__change_state(transition_id)  # type: ignore[misc]  # name-mangled
