"""What makes pictures of the benchmark's scene fast: no reflections, and what a camera cannot see is not drawn."""

import mujoco

ARM_GROUP = 3  # geom group of the arm's links; the benchmark has collision geoms in 0 and visual ones in 1
BEHIND = ("robot0_eye_in_hand",)  # cameras on the hand, which the links are behind


def fast(model: mujoco.MjModel) -> None:
    """Prepare a model: no multisampling, and the links in a group of their own."""
    model.vis.quality.offsamples = 0
    for i in range(model.ngeom):
        if model.body(model.geom_bodyid[i]).name.startswith("robot0_link") and model.geom_group[i] == 1:
            model.geom_group[i] = ARM_GROUP


def visible(camera: str) -> mujoco.MjvOption:
    """What is drawn for a camera of the benchmark."""
    return _FROM_THE_HAND if camera in BEHIND else _EVERYTHING


def _option(arm: bool) -> mujoco.MjvOption:
    option = mujoco.MjvOption()
    option.geomgroup[0], option.geomgroup[ARM_GROUP] = 0, arm
    return option


_EVERYTHING, _FROM_THE_HAND = _option(arm=True), _option(arm=False)
