"""What a result was made by: the commands, and what they read; kept beside the result and compared on resume.

    {"policy.train --samples": "200", "policy.export": "out/run", ..., "content of data/tasks": "5e0c..."}

What the commands make themselves, below the values of --out, is no input of theirs.
"""

import hashlib
import json
import shlex
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from policy.data.bag_files import bags_in
from policy.errors import InputError
from policy.learning import checkpoint
from policy.running.policy_client import SCHEMES
from sim.evaluation_run import fingerprint

Command = Sequence[Any]  # module, arguments; those that are `Path`s may be read
Record = dict[str, str]
SERVED = "a served policy"


def record_of(commands: Sequence[Command], inputs: Sequence[Path] = ()) -> Record:
    """Every option of the commands, and the content of what they read, `inputs` included."""
    record: dict[str, list[str]] = {}
    for module, *arguments in commands:
        name = str(module)
        for argument in map(str, arguments):
            name = f"{module} {argument}" if argument.startswith("--") else name
            values = record.setdefault(name, [])
            if argument != name.rpartition(" ")[2]:
                values.append(SERVED if argument.startswith(SCHEMES) else argument)
    read = {str(path): content(path) for path in [*_read(commands), *inputs]}
    options = {name: shlex.join(values) for name, values in record.items()}
    return options | {f"content of {path}": what for path, what in read.items()}


def _read(commands: Sequence[Command]) -> Iterator[Path]:
    made = [after for _, *of in commands for before, after in pairwise(of) if before == "--out"]
    for _, *arguments in commands:
        for path in arguments:
            if isinstance(path, Path) and not any(path.is_relative_to(out) for out in made):
                yield path


def content(path: Path) -> str:
    """SHA-256 of what a model folder runs, a run has learnt or a file holds, and of the names of bags; "" for none."""
    if (path / "policy.onnx").exists():
        return fingerprint(path)
    if trained := checkpoint.latest(path):
        path = trained / "ema.safetensors"
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    bags = "\n".join(str(bag.relative_to(path)) for bag in bags_in(path))
    return hashlib.sha256(bags.encode()).hexdigest() if bags else ""


def read(file: Path) -> Record | None:
    """What `write` wrote, None where nothing is there."""
    found: Record | None = json.loads(file.read_text()) if file.exists() else None
    return found


def write(file: Path, record: Record) -> None:
    """Keep a record, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_suffix(".part")
    aside.write_text(json.dumps(record, indent=1) + "\n")
    aside.rename(file)


def require_same(file: Path, record: Record, result: Path) -> None:
    """Keep a record in `file` before its commands run; `InputError` if there is another, or `result` without one."""
    earlier = read(file)
    if earlier is None and result.exists():
        raise InputError(f"{result} exists without its {file.name}; give another --out, or remove {result.parent}")
    if earlier is not None and earlier != record:
        differ = "; ".join(
            f"{name}: {earlier.get(name)!r} there, {record.get(name)!r} asked for"
            for name in {**record, **earlier}
            if earlier.get(name) != record.get(name)
        )
        raise InputError(f"{result} is made otherwise ({differ}); give another --out, or remove {file.parent}")
    write(file, record)
