"""Commands in a row, from nothing to the figures of a model; stopped at any time, the same ones go on."""

import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.child import tied
from benchmarks.made_by import read, record_of, write
from policy.errors import InputError


class Step(NamedTuple):
    """One command; what it makes, where making it again would be refused or cost time.

    It is made again by another command, or from other inputs; an evaluation refuses that and says what to do.
    """

    name: str
    arguments: Sequence[Any]
    makes: Path | None = None
    processes: int = 1  # more: by torchrun
    python: Path = Path(sys.executable)


def run(step: Step) -> None:
    """Run a step, unless what it makes is there, by this command from these inputs; `InputError` where it fails."""
    asked = record_of([step.arguments])
    if step.makes is not None and step.makes.exists() and read(kept(step.makes)) == asked:
        print(f"{step.name}: done already", flush=True)
        return
    module, *arguments = map(str, step.arguments)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(step.processes), "-m", module]
    command = [str(step.python), *(launcher if step.processes > 1 else ["-m", module]), *arguments]
    print(f"{step.name}: {shlex.join(command[1:])}", flush=True)
    began = time.monotonic()
    if subprocess.run(tied(command)).returncode:
        raise InputError(f"{step.name} failed; correct what it says, and give the same command again to go on")
    if step.makes is not None:
        write(kept(step.makes), asked)
    print(f"{step.name}: {(time.monotonic() - began) / 60:.0f} minutes", flush=True)


def kept(makes: Path) -> Path:
    """Where it is kept by what a step's folder was made: beside the folder, which an export replaces."""
    return makes.parent.with_name(f"{makes.parent.name}.made_by.json")


def run_until(steps: Sequence[Step], last: str) -> None:
    """Run the steps in order, all of them or up to the one that is named; `InputError` for an unknown name."""
    names = [step.name for step in steps]
    if last and last not in names:
        raise InputError(f"--until {last}: expected one of {', '.join(names)}")
    for step in steps[: names.index(last) + 1] if last else steps:
        run(step)
