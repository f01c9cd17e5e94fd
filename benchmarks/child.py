"""Commands that a benchmark starts end when it does, also where it is killed: none goes on computing for nobody."""

from collections.abc import Iterable


def tied(command: Iterable[object]) -> list[str]:
    """A command that gets SIGTERM once the thread that starts it is gone; a training keeps what it has learnt."""
    return ["setpriv", "--pdeathsig", "TERM", *map(str, command)]  # of util-linux, which every Linux has
