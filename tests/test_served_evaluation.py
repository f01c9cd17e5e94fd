"""`sim.evaluate` of a policy that is served: as of the policy itself, whatever is evaluated."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.policy_servers import MAPPING, Serving, ours, stub
from tests.tiny import write_model

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Serving]:
    """A server of the model in tmp_path / "tiny"."""
    write_model(tmp_path / "tiny", switches=True)
    with ours(tmp_path / "tiny") as serving:
        yield serving


def evaluate(model: str | Path, out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One process of `sim.evaluate`, which films nothing."""
    command = [sys.executable, "-m", "sim.evaluate", str(model), "--out", str(out), "--processes", "1", "--films", "0"]
    command += [*arguments, "--episodes", "1"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


@pytest.mark.parametrize(
    "arguments",
    [
        ("--tasks", "lamp_on", "--chains", "0"),
        pytest.param(("--switch", "mid", "--pairs", "1"), marks=pytest.mark.heavy),
        pytest.param(("--tasks", "lamp_on", "--shift", "noise"), marks=pytest.mark.heavy),
        pytest.param(("--tasks", "lamp_on", "--latency-ms", "100", "--schedule", "replace"), marks=pytest.mark.heavy),
    ],
    ids=lambda arguments: arguments[2] if isinstance(arguments, tuple) else None,
)
def test_an_evaluation_of_a_served_policy_is_that_of_the_policy(
    served: Serving, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """Episode for episode, whatever is evaluated."""
    for model, out in ((tmp_path / "tiny", "here"), (served.url, "there")):
        done = evaluate(model, tmp_path / out, *arguments)
        assert done.returncode == 0, done.stderr
    here, there = ((tmp_path / out / "episodes.jsonl").read_text().splitlines() for out in ("here", "there"))
    assert sorted(here) == sorted(there) and here


def test_an_evaluation_whose_server_is_gone_ends_with_a_sentence(served: Serving, tmp_path: Path) -> None:
    """It is no failure of the policy: what was played is kept."""
    plain = ("--tasks", "lamp_on", "--chains", "0")
    served.stop()
    gone = evaluate(served.url, tmp_path / "gone", *plain)
    assert gone.returncode == 2 and "Connection refused" in gone.stderr and not (tmp_path / "gone").exists()
    served.start()
    mapping = tmp_path / "mine.yaml"
    mapping.write_text(MAPPING)
    for kind in (plain, ("--words", "pairs"), ("--switch", "mid", "--pairs", "1")):
        with stub(lambda _: "no more") as ends:
            stopped = evaluate(ends.serving.url, tmp_path / kind[1], *kind, "--mapping", str(mapping))
        assert stopped.returncode == 2 and "what was played is kept" in stopped.stderr, stopped.stderr
