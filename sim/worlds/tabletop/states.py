"""The Franka at its table, seen without pictures: the state holds where every object is."""

import numpy as np

from policy.spec import Frame
from sim.worlds.interface import STEP_NS
from sim.worlds.tabletop.scene import BLOCKS
from sim.worlds.tabletop.world import Tabletop

SIZE = 8  # pixels of the one picture, which leads the frames and shows nothing but that it is another one
OBJECTS = (*BLOCKS, "puck", "bowl")


class TabletopStates(Tabletop):
    """State (36,): the joints and the opening, finger tips, blocks, puck, bowl, handle, slider, button, lamp.

    A policy of it trains in minutes on a CPU, which is what comparisons of many need; no robot measures such a state.
    """

    name = contract_name = "tabletop_states"

    def state(self) -> np.ndarray:
        points = [self.tcp, *(self.position(body) for body in OBJECTS)]
        points += [self.geom_position("handle"), self.position("slider"), self.position("button")]
        return np.concatenate([super().state(), *points, [self.lamp]]).astype(np.float32)

    def frame(self) -> Frame:
        count = self.time_ns // STEP_NS % 256
        return Frame(self.time_ns, {"clock": np.full((SIZE, SIZE, 3), count, np.uint8)}, self.state())
