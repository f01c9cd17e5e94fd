"""Serves a policy over a network, in the protocol of openpi's policy servers.

    python -m policy.serve models/tabletop                      on ws://127.0.0.1:8000
    python -m policy.serve models/tabletop --host 0.0.0.0       to other machines too: nobody is asked who he is

docs/serving.md has what goes over the network, and how a robot uses it: `-p model:=ws://host:8000`.
"""

import argparse
import logging
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

from policy.errors import InputError, exit_code
from policy.running.policy_server import bind
from policy.running.providers import PROVIDERS
from policy.running.session import Session

PORT = 8000


def main() -> None:
    """Parse the arguments, load the policy, serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m policy.serve", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", help="folder of the exported policy, or the name of a shipped one")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 is every one of this machine"
    )
    parser.add_argument("--port", type=int, default=PORT, help=f"default {PORT}; 0 takes one that is free")
    parser.add_argument("--threads", type=int, default=2, help="of one inference on the CPU")
    parser.add_argument("--provider", default="auto", help=f"auto or one of {', '.join(PROVIDERS)}")
    args = parser.parse_args()
    if args.threads < 1:
        raise InputError(f"--threads {args.threads}: expected a whole number of at least 1")
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    logging.getLogger("websockets").setLevel(logging.ERROR)
    session = Session(args.model, args.threads, args.provider)
    server = bind(session, Path(args.model).name, args.host, args.port)
    host, port = server.socket.getsockname()[:2]
    print(f"{args.model} on {session.provider} is served at ws://{host}:{port}", flush=True)
    if session.parity is not None:
        print(session.parity, flush=True)
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell may have started it with SIGINT ignored
        signal.signal(number, _interrupt)
    with suppress(KeyboardInterrupt):
        server.serve_forever()
    server.shutdown()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(exit_code(main))
