"""`make console`: the robot in simulation, as a page that one watches, talks to and corrects."""

import argparse
import sys
from random import SystemRandom
from threading import Event

from console.scene import Scene
from console.server import ConsoleServer
from console.simulation import Simulation
from policy.errors import exit_code
from policy.running.session import Session
from sim import headless
from sim.worlds import DEFAULT


def main() -> None:
    """Simulate and serve, until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m console", description=__doc__)
    parser.add_argument(
        "--model", default="tabletop", help="folder of an exported policy, or the name of a shipped one"
    )
    parser.add_argument("--world", default=DEFAULT, help="a name in sim/worlds")
    parser.add_argument("--seed", type=int, help="the first layout; drawn where none is given")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; any but this machine needs --token")
    parser.add_argument("--port", type=int, default=8765, help="0: a free one")
    parser.add_argument("--token", default="", help="a secret of at least 16 characters, asked for by the page")
    parser.add_argument(
        "--stop-on-disconnect", action="store_true", help="hold the arm when the browser in control is lost"
    )
    args = parser.parse_args()
    headless.require()
    seed = SystemRandom().randrange(1_000_000, 10_000_000) if args.seed is None else args.seed
    session = Session(args.model, threads=2)
    simulation = Simulation(session, Scene(args.world, seed), args.model)
    try:
        server = ConsoleServer(simulation, args.host, args.port, args.token, args.stop_on_disconnect)
        server.start()
        print(
            f"console of {args.model} on {session.provider}, seed {seed}: {server.url}   (Ctrl-C ends it)", flush=True
        )
        try:
            Event().wait()
        finally:
            server.close()
    finally:
        simulation.close()


if __name__ == "__main__":
    sys.exit(exit_code(main))
