"""Ours and LeRobot's ACT on the same episodes for the same time: success on one task and on many.

    python -m benchmarks.act --data data/act --out out/act          after `make lerobot`

    one    demonstrations of one task; both know what to do without being told
    all    demonstrations of eight tasks; ours is told which, ACT reads no instruction

ACT learns from a LeRobot data set that policy.convert makes of the same bags (PNG), from scratch, at LeRobot's learning
rate (act_1e-5) and at ten times of it (act_1e-4), and is evaluated as a served policy, by the same command. All cores
train one policy at a time, for `--minutes`. Existing results are kept, and the same command continues.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from benchmarks.child import tied
from benchmarks.made_by import read, record_of, require_same, write
from benchmarks.peer import ROOT, python
from benchmarks.study import run_steps
from policy.convert import convert
from policy.errors import InputError, exit_code
from policy.robot.contract import load
from sim.success_rate import wilson_interval

SEED, RECIPE = 1_740_000, "chunk"
SETS = {
    "one": ("put_red", 100),
    "all": ("open_drawer,close_drawer,slider_left,slider_right,lamp_on,lamp_off,put_red,put_blue", 25),
}
RATES = {"act_1e-5": 1e-5, "act_1e-4": 1e-4}
TRAINED, WEIGHTS, DESCRIBED = "done.txt", "model.safetensors", Path("meta", "stats.json")


def mapping(path: Path) -> Path:
    """Which key of LeRobot's is which of ours."""
    contract = load("tabletop")
    spec, names = contract.spec, list(contract.spec.action)
    mapped = {
        "rate": contract.rate,
        "horizon": spec.horizon,
        "cameras": {camera: {"key": f"observation.images.{camera}"} for camera in spec.cameras},
        "state": [{"key": "observation.state", "names": list(spec.state)}],
        "actions": {"width": len(names), "groups": [{"names": names, "columns": list(range(len(names)))}]},
    }
    path.write_text(yaml.safe_dump(mapped, sort_keys=False))
    return path


@contextmanager
def served(data: Path, trained: Path) -> Iterator[str]:
    """The address of a trained ACT."""
    command = tied([python(), ROOT / "benchmarks" / "lerobot_act.py", "serve", data, trained])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            if not address:
                raise InputError("LeRobot's server did not start; see what it printed")
            yield address
        finally:
            server.terminate()


def ours(kind: str, bags: Path, args: argparse.Namespace) -> dict[str, Any]:
    """The report of our recipe."""
    folder = args.out / f"{kind}_ours"
    training = ["policy.train", "--recipe", RECIPE, "--bags", bags, "--minutes", args.minutes, "--out", folder / "run"]
    steps = [training, ["policy.export", folder / "run", "--out", folder / "model"]]
    steps.append(["sim.evaluate", folder / "model", *evaluation(kind, folder, args)])
    return run_steps(f"ours, {kind}", folder, steps, folder / "eval" / "report.json", threads=args.threads)


def act(name: str, kind: str, data: Path, args: argparse.Namespace) -> dict[str, Any]:
    """The report of ACT at one learning rate."""
    folder = args.out / f"{kind}_{name}"
    folder.mkdir(parents=True, exist_ok=True)
    trained = folder / "trained"
    training = ["train", data, str(trained), "--minutes", args.minutes, "--rate", RATES[name]]
    training += ["--threads", args.threads, "--chunk", load("tabletop").spec.horizon]
    require_same(folder / "training.json", record_of([training], [data / DESCRIBED]), folder / TRAINED)
    if not (folder / TRAINED).exists():
        print(f"{name}, {kind}: trains, see {folder / TRAINED}", flush=True)
        aside = folder / f"{TRAINED}.part"
        command = [python(), ROOT / "benchmarks" / "lerobot_act.py", *training]
        with aside.open("w") as log:
            if subprocess.run(tied(command), stdout=log, env=os.environ | {"HF_HUB_OFFLINE": "1"}).returncode:
                raise InputError(f"the training of {name} failed; see what it printed")
        aside.rename(folder / TRAINED)
    with served(data, trained) as address:
        options = ["--mapping", mapping(folder / "mapping.yaml"), *evaluation(kind, folder, args)]
        steps, report = [["sim.evaluate", address, *options]], folder / "eval" / "report.json"
        return run_steps(f"{name}, {kind}", folder, steps, report, inputs=[trained / WEIGHTS, data / DESCRIBED])


def evaluation(kind: str, folder: Path, args: argparse.Namespace) -> list[Any]:
    """Unseen starts of the tasks that were learnt."""
    few = ["--chains", 0, "--films", 0, "--processes", 1, "--seed", SEED]
    return ["--tasks", SETS[kind][0], "--episodes", args.episodes, *few, "--out", folder / "eval"]


def main() -> None:
    """Record, convert, train, evaluate and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.act", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of the recordings, made where they are missing"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20.0, help="of each training, on all cores")
    parser.add_argument("--episodes", type=int, default=100, help="of each task")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", nargs="+", choices=SETS, default=list(SETS))
    args = parser.parse_args()
    lines = ["| | " + " | ".join(("ours", *RATES)) + " |", "| --- " * (2 + len(RATES)) + "|"]
    for kind in args.only:
        tasks, count = SETS[kind]
        bags, data = args.data / kind / "bags", args.data / kind / "lerobot"
        command = ["sim.record", "--tasks", tasks, "--episodes", str(count), "--out", str(bags), "--plain"]
        subprocess.run(tied([sys.executable, "-m", *command]), check=True)
        converted, made = data.with_name("lerobot.json"), record_of([["policy.convert", bags]])
        if not data.exists() or read(converted) != made:
            shutil.rmtree(data, ignore_errors=True)
            convert(bags, data, load("tabletop"))
            write(converted, made)
        reports = [ours(kind, bags, args), *(act(name, kind, data, args) for name in RATES)]
        cells = []
        for report in reports:
            of = [(rate["successes"], rate["episodes"]) for rate in report["tasks"].values()]
            done, played = (sum(counts) for counts in zip(*of, strict=True))
            low, high = wilson_interval(done, played)
            cells.append(f"{done / played:.1%} ({low:.1%} to {high:.1%}) of {played}")
        lines.append(f"| {kind}: {tasks} | {' | '.join(cells)} |")
        (args.out / "table.md").write_text("\n".join(lines) + "\n")
    print(*lines, sep="\n")


if __name__ == "__main__":
    sys.exit(exit_code(main))
