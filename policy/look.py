"""A page to look at recordings with: pictures, curves, what is wrong, and which episodes are unlike the others.

    python -m policy.look data/mine --contract so101 --out out/look
    python -m policy.look data/mine --contract so101 --rerun          the same, and every frame in Rerun

It works on recordings that training refuses, too. The page opens from disk and loads nothing.
"""

import argparse
import sys
from pathlib import Path

from policy import folders
from policy.data.progress import Progress
from policy.data.sources import find, passed_over
from policy.errors import InputError, exit_code
from policy.looking import rerun_stream
from policy.looking.page import write
from policy.looking.quality import rate
from policy.looking.recording import LookedRecording, look_at
from policy.robot import contract as contracts
from policy.robot.contract import Contract


def look(recordings: Path, contract: Contract, out: Path) -> Path:
    """Write the page and return its path; `InputError` where there is no recording or the page cannot be written."""
    stored = find(recordings)
    looked: list[LookedRecording] = []
    for one in stored:
        with Progress(one.name):
            looked.append(look_at(one, contract))
    episodes = [episode for recording in looked for episode in recording.episodes]
    qualities = rate(episodes, contract.spec.action_base)
    folders.make_for_page(out)
    path = out / "index.html"
    try:
        write(path, str(recordings), contract, looked, qualities, passed_over(recordings))
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror or error}); free space or give another --out") from None
    for episode, quality in zip(episodes, qualities, strict=True):
        if quality.outlier:
            print(f"{episode.recording}: {quality.outlier}")
    refused = sum(recording.refused for recording in looked)
    print(f"{len(looked)} recordings, {len(episodes)} episodes, {refused} cannot be used; {path}")
    return path


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m policy.look", description=__doc__.split("\n")[0])
    parser.add_argument("recordings", type=Path, help="folder of rosbag2 recordings or LeRobot data sets, or one")
    parser.add_argument("--contract", default="tabletop", help="a name in policy/contracts, or a YAML file")
    parser.add_argument("--out", type=Path, default=Path("out/look"), help="folder of the page")
    parser.add_argument(
        "--rerun",
        nargs="?",
        const="",
        metavar="FILE.rrd",
        help="also show every frame in Rerun, or write a file for it; needs the extra `rerun`",
    )
    args = parser.parse_args()
    contract = contracts.load(args.contract)
    if args.rerun is not None:
        rerun_stream.package()  # what is missing is an error before anything is read
    look(args.recordings, contract, args.out)
    if args.rerun is not None:
        file = Path(args.rerun) if args.rerun else None
        sent = rerun_stream.stream(find(args.recordings), contract, file)
        print(f"{sent} episodes in {file or 'the viewer of Rerun'}")


if __name__ == "__main__":
    sys.exit(exit_code(main))
