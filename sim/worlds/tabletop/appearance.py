"""How the table looks: lights, table top, cameras and clutter, by fields of the compiled model.

A variation (`vary`) is drawn for recordings, a shift (`SHIFTS`) for evaluations. The colours, textures and objects of
the shifts are in no variation. Both change pictures alone: the physics of an episode stays the same to the bit.
"""

from collections.abc import Callable

import mujoco
import numpy as np

from sim.worlds.tabletop import clutter, textures

CAMERAS = ("front", "wrist")
# Variation: the probability of each change in a recording that is varied, and its range.
PROBABILITY = {"light": 0.7, "table": 0.6, "cameras": 0.5, "clutter": 0.5}
LIGHT = (0.45, 1.7)  # factor, log-uniform
TURN = 0.35  # rad: how far the lamp above the table is turned, standard deviation
VALUE, SATURATION = (0.38, 0.95), (0.0, 0.45)  # of the table's colour
HUES = ((0.0, 0.15), (0.52, 1.0))  # all but the greens
CAMERA_SHIFT, CAMERA_TURN = 0.022, 0.055  # m, rad: the largest
OBJECTS = (1, 4)
# Shifts.
DARK, GREEN = (0.16, 0.14, 0.12), (0.26, 0.50, 0.30)
MOVED, TURNED = 0.02, np.deg2rad(3)  # m, rad

Shift = Callable[["Appearance", np.random.Generator], None]


class Appearance:
    """What can be changed of the look of a compiled scene, and its way back to the plain one."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        self._model, self._data = model, data
        self._table = model.geom("table").id
        head = model.vis.headlight
        self._fields = [
            model.light_diffuse,
            model.light_dir,
            head.ambient,
            head.diffuse,
            model.geom_rgba[self._table],
            model.geom_matid[self._table : self._table + 1],
            model.cam_pos,
            model.cam_quat,
        ]
        self._plain = [np.array(field) for field in self._fields]
        self._bodies = [model.body(name).id for name in (*clutter.TRAINING, *clutter.HELD_OUT)]
        self._objects = np.isin(model.geom_bodyid, self._bodies)
        self._stored = model.body_pos[self._bodies], model.body_quat[self._bodies]
        self._placed: list[np.ndarray] = []

    def plain(self) -> None:
        """As the scene was compiled."""
        for field, plain in zip(self._fields, self._plain, strict=True):
            field[...] = plain
        self._model.geom_group[self._objects] = clutter.HIDDEN
        self._model.body_pos[self._bodies], self._model.body_quat[self._bodies] = self._stored
        self._placed = []

    def vary(self, rng: np.random.Generator) -> str:
        """Draw a variation; what was changed, as words."""
        drawn = {name: bool(rng.random() < p) for name, p in PROBABILITY.items()}
        made = []
        if drawn["light"]:
            factor = float(np.exp(rng.uniform(*np.log(LIGHT))))
            self.light(factor, rng.normal(0, TURN, 2))
            made.append(f"light x{factor:.2f}")
        if drawn["table"]:
            texture = str(rng.choice(["", *textures.TRAINING]))
            self.table(table_colour(rng), texture)
            made.append(f"table {texture or 'coloured'}")
        if drawn["cameras"]:
            for camera in CAMERAS:
                self.camera(camera, _within(rng, CAMERA_SHIFT), _within(rng, CAMERA_TURN))
            made.append("cameras")
        if drawn["clutter"]:
            names = rng.permutation(list(clutter.TRAINING))[: rng.integers(*OBJECTS, endpoint=True)]
            self.clutter([str(name) for name in names], rng)
            made.append(f"objects {' '.join(map(str, names))}")
        return ", ".join(made) or "plain"

    def light(self, factor: float, turn: np.ndarray | None = None) -> None:
        """All lights times `factor`; the lamp above the table turned by (2,) rad."""
        model, head = self._model, self._model.vis.headlight
        for field in (model.light_diffuse, head.ambient, head.diffuse):
            field *= factor
        if turn is not None:
            direction = model.light_dir[0] + np.append(turn, 0.0)
            model.light_dir[0] = direction / np.linalg.norm(direction)
        mujoco.mj_camlight(model, self._data)

    def table(self, rgb: tuple[float, float, float] | np.ndarray | None, texture: str = "") -> None:
        """The table's top in a colour (None: its own), and with a texture of sim.worlds.tabletop.textures."""
        if rgb is not None:
            self._model.geom_rgba[self._table, :3] = rgb
        self._model.geom_matid[self._table] = self._model.material(texture).id if texture else -1

    def camera(self, name: str, shift: np.ndarray, turn: np.ndarray) -> None:
        """Move a camera by (3,) m in the frame that it is fixed to, and turn it by a rotation vector (3,) rad."""
        model, camera = self._model, self._model.camera(name).id
        model.cam_pos[camera] += shift
        angle = float(np.linalg.norm(turn))
        if angle > 0:
            by, turned = np.zeros(4), np.zeros(4)
            mujoco.mju_axisAngle2Quat(by, turn / angle, angle)
            mujoco.mju_mulQuat(turned, model.cam_quat[camera], by)
            model.cam_quat[camera] = turned
        mujoco.mj_camlight(model, self._data)

    def clutter(self, names: list[str], rng: np.random.Generator) -> None:
        """Put objects of sim.worlds.tabletop.clutter where they are in no task's way."""
        model, data = self._model, self._data
        for name in names:
            xy, yaw = clutter.free_place(model, data, self._placed, rng), rng.uniform(-np.pi, np.pi)
            self._placed.append(xy)
            body = model.body(name)
            body.pos[:] = [*xy, 0.0]
            body.quat[:] = [np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]
            self._show(body)

    def _show(self, body: "mujoco._structs._MjModelBodyViews") -> None:
        """Where the geoms of a body are, before the next physics step says so."""
        model, data = self._model, self._data
        matrix, quat = np.zeros(9), np.zeros(4)
        mujoco.mju_quat2Mat(matrix, body.quat)
        for geom in range(body.geomadr[0], body.geomadr[0] + body.geomnum[0]):
            model.geom_group[geom] = clutter.SHOWN
            data.geom_xpos[geom] = body.pos + matrix.reshape(3, 3) @ model.geom_pos[geom]
            mujoco.mju_mulQuat(quat, body.quat, model.geom_quat[geom])
            mujoco.mju_quat2Mat(data.geom_xmat[geom], quat)


def table_colour(rng: np.random.Generator) -> np.ndarray:
    """A colour (3,) of the table in recordings."""
    from colorsys import hsv_to_rgb

    width = [high - low for low, high in HUES]
    hue = rng.uniform(0, sum(width))
    hue = HUES[0][0] + hue if hue < width[0] else HUES[1][0] + hue - width[0]
    return np.array(hsv_to_rgb(hue, rng.uniform(*SATURATION), rng.uniform(*VALUE)))


def _within(rng: np.random.Generator, most: float) -> np.ndarray:
    """A vector (3,) of random direction, no longer than `most`."""
    return _direction(rng) * rng.uniform(0, most)


def _direction(rng: np.random.Generator) -> np.ndarray:
    vector = rng.normal(size=3)
    return np.asarray(vector / np.linalg.norm(vector))


def _cameras(look: Appearance, rng: np.random.Generator, shift: float, turn: float) -> None:
    for camera in CAMERAS:
        look.camera(camera, _direction(rng) * shift, _direction(rng) * turn)


SHIFTS: dict[str, Shift] = {
    "light_half": lambda look, rng: look.light(0.5),
    "light_bright": lambda look, rng: look.light(1.6),
    "table_dark": lambda look, rng: look.table(DARK),
    "table_green": lambda look, rng: look.table(GREEN),
    "table_textured": lambda look, rng: look.table(None, str(rng.choice(list(textures.HELD_OUT)))),
    "camera_moved": lambda look, rng: _cameras(look, rng, MOVED, 0.0),
    "camera_turned": lambda look, rng: _cameras(look, rng, 0.0, TURNED),
    "clutter": lambda look, rng: look.clutter(list(clutter.HELD_OUT), rng),
}
