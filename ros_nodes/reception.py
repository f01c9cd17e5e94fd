"""When a message was received, by the clock of a node, though its callback runs later. No ROS here.

wall clock      look ........ received ........ look (the callback runs)
node's clock     s1  ........    ?     ........  s2

The node's clock is the same one, or simulated with use_sim_time. A node with much to do calls back late: its clock in
the callback would tell a delay that the message did not have.
"""

from collections import deque

LOOKS = 1000  # at both clocks that are kept; a message older than all of them was received at the first


class Reception:
    """Two clocks side by side, looked at whenever a message is taken."""

    def __init__(self) -> None:
        self._looks: deque[tuple[int, int]] = deque(maxlen=LOOKS)  # wall, node [ns]

    def time(self, received: int, wall: int, node: int) -> int:
        """The node's time [ns] at which a message was received.

        `received` and `wall`, which is now, are of the wall clock [ns]; `received` is 0 where the middleware does not
        say it. `node` is the node's clock now.
        """
        if self._looks and (wall < self._looks[-1][0] or node < self._looks[-1][1]):
            self._looks.clear()  # a clock was set back
        later = wall, node
        self._looks.append(later)
        if not received:
            return node
        for look in reversed(self._looks):
            if look[0] <= received:
                share = (received - look[0]) / max(later[0] - look[0], 1)
                return look[1] + round(share * (later[1] - look[1]))
            later = look
        return later[1]
