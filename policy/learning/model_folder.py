"""A model folder that appears whole or not at all."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from policy.errors import InputError


@contextmanager
def new(out: Path) -> Iterator[Path]:
    """A folder to write a model into, which takes the place of `out` at the end, unless there is an error.

    `InputError` if `out` is something else than a model folder, holds the folder that one is in, or cannot be written.
    """
    given, out = out, out.resolve()  # "." has no name, and "models/.." is not beside what it names
    if Path.cwd().is_relative_to(out):
        raise InputError(
            f"--out {given} is the folder that this command runs in, or holds it, and would be replaced as a whole; "
            "give the name of a new folder, such as models/<name>"
        )
    old = out.with_name(f".{out.name}.old")
    if old.exists() and not out.exists():  # a command was killed between the two renames
        old.rename(out)
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / "policy.onnx").exists()):
        raise InputError(f"{out} exists and is not a model folder; give another --out")
    aside = out.with_name(f".{out.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
        yield aside
        if out.exists():
            shutil.rmtree(old, ignore_errors=True)  # of a command that was killed here
            out.rename(old)
        aside.rename(out)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror or error}; free space or give another --out") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
