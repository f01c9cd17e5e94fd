"""LeRobot's own package judges: it loads what we write and trains on it, and we read what it writes.

`make lerobot` sets up its environment; MIDSTREAM_LEROBOT names the Python of another one.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="install the extra `lerobot`")
pytest.importorskip("av", reason="install the extra `lerobot`")

from policy.data.cache import open_cache
from policy.spec import MODES
from tests import small, small_robot
from tests.demo_bag import CONTRACT
from tests.lerobot_sets import assert_same, written

ROOT = Path(__file__).parent.parent
PYTHON = Path(os.environ.get("MIDSTREAM_LEROBOT") or ROOT / ".venv-lerobot" / "bin" / "python")
pytestmark = pytest.mark.heavy
STEPS, KINDS = 10, ("image", "video")
CLOSE = 2  # levels of 255: two decoders of one video


def lerobot(folder: Path, *arguments: object) -> str:
    """Run its Python with no network; what it prints."""
    assert PYTHON.exists(), "LeRobot is not here: `make lerobot`, or MIDSTREAM_LEROBOT"
    done = subprocess.run(
        [str(PYTHON), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


class Judged(NamedTuple):
    """What we wrote, what LeRobot wrote, and every frame of each as LeRobot gives it."""

    bags: Path
    ours: dict[str, Path]  # image, video -> data set
    theirs: dict[str, Path]
    frames: dict[Path, dict[str, np.ndarray]]  # data set -> column -> values
    versions: dict[str, str]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """Three episodes and a switch; LeRobot does all its reading and writing in one process."""
    base = tmp_path_factory.mktemp("judged")
    bags = small.switches(base / "bags")
    ours = {kind: written(bags, base / f"ours_{kind}", CONTRACT, kind == "video") for kind in KINDS}
    theirs = {kind: base / f"theirs_{kind}" for kind in KINDS}
    arguments: list[object] = [argument for kind, data in theirs.items() for argument in ("write", data, kind)]
    for data in (*ours.values(), *theirs.values()):
        arguments += ["load", data, base / f"{data.name}_loaded.npz"]
    printed = lerobot(base, ROOT / "tests" / "lerobot_judge.py", *arguments)
    frames = {}
    for data in (*ours.values(), *theirs.values()):
        with np.load(base / f"{data.name}_loaded.npz") as arrays:
            frames[data] = dict(arrays)
    versions = json.loads(next(line for line in printed.splitlines() if line.startswith('{"python"')))
    return Judged(bags, ours, theirs, frames, versions)


@pytest.mark.parametrize("kind", KINDS)
def test_it_loads_what_we_write_frame_for_frame(judged: Judged, kind: str) -> None:
    data, video = judged.ours[kind], kind == "video"
    cache, frames = open_cache(data if video else judged.bags, CONTRACT), judged.frames[data]
    assert np.array_equal(frames["observation.state"], cache.state) and frames["action"].dtype == np.float32
    assert np.array_equal(frames["action"], cache.actions)
    assert np.array_equal(frames["midstream.stamp"], cache.stamps)
    assert frames["task"].tolist() == [cache.instructions[e] for e in cache.episode]
    assert frames["midstream.mode"].tolist() == [MODES[m] for m in cache.mode]
    assert cache.contact is not None and frames["midstream.contact"].tolist() == cache.contact.astype(int).tolist()
    assert len(frames["observation.state"]) == 44
    for name, pictures in cache.images.items():
        apart = np.abs(frames[f"observation.images.{name}"].astype(int) - pictures[:])
        print(f"{kind} {name}: {apart.max()} levels apart")
        assert apart.max() <= (CLOSE if video else 0), name


@pytest.mark.parametrize("kind", KINDS)
def test_its_act_trains_on_what_we_write(judged: Judged, kind: str, tmp_path: Path) -> None:
    """Its own command, with an ACT that is narrower than its default."""
    out = tmp_path / "run"
    printed = lerobot(
        tmp_path,
        *("-m", "lerobot.scripts.lerobot_train", "--dataset.repo_id=local/judged"),
        *(f"--dataset.root={judged.ours[kind]}", "--dataset.video_backend=pyav", "--policy.type=act"),
        *("--policy.device=cpu", "--policy.push_to_hub=false", "--policy.pretrained_backbone_weights=null"),
        *("--policy.chunk_size=16", "--policy.n_action_steps=16", "--policy.dim_model=128", "--policy.n_heads=4"),
        *("--policy.dim_feedforward=256", f"--steps={STEPS}", "--batch_size=4", "--num_workers=0", "--log_freq=1"),
        *(f"--save_freq={STEPS}", "--wandb.enable=false", f"--output_dir={out}"),
    )
    losses = [float(line.split("loss:")[1].split()[0]) for line in printed.splitlines() if " loss:" in line]
    print(f"ACT on {kind}: loss {losses[0]:.2f} -> {losses[-1]:.2f}")
    assert len(losses) == STEPS and np.isfinite(losses).all() and losses[-1] < losses[0]
    assert (out / "checkpoints" / f"{STEPS:06d}" / "pretrained_model" / "model.safetensors").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_we_read_what_it_writes_frame_for_frame(judged: Judged, kind: str, tmp_path: Path) -> None:
    data, video = judged.theirs[kind], kind == "video"
    with np.load(data.with_suffix(".npz")) as arrays:
        given = dict(arrays)
    camera = {"topic": "cam", "type": "sensor_msgs/msg/Image", "encoding": "rgb8", "height": 64, "width": 64}
    contract = small_robot.contract(cameras={"front": camera})
    cache = open_cache(data, contract)
    assert np.array_equal(cache.state, given["state"]) and np.array_equal(cache.actions, given["action"])
    assert [cache.instructions[e] for e in cache.episode] == given["task"].tolist()
    assert np.diff(cache.bounds).tolist() == [25, 13, 13, 27]
    assert cache.incomplete.tolist() == [False, True, False, False]
    expected = judged.frames[data]["observation.images.front"] if video else given["image"]
    apart = np.abs(cache.images["front"][:].astype(int) - expected)
    print(f"{kind}: {apart.max()} levels apart")
    assert apart.max() <= (CLOSE if video else 0)
    again = open_cache(written(data, tmp_path / "again", contract), contract)
    assert_same(again, cache)


def test_it_is_the_version_that_is_named(judged: Judged) -> None:
    print(judged.versions)
    assert judged.versions["lerobot"] == "0.4.4" and judged.versions["python"].startswith("3.11.")
