"""Jobs on a Ray cluster of two machines, one of which is lost on the way: the same bags and the same report."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy.data.cache import open_cache
from policy.robot.contract import load
from tests import tiny

ROOT = Path(__file__).parent.parent


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *map(str, command)], cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def machines() -> Iterator[Any]:
    """Two nodes of one processor each."""
    from ray.cluster_utils import Cluster  # of the extra ray, which test-all installs

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    yield made
    made.shutdown()


@pytest.mark.heavy
def test_what_a_lost_machine_was_doing_is_done_again(machines: Any, tmp_path: Path) -> None:
    other = machines.add_node(num_cpus=1)
    options = ["--tasks", "lamp_on,open_drawer", "--episodes", "6", "--plain"]
    command = ["sim.record", *options, "--out", tmp_path / "far", "--ray", machines.address]
    recording = subprocess.Popen(
        [sys.executable, "-m", *map(str, command)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    until = time.monotonic() + 120
    while len(list((tmp_path / "far").glob("*/metadata.yaml"))) < 3:
        assert time.monotonic() < until and recording.poll() is None, recording.stdout and recording.stdout.read()
        time.sleep(0.2)
    machines.remove_node(other, allow_graceful=False)
    said, _ = recording.communicate(timeout=240)
    assert recording.returncode == 0, said
    assert run("sim.record", *options, "--out", tmp_path / "near", "--processes", "1").returncode == 0
    far, near = (open_cache(tmp_path / name, load("tabletop")) for name in ("far", "near"))
    assert far.bags == near.bags and len(far.bags) == 12
    np.testing.assert_array_equal(far.state, near.state)
    np.testing.assert_array_equal(far.actions, near.actions)


@pytest.mark.heavy
def test_an_evaluation_is_the_same_on_a_cluster(machines: Any, tmp_path: Path) -> None:
    tiny.write_model(tmp_path / "model", ramp=0.0)
    options = [tmp_path / "model", "--tasks", "lamp_on,lamp_off", "--episodes", "2", "--chains", "1", "--films", "1"]
    for name, where in (("far", ["--ray", machines.address]), ("near", ["--processes", "1"])):
        done = run("sim.evaluate", *options, "--out", tmp_path / name, *where)
        assert done.returncode == 0, done.stdout + done.stderr
    far, near = (json.loads((tmp_path / name / "report.json").read_text()) for name in ("far", "near"))
    assert {k: v for k, v in far.items() if k != "command"} == {k: v for k, v in near.items() if k != "command"}
    assert len(list((tmp_path / "far" / "videos").glob("*.mp4"))) == 1


@pytest.mark.heavy
def test_an_error_of_a_job_is_said_as_it_is(machines: Any, tmp_path: Path) -> None:
    done = run("sim.evaluate", tmp_path / "none", "--out", tmp_path / "out", "--ray", machines.address)
    assert done.returncode == 2 and "no model folder" in done.stderr


@pytest.mark.heavy
def test_no_cluster_is_a_sentence(tmp_path: Path) -> None:
    done = run("sim.record", "--tasks", "lamp_on", "--episodes", "1", "--out", tmp_path, "--ray", "127.0.0.1:1")
    assert done.returncode == 2 and "no Ray cluster at 127.0.0.1:1" in done.stderr


def test_without_ray_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from policy.errors import InputError
    from sim.cluster import cluster

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"needs Ray.*pip install"), cluster("auto"):
        pass
