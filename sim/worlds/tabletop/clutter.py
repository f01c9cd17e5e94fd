"""Objects that are in no task. They are seen and touch nothing, so that a variation changes pictures only."""

from typing import NamedTuple

import mujoco
import numpy as np

BOX, CYLINDER, SPHERE, CAPSULE, ELLIPSOID = (
    getattr(mujoco.mjtGeom, f"mjGEOM_{kind}") for kind in ("BOX", "CYLINDER", "SPHERE", "CAPSULE", "ELLIPSOID")
)
STORED = (0.45, 0.0, 0.0)  # m: within the scene, whose extent sets the near plane of the cameras
HIDDEN, SHOWN = 5, 0  # groups of geoms: a hidden one costs no time
HALF_TURN = (0.7071, 0.7071, 0.0, 0.0)  # a capsule or cylinder lies along y


class Part(NamedTuple):
    """One geom of an object."""

    kind: int
    size: tuple[float, ...]  # m, as MuJoCo has it
    at: tuple[float, float, float]  # m, above the table's top
    rgb: tuple[float, float, float]
    quat: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0)


# Seen in recordings.
TRAINING: dict[str, tuple[Part, ...]] = {
    "can": (Part(CYLINDER, (0.026, 0.045), (0, 0, 0.045), (0.62, 0.64, 0.68)),),
    "die": (Part(BOX, (0.012, 0.012, 0.012), (0, 0, 0.012), (0.93, 0.91, 0.84)),),
    "brick": (Part(BOX, (0.045, 0.02, 0.025), (0, 0, 0.025), (0.58, 0.36, 0.28)),),
    "plum": (Part(SPHERE, (0.022,), (0, 0, 0.022), (0.30, 0.08, 0.25)),),
    "plate": (Part(CYLINDER, (0.06, 0.006), (0, 0, 0.006), (0.80, 0.82, 0.85)),),
    "pen": (Part(CAPSULE, (0.006, 0.06), (0, 0, 0.006), (0.10, 0.12, 0.16), HALF_TURN),),
    "jar": (
        Part(CYLINDER, (0.03, 0.03), (0, 0, 0.03), (0.70, 0.55, 0.32)),
        Part(CYLINDER, (0.031, 0.007), (0, 0, 0.067), (0.25, 0.24, 0.23)),
    ),
    "stone": (Part(ELLIPSOID, (0.035, 0.025, 0.016), (0, 0, 0.016), (0.48, 0.47, 0.44)),),
}
# Seen in evaluations only (`--shift clutter`): other shapes in other colours.
HELD_OUT: dict[str, tuple[Part, ...]] = {
    "banana": (Part(CAPSULE, (0.016, 0.06), (0, 0, 0.016), (0.95, 0.84, 0.16), HALF_TURN),),
    "mug": (
        Part(CYLINDER, (0.036, 0.042), (0, 0, 0.042), (0.18, 0.55, 0.72)),
        Part(BOX, (0.016, 0.006, 0.022), (0.048, 0, 0.042), (0.18, 0.55, 0.72)),
    ),
    "book": (Part(BOX, (0.07, 0.05, 0.011), (0, 0, 0.011), (0.74, 0.22, 0.42)),),
    "orange": (Part(SPHERE, (0.034,), (0, 0, 0.034), (0.98, 0.56, 0.12)),),
    "bottle": (
        Part(CYLINDER, (0.024, 0.05), (0, 0, 0.05), (0.12, 0.36, 0.22)),
        Part(CYLINDER, (0.009, 0.02), (0, 0, 0.12), (0.12, 0.36, 0.22)),
    ),
}


def add_clutter(spec: "mujoco.MjSpec") -> None:
    """A body of its name for each object, hidden."""
    for name, parts in {**TRAINING, **HELD_OUT}.items():
        body = spec.worldbody.add_body(name=name, pos=STORED)
        for part in parts:
            body.add_geom(
                type=part.kind,
                size=[*part.size, 0.0, 0.0][:3],
                pos=part.at,
                quat=part.quat,
                rgba=[*part.rgb, 1.0],
                contype=0,
                conaffinity=0,
                group=HIDDEN,
            )


def free_place(
    model: mujoco.MjModel, data: mujoco.MjData, taken: list[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """A point (2,) [m] of the table top away from what tasks use and from the objects in `taken`."""
    kept_free = [*_occupied(model, data), *(_around(xy, 0.10, 0.10) for xy in taken)]
    while True:
        xy = rng.uniform((0.05, -0.52), (0.86, 0.52))
        if not any(x0 < xy[0] < x1 and y0 < xy[1] < y1 for x0, x1, y0, y1 in kept_free):
            return np.asarray(xy)


def _occupied(model: mujoco.MjModel, data: mujoco.MjData) -> list[tuple[float, float, float, float]]:
    """Rectangles x0, x1, y0, y1 [m] that fixtures, their motion and loose objects take, with room for an object."""
    at = {name: np.array(model.body(name).pos[:2]) for name in ("bowl", "cabinet", "rail", "lamp")}
    return [
        (0.0, 0.25, -0.2, 0.2),  # the robot
        (0.25, 0.76, 0.05, 0.25),  # the puck's lane
        _around(at["bowl"], 0.13, 0.13),
        _around(at["cabinet"] - (0.11, 0), 0.26, 0.14),  # with the drawer open and a hand at it
        _around(at["rail"], 0.08, 0.30),
        _around(at["lamp"] + (0, 0.03), 0.11, 0.14),
        *(_around(data.body(name).xpos[:2], 0.09, 0.10) for name in ("red", "green", "blue", "puck")),
    ]


def _around(xy: np.ndarray, x: float, y: float) -> tuple[float, float, float, float]:
    return float(xy[0]) - x, float(xy[0]) + x, float(xy[1]) - y, float(xy[1]) + y
