"""What a switching policy is told of its own past while it learns: the session's book, drawn from recordings.

    bag           A: forward ........|B: rollback ... advance ... forward .............
    contact              ____________ ______                           _______
    previous      A, or another at   |A                           until here|B
                  the very beginning |

On the robot (policy.running.tracker) all of this is some steps old and now and then wrong; so it is here.
"""

from itertools import pairwise
from typing import Protocol

import numpy as np

from policy.errors import InputError
from policy.spec import MODES
from policy.switching.demonstration import fill_gaps

AGE = 8  # steps between two inferences, the most that what is told of the past is old
KEPT = (16, 33)  # steps without contact and forward, until the previous instruction is let go: three inferences
OPENING = 32  # steps at the start of an episode in which there may be a previous instruction
OTHER = 0.5  # chance that there is one; otherwise it is the present one, in other words
WRONG = 0.15  # chance that the contact told is wrong: told on, it must not keep itself on
DONE = 12  # last steps of an episode in which it is done
NOWHERE = -1


class Recorded(Protocol):
    """What is read of policy.data.cache.Cache: N frames, E episodes."""

    state: np.ndarray  # (N, S)
    contact: np.ndarray | None  # (N,) bool
    mode: np.ndarray  # (N,) into MODES
    episode: np.ndarray  # (N,)
    bounds: np.ndarray  # (E + 1,)
    broken: np.ndarray  # (E,) bool
    bags: list[str]  # (E,)


class ContextLabels:
    """The past of every frame of a cache; `InputError` if bags do not tell contact."""

    def __init__(self, cache: Recorded) -> None:
        if cache.contact is None:
            raise InputError(
                "some bags do not tell contact, which a switching policy learns from: no label, no "
                "gripper in the contract, no efforts in their joint states; mark the gripper in the "
                "contract (gripper: true), or train a recipe that does not switch"
            )
        frames = len(cache.contact)
        self.cache = cache
        self.contact = np.zeros(frames, bool)
        self.onset = np.full(frames, NOWHERE)  # frame in which the present contact began
        self.first = np.zeros(frames, np.int64)  # first frame of the bag
        starts = [e for e in range(len(cache.bags)) if e == 0 or cache.bags[e] != cache.bags[e - 1]]
        for e, following in pairwise([*starts, len(cache.bags)]):
            begin, end = int(cache.bounds[e]), int(cache.bounds[following])
            self.first[begin:end] = begin
            self.contact[begin:end] = fill_gaps(cache.contact[begin:end])
        begins = self.contact & ~np.roll(self.contact, 1)
        begins |= self.contact & (self.first == np.arange(frames))
        self.onset = np.where(self.contact, np.maximum.accumulate(np.where(begins, np.arange(frames), 0)), NOWHERE)
        episodes = range(len(cache.bags))
        self.switched = np.array([e > 0 and cache.bags[e] == cache.bags[e - 1] for e in episodes])
        ends = [self._ends(e, begins) for e in episodes]
        self.free, self.taken = np.array([free for free, _ in ends]), np.array([taken for _, taken in ends])

    def _ends(self, e: int, begins: np.ndarray) -> tuple[int, int]:
        """Frames from which a previous instruction has nothing left to undo, and of the next contact's onset."""
        begin, end = int(self.cache.bounds[e]), int(self.cache.bounds[e + 1])
        free = np.flatnonzero((self.cache.mode[begin:end] == 0) & ~self.contact[begin:end])
        taken = np.flatnonzero(begins[begin:end])
        return begin + int(free[0]) if len(free) else end, begin + int(taken[0]) if len(taken) else end

    @property
    def execution_targets(self) -> np.ndarray:
        """What the policy is to tell, float32 (N, 5): contact, done, one of the modes."""
        left = np.repeat(self.cache.bounds[1:], np.diff(self.cache.bounds)) - np.arange(len(self.contact))
        done = (left <= DONE) & ~self.cache.broken[self.cache.episode]
        modes = np.arange(len(MODES)) == self.cache.mode[:, None]
        return np.concatenate([self.contact[:, None], done[:, None], modes], 1).astype(np.float32)

    def draw(self, indices: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """One possible past of each frame: previous (B,) episode, contact (B, 1), origin (B, S)."""
        indices = np.asarray(indices)
        before = np.maximum(indices - rng.integers(1, AGE + 1, len(indices)), self.first[indices])
        touching = self.contact[before] & (before < indices)
        late = np.minimum(self.onset[before] + rng.integers(0, AGE, len(indices)), before)
        wrong = rng.random(len(indices)) < WRONG
        earlier = rng.integers(self.first[indices], indices + 1)  # where a contact began that is over
        row = np.where(touching, late, np.where(wrong, earlier, indices))
        told = (touching ^ wrong).astype(np.float32)[:, None]
        return {
            "previous_instruction": self._previous(indices, rng),
            "contact": told,
            "contact_origin": self.cache.state[row],
        }

    def _previous(self, indices: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        e, n = self.cache.episode[indices], len(indices)
        until = np.minimum(self.free[e] + rng.integers(*KEPT, n), self.taken[e] + rng.integers(1, AGE + 1, n))
        switched = self.switched[e] & (indices < until)
        opening = np.minimum(self.cache.bounds[e] + OPENING, self.taken[e])
        at_first = ~self.switched[e] & ~self.cache.broken[e] & (indices < opening) & (rng.random(n) < OTHER)
        return np.where(switched, e - 1, np.where(at_first, rng.integers(0, len(self.cache.bags), n), e))
