"""A ROS domain of one's own, so that tests, benchmarks and demos on one machine do not receive each other's messages.

claim_domain() -> 17     /tmp/ros_domain_17.lock is locked: nobody else claims it until it is released
                         UDP port 7410 + 250 * 17 is free: no running participant uses it, claimed or not
"""

import fcntl
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from random import SystemRandom

from policy.errors import InputError

# Ports of higher domains lie in the range from which Linux gives ports to outgoing connections.
DOMAINS = range(1, 102)
FIRST_PORT, PORTS = 7400, 250  # of domain 0, and of each domain (DDSI-RTPS 2.5, section 9.6.2)
SHARED_MEMORY = Path("/dev/shm")
SOCKETS = [path for path in (Path("/proc/net/udp"), Path("/proc/net/udp6")) if path.exists()]


class Domain:
    """A claimed ROS domain; it is released with the process at the latest.

    id   what ROS_DOMAIN_ID is set to
    """

    def __init__(self, number: int, descriptor: int) -> None:
        self.id = number
        self._descriptor = descriptor

    def release(self) -> None:
        """Let others claim the domain."""
        os.close(self._descriptor)


def claim_domain() -> Domain:
    """Claim a domain that nobody uses on this machine; `InputError` if there is none."""
    # a random order: a domain that was just released may still hold messages under way
    for number in SystemRandom().sample(DOMAINS, len(DOMAINS)):
        descriptor = _lock(Path(tempfile.gettempdir()) / f"ros_domain_{number}.lock")
        if descriptor is None:
            continue
        if _unused(number):
            _clear(number)
            return Domain(number, descriptor)
        os.close(descriptor)
    raise InputError(
        f"all ROS domains from {DOMAINS[0]} to {DOMAINS[-1]} are in use on this machine; end other ROS processes"
    )


def _lock(path: Path) -> int | None:
    """Descriptor of the locked file; None if another process, or this one, has locked it already."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
    except PermissionError:  # another user's
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _ports(number: int) -> range:
    return range(FIRST_PORT + PORTS * number, FIRST_PORT + PORTS * (number + 1))


def _unused(number: int) -> bool:
    """Whether no socket is bound to a port of a domain; which ones a participant takes depends on its process."""
    ports = _ports(number)
    sockets = [line.split()[1] for table in SOCKETS for line in table.read_text().splitlines()[1:]]
    return not any(int(address.rpartition(":")[2], 16) in ports for address in sockets)


def _clear(number: int) -> None:
    """Remove the shared memory of a domain's ports, which nobody uses."""
    for path in SHARED_MEMORY.glob("*fastrtps_port*"):
        port = re.search(r"port(\d+)", path.name)
        if port and int(port[1]) in _ports(number):
            with suppress(OSError):  # another user's
                path.unlink()
