"""Write anew what a model folder knows to do: `python -m sim.teach models/tabletop`.

From the phrasings with which a world's demonstrations are recorded, without the bags that the model was trained on;
`policy.export` writes the same file from those.
"""

import argparse
import sys
from pathlib import Path

from policy.errors import InputError, exit_code, unknown
from policy.learning import instruction_classifier
from policy.running.session import Session
from sim.fitting import require_robot
from sim.worlds import DEFAULT, load


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m sim.teach", description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path, help="a model folder")
    parser.add_argument("--world", default=DEFAULT, help="a name in sim/worlds")
    parser.add_argument("--tasks", nargs="+", help="those that the model was trained on, if not all of the world")
    args = parser.parse_args()
    tasks = load(args.world).tasks
    for name in args.tasks or []:
        if name not in tasks:
            raise unknown("task", name, tasks)
    if not (args.model / "policy.onnx").is_file():
        raise InputError(f"{args.model} is no model folder: expected one with policy.onnx; give one that was exported")
    session = Session(args.model, 1, "cpu")
    require_robot(session, str(args.model), args.world)
    chosen = args.tasks or list(tasks)
    instruction_classifier.write(args.model, [(name, text) for name in chosen for text in tasks[name].phrasings])
    print(f"{args.model}: {sum(len(tasks[name].phrasings) for name in chosen)} sentences of {len(chosen)} tasks")


if __name__ == "__main__":
    sys.exit(exit_code(main))
