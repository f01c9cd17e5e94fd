"""The folder that a command is given as `--out`."""

from pathlib import Path

from policy.errors import InputError

EVALUATION = "settings.json"  # in a folder of sim.evaluate


def output_folder(path: Path) -> Path:
    """Make it where it is not there; `InputError` where a file is in its place or it cannot be made."""
    for place in (path, *path.parents):
        if place.is_file():
            what = "is a file" if place == path else f"lies in {place}, which is a file"
            raise InputError(f"--out {path} {what}; expected a folder: give another name")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make --out {path} ({error.strerror or error}); give another name") from None
    return path


def page_folder(path: Path) -> Path:
    """As `output_folder`, for a command that writes index.html: that of an evaluation is never overwritten."""
    if (path / EVALUATION).exists():
        raise InputError(f"--out {path} holds an evaluation, whose page would be lost; give another folder")
    return output_folder(path)
