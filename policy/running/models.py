"""Where exported policies are found: by path, or by name in the checkout and beside an installed package."""

import os
import sysconfig
from pathlib import Path

from policy.errors import InputError


def find_model(name_or_path: str | Path) -> Path:
    """The folder of an exported policy: the path itself if it exists, else `<name>` or `models/<name>` by name.

    A name is looked up in each of `model_folders`, in this order. `InputError` lists where it was looked for.
    """
    path = Path(name_or_path)
    if path.is_dir():
        return path
    searched = [path]
    if path.parent in (Path(), Path("models")) and path.name:
        searched += [folder / path.name for folder in model_folders()]
        for folder in searched[1:]:
            if folder.is_dir():
                return folder
    listed = ", ".join(str(folder.absolute()) for folder in searched)
    raise InputError(
        f"no model folder at {path}: looked for {listed}; expected a folder with policy.onnx, spec.json and "
        "contract.yaml; give its path, or export one with `python -m policy.export <run> --out <folder>`"
    )


def model_folders() -> list[Path]:
    """Folders of models: the checkout's, pip's (environment, then user) and those of the colcon workspaces in use.

    checkout     <checkout>/models
    pip          <prefix>/share/midstream/models     prefix of the environment; ~/.local
    colcon       <prefix>/share/midstream/models     each prefix of AMENT_PREFIX_PATH
    """
    prefixes = [sysconfig.get_path("data"), sysconfig.get_path("data", sysconfig.get_preferred_scheme("user"))]
    prefixes += filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep))
    shared = [Path(prefix, "share", "midstream", "models") for prefix in prefixes]
    return list(dict.fromkeys([Path(__file__).parents[2] / "models", *shared]))
