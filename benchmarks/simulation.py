"""Pictures and physics of the table, beside FrankaKitchen of gymnasium-robotics: the same arm, as it is shipped.

    python -m benchmarks.simulation

    pictures   96x96, of one camera after the other, with a control step of the resting arm after every ten
    physics    simulated seconds a second, without pictures: control steps of 50 ms here, of 80 ms there

With one process and with two at once, whose rates are added up; the two worlds take turns.
"""

import sim.headless  # noqa: F401, I001  first: it chooses how MuJoCo renders

import argparse
import json
import multiprocessing
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import gymnasium
import numpy as np

from policy.errors import exit_code
from sim.worlds.interface import RATE
from sim.worlds.tabletop.appearance import CAMERAS
from sim.worlds.tabletop.table import SIZE
from sim.worlds.tabletop.world import Tabletop

SECONDS, TURNS, BETWEEN = 3.0, 3, 10  # of a measurement, of each, pictures from one control step to the next
Rates = tuple[float, float]  # pictures a second, simulated seconds a second


def rate(call: Callable[[int], object]) -> float:
    """Calls a second."""
    call(0)
    began, done = perf_counter(), 0
    while (took := perf_counter() - began) < SECONDS:
        done += 1
        call(done)
    return done / took


def tabletop(_: int) -> Rates:
    """This project's world."""
    world = Tabletop()
    world.reset(np.random.default_rng(0))
    action = world.setpoint()

    def picture(i: int) -> None:
        if i % BETWEEN == 0:
            world.step(action)
        world.render(CAMERAS[i % 2], SIZE, SIZE)

    def step(i: int) -> None:
        action[0] = 0.2 * np.sin(0.1 * i)
        world.step(action)

    return rate(picture), rate(step) / RATE


def kitchen(_: int) -> Rates:
    """FrankaKitchen-v1, in the quality it comes with."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = gymnasium.make(
            "gymnasium_robotics:FrankaKitchen-v1", render_mode="rgb_array", width=SIZE, height=SIZE
        ).unwrapped
        env.reset(seed=0)
    action = np.zeros(env.action_space.shape or (), np.float32)

    def picture(i: int) -> None:
        if i % BETWEEN == 0:
            env.step(action)
        env.render()

    def step(i: int) -> None:
        action[0] = 0.2 * np.sin(0.1 * i)
        env.step(action)

    pictures, steps = rate(picture), rate(step)
    return pictures, steps * float(env.robot_env.dt)  # type: ignore[attr-defined]  # of this environment


WORLDS: dict[str, Callable[[int], Rates]] = {"tabletop": tabletop, "FrankaKitchen-v1": kitchen}


def table(figures: dict[str, Any]) -> list[str]:
    """Rates of both worlds, with one process and with two."""
    lines = ["| world, processes | pictures a second | simulated seconds a second |", "| --- | --- | --- |"]
    for name, rates in figures.items():
        lines.append(f"| {name} | {rates['pictures']:.1f} | {rates['simulated_seconds']:.1f} |")
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.simulation", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--out", type=Path, help="also written as JSON")
    args = parser.parse_args()
    context, found = multiprocessing.get_context("spawn"), {}
    for processes in (1, 2):
        runs: dict[str, list[Rates]] = {name: [] for name in WORLDS}
        for _ in range(TURNS):
            for name, world in WORLDS.items():
                with context.Pool(processes, maxtasksperchild=1) as pool:
                    pictures, seconds = zip(*pool.map(world, range(processes), chunksize=1), strict=True)
                runs[name].append((sum(pictures), sum(seconds)))
        for name, rates in runs.items():
            pictures_s, seconds_s = (median(values) for values in zip(*rates, strict=True))
            found[f"{name}, {processes}"] = {"pictures": pictures_s, "simulated_seconds": seconds_s}
            print(f"{processes} process(es), {name:17} {pictures_s:7.1f} pictures/s, {seconds_s:7.1f} s/s", flush=True)
    if args.out:
        args.out.write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    sys.exit(exit_code(main))
