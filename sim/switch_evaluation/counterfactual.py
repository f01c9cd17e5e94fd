"""The counterfactual of a switch: the same layout and first instruction, and no switch."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sim.rollout import steps_until_success
from sim.switch_evaluation.recorded_episode import RecordedEpisode
from sim.worlds.interface import RATE, Task

AFTER = 3 * RATE  # control steps recorded after success, or after the time of the task
LATE = RATE  # control steps after the last contact in which a switch is late
CONTACT_GAP = 6  # control steps: contacts this close are one, as a pushed body bounces
COMPARED = RATE  # control steps that must follow a switch, to compare it with
EARLIEST = 2  # control steps before the first switch


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """When a switch is possible, and the set-points without it; T control steps."""

    setpoints: np.ndarray  # (T, A)
    contact: np.ndarray  # (T,) bool, after each control step
    can_switch: np.ndarray  # (T,) bool: after this control step the next instruction can be given
    success_step: int | None  # control steps until success had held, None where it did not
    success_began: int | None  # control steps until the success that held began

    def switch_steps(self, phase: str) -> np.ndarray:
        """All switches of a phase, each as the number of control steps before it.

        contact        .........|-------------|............
        switch           early  |     mid     |  late
                                        A done: LATE steps
        """
        contact = np.flatnonzero(self.contact)
        end = self.success_step or len(self.contact) - AFTER
        if not (contact < end).any():
            return np.empty(0, int)
        last = contact[contact < end][-1]
        for step in contact[contact > last]:
            if step - last > CONTACT_GAP:
                break
            last = step
        late = np.arange(last + 2, min(last + 2 + LATE, len(self.contact) - COMPARED))
        steps: np.ndarray = {
            "early": np.arange(EARLIEST, contact[0] + 1),
            "mid": contact[contact <= last] + 1,
            "late": late[~self.contact[late - 1]] if self.success_step else late[:0],
        }[phase]
        return np.asarray(steps[self.can_switch[steps - 1]])


def run_counterfactual(episode: RecordedEpisode, task: Task, can_switch: Callable[[], bool]) -> Counterfactual:
    """Play an episode of `task`; `can_switch` is asked after each control step."""
    allowed: list[bool] = []

    def step() -> None:
        episode.step()
        allowed.append(can_switch())

    success_step = steps_until_success(task, episode.world, step, task.steps)
    for _ in range(AFTER):
        step()
    began = None if success_step is None else success_step - episode.world.success_steps + 1
    return Counterfactual(
        np.array(episode.setpoints), np.array(episode.contact), np.array(allowed), success_step, began
    )
