"""Writes the page of a finished evaluation again and prints its figures as Markdown.

python -m sim.report out/eval
"""

import argparse
import sys
from pathlib import Path

from policy.errors import exit_code
from sim.evaluation_kinds import kind_of
from sim.evaluation_page.written import read_report, read_settings, write_page


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m sim.report", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="output folder of sim.evaluate")
    folder = parser.parse_args().folder
    kind = kind_of(read_settings(folder))
    write_page(kind, folder)
    print(kind.markdown(read_report(folder)))


if __name__ == "__main__":
    sys.exit(exit_code(main))
