"""The Franka at its table, without pictures to speak of: the state holds where every object is."""

import numpy as np

from policy.spec import Frame
from sim.worlds.tabletop.scene import BLOCKS
from sim.worlds.tabletop.world import Tabletop

CAMERA, SIZE = "wrist", 8  # pixels of the one picture, which moves with the hand; it leads the frames and is not read
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
        return Frame(self.time_ns, {CAMERA: self.filtered(self.render(CAMERA, SIZE, SIZE))}, self.state())
