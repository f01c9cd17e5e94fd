"""What is simulated: world, seed and task, and what makes it harder: latency, schedule, another look."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from policy.errors import InputError, unknown
from policy.running.schedule import STRATEGIES, choose
from policy.running.session import Session, check_robot
from sim import initial_states, shifts
from sim.worlds import WORLDS, load
from sim.worlds.interface import STEP_NS, World

MOST_LATENCY, LATENCY_STEP = 2000.0, STEP_NS / 1e6  # ms; a part of a step would be simulated as a whole one


@dataclass(frozen=True, slots=True)
class Scene:
    """Choices of the operator."""

    world: str
    seed: int
    task: str = ""  # one that is possible at the start, and judged; "": any layout
    latency_ms: float = 0.0  # that an inference takes
    schedule: str = ""  # of policy.running.schedule; "": as the model says
    shift: str = shifts.NONE

    def check(self, session: Session) -> type[World]:
        """The class of the world; `InputError` for a choice that cannot be simulated with this policy."""
        kind = load(self.world)
        check_robot(kind.contract().spec, session.spec, f"the world {self.world} is another robot", "take another")
        if self.task and self.task not in kind.tasks:
            raise unknown("task", self.task, kind.tasks)
        initial_states.check_seed(self.seed)
        if not 0 <= self.latency_ms <= MOST_LATENCY or self.latency_ms % LATENCY_STEP:
            raise InputError(
                f"got a latency of {self.latency_ms:g} ms, expected a multiple of {LATENCY_STEP:g}, a control step, "
                f"from 0 to {MOST_LATENCY:g}"
            )
        choose(self.schedule or None, session.spec)
        if self.shift not in (looks := [shifts.NONE, *shifts.shift_names("all", kind)]):
            raise unknown("shift", self.shift, looks)
        return kind

    def lay_out(self, world: World) -> None:
        """Begin anew, as chosen."""
        if self.task:
            initial_states.start(world, world.tasks[self.task], self.seed, "home")
        else:
            world.reset(np.random.default_rng(self.seed))
        shifts.shift(world, self.shift, self.seed)

    def shown(self) -> dict[str, Any]:
        """As the page shows it."""
        return asdict(self)


def choices(session: Session) -> dict[str, Any]:
    """What can be chosen with this policy: worlds of its robot with their tasks and looks, and schedules."""
    found: dict[str, Any] = {}
    for name in WORLDS:
        try:
            kind = load(name)
            check_robot(kind.contract().spec, session.spec, name, "")
        except (InputError, ImportError):  # another robot, or one whose simulator is not installed
            continue
        found[name] = {"tasks": list(kind.tasks), "shifts": [shifts.NONE, *shifts.shift_names("all", kind)]}
    if not found:
        raise InputError(f"no world of {', '.join(WORLDS)} is the robot of this policy; the console cannot simulate it")
    schedules = [name for name in STRATEGIES if name != "rtc" or "committed" in session.spec.reads]
    return {
        "worlds": found,
        "schedules": schedules,
        "most_latency_ms": MOST_LATENCY,
        "latency_step_ms": LATENCY_STEP,
        "most_seed": initial_states.MOST_SEED,
    }
