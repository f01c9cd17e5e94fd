"""A policy learns from a data set what it learns from its bags: real pictures, as PNG and as video."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="install the extra `lerobot`")
pytest.importorskip("av", reason="install the extra `lerobot`")

from policy import train
from policy.data.cache import Cache, open_cache
from policy.errors import InputError
from policy.learning import trainer
from sim.record import main as record_demonstrations
from tests import small
from tests.demo_bag import CONTRACT
from tests.lerobot_sets import assert_same, written

pytestmark = pytest.mark.heavy
STEPS, BATCH = 12, 4
LEAST_DB = 35
VIDEO = "videos/observation.images.wrist/chunk-000/file-000.mp4"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bags of the simulator, and data sets of them."""
    base = tmp_path_factory.mktemp("roads")
    tasks = ["--tasks", "lamp_on,open_drawer"]
    record_demonstrations([*tasks, "--episodes", "2", "--out", str(base / "bags"), "--processes", "1"])
    written(base / "bags", base / "png", CONTRACT)
    written(base / "bags", base / "video", CONTRACT, video=True)
    return {name: base / name for name in ("bags", "png", "video")}


@pytest.fixture(scope="module")
def caches(folders: dict[str, Path]) -> dict[str, Cache]:
    return {name: open_cache(folder, CONTRACT) for name, folder in folders.items()}


def losses(folder: Path, out: Path, recipe: Path) -> np.ndarray:
    train.train(str(recipe), folder, out, samples=STEPS * BATCH)
    rows = list(csv.DictReader((out / "losses.csv").open()))
    return np.array([[float(row[name]) for name in ("loss", "action", "keyframe")] for row in rows])


def test_the_simulator_s_bags_survive_bit_for_bit(caches: dict[str, Cache]) -> None:
    assert_same(caches["bags"], caches["png"])
    assert_same(caches["bags"], caches["video"], pictures=False)


def test_video_is_within_35_db(caches: dict[str, Cache]) -> None:
    for name, pictures in caches["bags"].images.items():
        a, b = (np.asarray(x[:], np.float64) for x in (pictures, caches["video"].images[name]))
        each = 10 * np.log10(255**2 / np.maximum(((a - b) ** 2).mean((1, 2, 3)), 1e-9))
        print(f"{name}: {each.mean():.1f} dB, the worst frame {each.min():.1f} dB")
        assert each.min() >= LEAST_DB


def test_training_has_the_losses_of_the_bags(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "LOG_STEPS", 1)
    raw = small.shrink("chunk")
    raw["training"] |= {"held_out": 0.25, "learning_rate": 1e-3}
    recipe = small.write(tmp_path / "small.yaml", raw)
    bags, png, video = (losses(folder, tmp_path / name, recipe) for name, folder in folders.items())
    assert bags.shape == (STEPS, 3) and len(set(bags[:, 0])) == STEPS
    np.testing.assert_allclose(png, bags, rtol=1e-5)
    np.testing.assert_allclose(video, bags, rtol=0.02)
    print(f"losses differ by {np.abs(png / bags - 1).max():.1e} (PNG), {np.abs(video / bags - 1).max():.1e} (video)")


@pytest.mark.parametrize("cut", [False, True], ids=["missing", "truncated"])
def test_a_video_that_is_not_whole_is_refused(folders: dict[str, Path], tmp_path: Path, cut: bool) -> None:
    data = Path(shutil.copytree(folders["video"], tmp_path / "set", ignore=shutil.ignore_patterns(".cache")))
    if cut:
        content = (data / VIDEO).read_bytes()
        (data / VIDEO).write_bytes(content[: len(content) // 2])
    else:
        (data / VIDEO).unlink()
    expected = "cannot be decoded|has [0-9]+ frames at 20 Hz" if cut else "file-000.mp4 is not there, .*copy the data"
    with pytest.raises(InputError, match=expected):
        open_cache(data, CONTRACT)
