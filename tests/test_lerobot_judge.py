"""LeRobot's own package judges: it loads what we write and trains on it, and we read what it writes.

`make lerobot` sets up its environment; MIDSTREAM_LEROBOT names the Python of another one.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="install the extra `lerobot`")
pytest.importorskip("av", reason="install the extra `lerobot`")

from policy.data.cache import Cache, open_cache
from policy.spec import MODES
from tests import small, small_robot
from tests.demo_bag import CONTRACT
from tests.lerobot_sets import written

ROOT = Path(__file__).parent.parent
PYTHON = Path(os.environ.get("MIDSTREAM_LEROBOT") or ROOT / ".venv-lerobot" / "bin" / "python")
pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(not PYTHON.exists(), reason="LeRobot is not here: `make lerobot`"),
]
STEPS = 10
CLOSE = 2  # levels of 255: two decoders of one video


def lerobot(folder: Path, *arguments: object) -> str:
    """Run its Python with no network; what it prints."""
    done = subprocess.run(
        [str(PYTHON), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def loaded(data: Path, folder: Path) -> dict[str, np.ndarray]:
    """Every frame as LeRobot gives it."""
    lerobot(folder, ROOT / "tests" / "lerobot_judge.py", "load", data, folder / "loaded.npz")
    with np.load(folder / "loaded.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three episodes and a switch."""
    return small.switches(tmp_path_factory.mktemp("bags"))


@pytest.fixture(scope="module", params=[False, True], ids=["png", "video"])
def made(request: pytest.FixtureRequest, bags: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bool]:
    return written(bags, tmp_path_factory.mktemp("made") / "set", CONTRACT, request.param), request.param


def test_it_loads_what_we_write_frame_for_frame(bags: Path, made: tuple[Path, bool], tmp_path: Path) -> None:
    data, video = made
    cache, frames = open_cache(data if video else bags, CONTRACT), loaded(data, tmp_path)
    assert np.array_equal(frames["observation.state"], cache.state) and frames["action"].dtype == np.float32
    assert np.array_equal(frames["action"], cache.actions)
    assert np.array_equal(frames["midstream.stamp"], cache.stamps)
    assert frames["task"].tolist() == [cache.instructions[e] for e in cache.episode]
    assert frames["midstream.mode"].tolist() == [MODES[m] for m in cache.mode]
    assert frames["midstream.contact"].tolist() == cache.contact.astype(int).tolist()
    assert len(frames["observation.state"]) == 44
    for name, pictures in cache.images.items():
        apart = np.abs(frames[f"observation.images.{name}"].astype(int) - pictures[:])
        assert apart.max() <= (CLOSE if video else 0), name


def test_its_act_trains_on_what_we_write(made: tuple[Path, bool], tmp_path: Path) -> None:
    data, _ = made
    out = tmp_path / "run"
    printed = lerobot(
        tmp_path,
        *("-m", "lerobot.scripts.lerobot_train", "--dataset.repo_id=local/judged", f"--dataset.root={data}"),
        *("--dataset.video_backend=pyav", "--policy.type=act", "--policy.device=cpu", "--policy.push_to_hub=false"),
        *("--policy.pretrained_backbone_weights=null", "--policy.chunk_size=16", "--policy.n_action_steps=16"),
        *(f"--steps={STEPS}", "--batch_size=4", "--num_workers=0", "--log_freq=1", f"--save_freq={STEPS}"),
        *("--wandb.enable=false", f"--output_dir={out}"),
    )
    losses = [float(part.split("loss:")[1].split()[0]) for part in printed.splitlines() if "loss:" in part]
    assert len(losses) == STEPS and np.isfinite(losses).all() and losses[-1] < losses[0]
    assert (out / "checkpoints" / f"{STEPS:06d}" / "pretrained_model" / "model.safetensors").exists()


@pytest.mark.parametrize("video", [False, True], ids=["png", "video"])
def test_we_read_what_it_writes_frame_for_frame(video: bool, tmp_path: Path) -> None:
    data = tmp_path / "set"
    lerobot(tmp_path, ROOT / "tests" / "lerobot_judge.py", "write", data, *(["--video"] if video else []))
    with np.load(tmp_path / "set.npz") as arrays:
        given = dict(arrays)
    cache = open_cache(data, _contract())
    assert np.array_equal(cache.state, given["state"]) and np.array_equal(cache.actions, given["action"])
    assert [cache.instructions[e] for e in cache.episode] == given["task"].tolist()
    assert np.diff(cache.bounds).tolist() == [25, 13, 13, 27] and cache.incomplete.tolist() == [
        False,
        True,
        False,
        False,
    ]
    expected = loaded(data, tmp_path)["observation.images.front"] if video else given["image"]
    apart = np.abs(cache.images["front"][:].astype(int) - expected)
    assert apart.max() <= (CLOSE if video else 0)
    _there_and_back(data, cache, tmp_path)


def _contract() -> Any:
    camera = {"topic": "cam", "type": "sensor_msgs/msg/Image", "encoding": "rgb8", "height": 64, "width": 64}
    return small_robot.contract(cameras={"front": camera})


def _there_and_back(data: Path, cache: Cache, folder: Path) -> None:
    """Converted once more, its pictures are what they were, and LeRobot loads it again."""
    again = written(data, folder / "again", _contract())
    frames = loaded(again, folder)
    assert np.array_equal(frames["observation.images.front"], cache.images["front"][:])
    assert np.array_equal(frames["observation.state"], cache.state)


def test_the_versions_are_known(tmp_path: Path) -> None:
    versions = json.loads(lerobot(tmp_path, ROOT / "tests" / "lerobot_judge.py", "versions").splitlines()[-1])
    print(versions)
    assert versions["lerobot"] == "0.4.4" and versions["python"].startswith("3.11.")
