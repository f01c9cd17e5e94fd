"""Tasks that no single frame can tell how to do: what was seen before must be remembered.

put_back                 |stack one block on another   |put it back where it was
do_what_the_lamp_said    |look at the lamp: * or * *   |do what the lamp said: once left, twice right
"""

from itertools import pairwise
from typing import Any

import numpy as np

from sim.worlds.interface import STEP_NS, TaskIn
from sim.worlds.tabletop.table import OPEN, Table
from sim.worlds.tabletop.tasks import slider, stack
from sim.worlds.tabletop.tasks.blocks import clear, grasp, on_table
from sim.worlds.tabletop.tasks.motions import CLOSED, Motion, fixed, grip, reach, rise, stay
from sim.worlds.tabletop.tasks.phrasings import PHRASINGS
from sim.worlds.tabletop.tasks.task import Task

BACK = 0.04  # m from where it was
BLINK = (8, 12)  # control steps for which the lamp is lit, and dark before the next: at least two strides of memory
BEGIN, AFTER = (4, 12), (6, 20)  # control steps before the first and after the last possible blink


class PutBack(Task):
    """Put the block that was stacked back where it was."""

    name, kind, grasps = "put_back", "put_back", True
    moved_body = "red"
    phrasings = PHRASINGS["put_back"]
    reworded = ("bring it back to where it was before", "the block should be back in its old place")
    new_words = ("restore the cube to its original position", "relocate it to its former spot")

    def possible(self, world: Table) -> bool:
        return any(task.possible(world) for task in stack.TASKS)

    def arrange(self, world: Table, rng: np.random.Generator) -> None:
        possible = [task for task in stack.TASKS if task.possible(world)]
        first = possible[rng.integers(len(possible))]
        world.notes.update(first=first, block=first.moved_body, place=world.position(first.moved_body))

    def first(self, world: Table) -> TaskIn[Any]:
        first: TaskIn[Any] = world.notes["first"]
        return first

    def success(self, world: Table) -> bool:
        block, place = world.notes["block"], world.notes["place"]
        away = np.linalg.norm(world.position(block)[:2] - place[:2])
        return bool(away < BACK and on_table(world, block) and clear(world, block) and not world.touched(block))

    def motion(self, world: Table) -> Motion:
        block, place = world.notes["block"], world.notes["place"]
        for _ in range(3):
            if not self.success(world):
                yield from grasp(world, block)
                slip = world.tcp - world.position(block)
                yield from reach(world, fixed(place + slip + np.array([0, 0, 0.003])), CLOSED, 0.010, 0.014)
                yield from grip(world, OPEN)
        yield from rise(world, OPEN)


class LookAtTheLamp(Task):
    """Keep still while the lamp blinks; the first part of `do_what_the_lamp_said`."""

    name, kind, moved_body = "look_at_the_lamp", "look", "bulb"
    phrasings = PHRASINGS["look_at_the_lamp"]
    reworded = ("see the lamp and watch",)
    new_words = ("observe the lamp",)

    def possible(self, world: Table) -> bool:
        return True

    def success(self, world: Table) -> bool:
        return bool(world.time_ns >= world.notes["blinked"])

    def motion(self, world: Table) -> Motion:
        point = world.tcp
        while not self.success(world):
            yield from stay(point, OPEN, 1)
        yield from stay(point, OPEN, 12)


LOOK = LookAtTheLamp()


class LampSaid(Task):
    """The lamp has blinked once: move the slider left; twice: right."""

    name, kind, moved_body = "do_what_the_lamp_said", "lamp_said", "slider"
    phrasings = PHRASINGS["do_what_the_lamp_said"]
    reworded = ("please do as the lamp told you", "do it, what the light said")
    new_words = ("obey the lamp's signal", "carry out the instruction of the lamp")

    def possible(self, world: Table) -> bool:
        return True

    def arrange(self, world: Table, rng: np.random.Generator) -> None:
        left, right = slider.TASKS
        left.undecided(world, rng)
        world.set_lamp(False)
        times = int(rng.integers(1, 3))
        # Equally many draws and steps for one blink and for two, so that the time tells nothing.
        durations = [int(rng.integers(*BEGIN)), *(int(n) for n in rng.integers(*BLINK, 4)), int(rng.integers(*AFTER))]
        edges = np.cumsum(durations)
        lit = [edge for i, edge in enumerate(pairwise(edges)) if i in (0, 2)[:times]]
        steps = 0

        def blink() -> None:
            nonlocal steps
            steps += 1
            if steps <= edges[-1]:
                world.set_lamp(any(begin <= steps < end for begin, end in lit))

        world.watchers.append(blink)
        over = world.time_ns + int(edges[-1]) * STEP_NS
        world.notes.update(first=LOOK, blinked=over, meant=(left, right)[times - 1], blinks=times)

    def first(self, world: Table) -> TaskIn[Any]:
        first: TaskIn[Any] = world.notes["first"]
        return first

    def success(self, world: Table) -> bool:
        return bool(world.notes["meant"].success(world))

    def motion(self, world: Table) -> Motion:
        yield from world.notes["meant"].motion(world)


TASKS = (PutBack(), LampSaid())
