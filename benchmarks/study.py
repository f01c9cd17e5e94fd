"""Trainings that are compared: steps of commands for each variant, one variant on each core, resumable."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import Any, TypeVar

from benchmarks.child import tied
from benchmarks.made_by import Command, record_of, require_same
from policy.errors import InputError

Report = dict[str, Any]
Result = TypeVar("Result")
MADE_BY = "made_by.json"  # in the folder of a report


def run_steps(
    name: str,
    folder: Path,
    steps: Sequence[Command],
    report: Path,
    threads: int = 1,
    inputs: Sequence[Path] = (),
) -> Report:
    """The report that the steps make, unless it exists; their output is in log.txt.

    `inputs` is what they read beside the paths among their arguments. `InputError` where a step fails, or where
    `folder` was begun by other steps or from other inputs.
    """
    require_same(folder / MADE_BY, record_of(steps, inputs), report)
    if not report.exists():
        with (folder / "log.txt").open("a") as log:
            for module, *arguments in steps:
                print(f"{name}: {module}, see {folder / 'log.txt'}", flush=True)
                command = [sys.executable, "-m", module, *map(str, arguments)]
                environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
                if subprocess.run(tied(command), stdout=log, stderr=log, env=environment).returncode:
                    raise InputError(f"{module} of {name} failed; see the end of {folder / 'log.txt'}")
    loaded: Report = json.loads(report.read_text())
    return loaded


def on_each_core(names: Sequence[str], work: Callable[[str], Result]) -> list[Result]:
    """What `work` gives for each name, one at a time on each core, in the order of the names."""
    cores: Queue[int] = Queue()
    for core in sorted(os.sched_getaffinity(0)):
        cores.put(core)

    def pinned(name: str) -> Result:
        core = cores.get()
        os.sched_setaffinity(0, {core})  # of this thread, and so of the processes that it starts
        try:
            return work(name)
        finally:
            cores.put(core)

    with ThreadPoolExecutor(cores.qsize()) as pool:
        return list(pool.map(pinned, names))
