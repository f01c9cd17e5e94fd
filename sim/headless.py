"""Rendering without a display: the backend is chosen when `sim` is imported, as MuJoCo reads the choice only once."""

import ctypes
import os

from policy.errors import InputError

# In order of preference; both render in software where there is no GPU.
BACKENDS = {
    "egl": (("libEGL.so.1",), ("libEGL_nvidia.so.0", "libEGL_mesa.so.0")),
    "osmesa": (("libOSMesa.so.8", "libOSMesa.so.6"),),
}


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _choose() -> str | None:
    """The first backend with one library of each group; a choice of the user is kept."""
    if "MUJOCO_GL" not in os.environ:
        backend = next(
            (name for name, groups in BACKENDS.items() if all(any(map(_loads, group)) for group in groups)), None
        )
        if backend is None:
            return None
        os.environ["MUJOCO_GL"] = backend  # worker processes inherit it
    return os.environ["MUJOCO_GL"]


BACKEND = _choose()


def require() -> None:
    """Raise `InputError` where no known backend is installed."""
    if BACKEND is None:
        raise InputError(
            "MuJoCo cannot render: found neither EGL nor OSMesa; "
            "install EGL with `sudo apt install libegl1 libegl-mesa0 libgl1`"
        )
