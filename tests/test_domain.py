"""ROS domains are claimed: nobody shares one by chance, and what ends gives its own back."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="install the extra `ros`")

from rclpy.context import Context
from rclpy.node import Node

from policy.errors import InputError
from ros_nodes import domain

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks of these tests' own, as they claim all domains."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(domain.tempfile, "tempdir", None)


def test_no_two_claims_are_equal_in_threads_and_processes() -> None:
    command = [
        sys.executable,
        "-c",
        "from ros_nodes.domain import claim_domain as c; print(c().id, flush=True); input()",
    ]
    processes = [
        subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(4)
    ]
    claims: list[domain.Domain] = []
    threads = [threading.Thread(target=lambda: claims.append(domain.claim_domain())) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        ids = [int(p.stdout.readline()) for p in processes if p.stdout] + [c.id for c in claims]
        assert len(set(ids)) == len(ids) == 44
    finally:
        for process in processes:
            process.communicate("\n")
        for claim in claims:
            claim.release()


def test_a_claim_lasts_until_it_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    claim = domain.claim_domain()
    monkeypatch.setattr(domain, "DOMAINS", range(claim.id, claim.id + 1))
    with pytest.raises(InputError, match="end other ROS processes"):
        domain.claim_domain()
    claim.release()
    assert domain.claim_domain().id == claim.id


def test_a_domain_that_a_running_node_uses_is_not_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = Context()  # which takes the ports of the process's first participant
    other = domain.claim_domain()
    elsewhere.init(domain_id=other.id)
    claim = domain.claim_domain()
    monkeypatch.setattr(domain, "DOMAINS", range(claim.id, claim.id + 1))
    context = Context()
    context.init(domain_id=claim.id)
    first, node = Node("first", context=elsewhere), Node("unclaimed", context=context)
    claim.release()
    try:
        with pytest.raises(InputError, match="are in use"):
            domain.claim_domain()
    finally:
        for made, its in ((first, elsewhere), (node, context)):
            made.destroy_node()
            its.try_shutdown()
    assert domain.claim_domain().id == claim.id


def test_what_killed_processes_left_of_a_claimed_domain_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = domain.claim_domain()  # another test, or another process, may be in any given one
    free.release()
    monkeypatch.setattr(domain, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(domain, "DOMAINS", range(free.id, free.id + 1))
    first, last = 7400 + 250 * free.id, 7400 + 250 * (free.id + 1) - 1
    names = [f"fastrtps_port{first}", f"sem.fastrtps_port{last}_mutex", f"fastrtps_port{last}_el"]
    others = [f"fastrtps_port{first - 1}", f"fastrtps_port{last + 1}", "fastrtps_0123"]
    for name in names + others:
        (tmp_path / name).touch()
    domain.claim_domain()
    assert {p.name for p in tmp_path.iterdir() if not p.name.endswith(".lock")} == set(others)
