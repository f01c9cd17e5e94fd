"""A renderer for what a policy sees: without shadows, reflections and sky, which cost most of the time."""

import atexit

import mujoco


def fast_renderer(model: mujoco.MjModel, height: int, width: int) -> mujoco.Renderer:
    """It closes itself at the end of the process: later, EGL is gone already and complains."""
    renderer = mujoco.Renderer(model, height, width)
    flag = mujoco.mjtRndFlag
    for off in (flag.mjRND_SHADOW, flag.mjRND_REFLECTION, flag.mjRND_SKYBOX, flag.mjRND_HAZE, flag.mjRND_FOG):
        renderer.scene.flags[off] = 0
    atexit.register(renderer.close)
    return renderer
