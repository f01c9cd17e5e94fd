"""A demonstration as stitching and reversing read it, and the phases of the hand around a contact.

    contact   ...................|--------------|.....................
              free    | approach | in contact   | retreat |   free
                      APPROACH_STEPS            RETREAT_STEPS

Letters as in policy/spec.py: T steps, A action dimension.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from policy.spec import MODES

FORWARD, ROLLBACK, ADVANCE = range(len(MODES))
APPROACH_STEPS = 20  # steps before a contact, or before something is placed, in which the hand moves to it
RETREAT_STEPS = 12  # steps after a contact in which the hand moves away
CONTACT_GAP = 6  # steps: two contacts this close count as one


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A recorded episode, reduced to the joints that actions command, in the units of the actions."""

    state: np.ndarray  # (T, A)
    actions: np.ndarray  # (T, A) set-points
    contact: np.ndarray  # (T,) bool

    def contacts(self) -> list[tuple[int, int]]:
        """First step and end (exclusive) of each contact, short gaps filled."""
        edges = np.flatnonzero(np.diff(np.concatenate([[0], fill_gaps(self.contact), [0]]).astype(np.int8)))
        return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))

    def onset(self, t: int) -> int | None:
        """First step of the contact that holds at step t; None without contact."""
        return next((first for first, end in self.contacts() if first <= t < end), None)


def fill_gaps(contact: np.ndarray) -> np.ndarray:
    """Contact (T,) bool without its gaps of at most CONTACT_GAP steps."""
    filled, touched = np.array(contact, bool), np.flatnonzero(contact)
    for first, second in pairwise(touched):
        if second - first <= CONTACT_GAP:
            filled[first:second] = True
    return filled
