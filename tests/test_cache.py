"""The cache of decoded frames: resumed, added to, begun anew; and the windows and statistics of it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from policy.data import cache as dataset
from policy.data.bags import read_episodes
from policy.data.cache import Windows, open_cache, statistics
from policy.errors import InputError
from policy.robot.contract import load
from tests.demo_bag import CONTRACT, START, STEP, Item, action, demonstration, make, qpos, write

STEPS = (12, 7, 9)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    """Three bags, decoded."""
    folder = tmp_path_factory.mktemp("recorded")
    for i, steps in enumerate(STEPS):
        write(folder / f"bag{i}", demonstration(steps, seed=i, text=f"do {i}", task=f"t{i}"))
    open_cache(folder, CONTRACT)
    return folder


@pytest.fixture
def bags(recorded, tmp_path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(recorded, tmp_path / "bags"))  # keeps the times


@pytest.fixture
def no_decoding(monkeypatch):
    """Fail if a bag is decoded."""
    monkeypatch.setattr(dataset, "_decode_all", lambda *_: pytest.fail("decoded again"))


def assert_is_bags(cache, folder, names):
    """The cache holds what reading these bags one by one gives."""
    episodes = [e for name in names for e in read_episodes(folder / name, CONTRACT)]
    assert np.array_equal(cache.state, np.concatenate([e.state for e in episodes]))
    assert np.array_equal(cache.actions, np.concatenate([e.actions for e in episodes]))
    assert np.array_equal(cache.contact, np.concatenate([e.contact for e in episodes]))
    for name, images in cache.images.items():
        assert np.array_equal(images, np.concatenate([e.images[name] for e in episodes]))
    assert cache.instructions == [e.instruction for e in episodes]
    assert cache.tasks == [e.task for e in episodes]
    assert cache.bags == [name for name in names for _ in read_episodes(folder / name, CONTRACT)]
    modes = [np.zeros(len(e.stamps), np.uint8) if e.mode is None else e.mode for e in episodes]
    assert np.array_equal(cache.mode, np.concatenate(modes))
    assert np.diff(cache.bounds).tolist() == [len(e.stamps) for e in episodes]
    assert cache.episode.tolist() == [i for i, e in enumerate(episodes) for _ in e.stamps]


def test_cache_is_the_bags_and_is_read_from_disk(recorded, no_decoding):
    cache = open_cache(recorded, CONTRACT)
    assert_is_bags(cache, recorded, ["bag0", "bag1", "bag2"])
    assert isinstance(cache.images["front"], np.memmap) and not cache.images["front"].flags.writeable
    assert not cache.lost


def test_added_bags_cost_only_themselves(bags, monkeypatch):
    write(bags / "added", demonstration(5, seed=9))
    asked = []
    decoded = dataset._decoded
    monkeypatch.setattr(dataset, "_decoded", lambda todo, *rest: asked.extend(todo) or decoded(todo, *rest))
    assert_is_bags(open_cache(bags, CONTRACT), bags, ["bag0", "bag1", "bag2", "added"])
    assert asked == ["added"]


def test_a_changed_bag_or_contract_begins_anew(bags):
    shutil.rmtree(bags / "bag1")
    write(bags / "bag1", demonstration(4, seed=5))
    assert_is_bags(open_cache(bags, CONTRACT), bags, ["bag0", "bag1", "bag2"])
    shutil.rmtree(bags / "bag0")
    assert_is_bags(open_cache(bags, CONTRACT), bags, ["bag1", "bag2"])


def test_interrupted_decoding_goes_on(bags, monkeypatch):
    """As after kill -9 in the middle of a bag: rows without their line, half a line."""
    folder = bags / ".cache" / CONTRACT.reading
    lines = (folder / "index.jsonl").read_text().splitlines(keepends=True)
    (folder / "index.jsonl").write_text(lines[0] + lines[1][:20])
    with (folder / "state.bin").open("ab") as file:
        file.write(b"half a row")
    asked = []
    decoded = dataset._decoded
    monkeypatch.setattr(dataset, "_decoded", lambda todo, *rest: asked.extend(todo) or decoded(todo, *rest))
    assert_is_bags(open_cache(bags, CONTRACT), bags, ["bag0", "bag1", "bag2"])
    assert asked == ["bag1", "bag2"]
    assert_is_bags(open_cache(bags, CONTRACT), bags, ["bag0", "bag1", "bag2"])


def test_rows_that_vanished_are_decoded_again(bags):
    os.truncate(bags / ".cache" / CONTRACT.reading / "image_front.bin", 1000)
    assert_is_bags(open_cache(bags, CONTRACT), bags, ["bag0", "bag1", "bag2"])


def test_a_bag_that_does_not_fit_is_named_and_the_others_are_kept(bags, monkeypatch):
    bad = [i for i in demonstration(4) if i.topic != "joint_states"]
    write(bags / "bad", bad)
    write(bags / "good", demonstration(4))
    with pytest.raises(InputError, match=r"1 of 2 bags .* no message on joint_states"):
        open_cache(bags, CONTRACT)
    shutil.rmtree(bags / "bad")
    monkeypatch.setattr(dataset, "_decode_all", lambda *_: pytest.fail("decoded again"))
    assert_is_bags(open_cache(bags, CONTRACT), bags, ["bag0", "bag1", "bag2", "good"])


def test_lost_is_counted_over_all_bags(bags):
    data = (bags / "bag0" / "bag0.mcap").read_bytes()
    (bags / "bag0" / "bag0.mcap").write_bytes(data[: len(data) // 2])
    cache = open_cache(bags, CONTRACT)
    assert 0 < cache.bounds[1] < STEPS[0]
    assert cache.lost["message in a part of the bag that is cut off"] > 20


def test_a_disk_that_fills_is_told_and_work_goes_on_when_there_is_room(tmp_path):
    """A limit on the size of files stands in for a full disk: the second bag does not fit."""
    bags = tmp_path / "bags"
    for i in range(3):
        write(bags / f"bag{i}", demonstration(10, seed=i))
    script = (
        "import resource, signal\nfrom pathlib import Path\nfrom policy.robot.contract import load\n"
        "from policy.data.cache import open_cache\nfrom policy.errors import exit_code\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))\n"
        f"    raise SystemExit(exit_code(lambda: open_cache(Path({str(bags)!r}), load('tabletop'))))\n"
    )
    (tmp_path / "fill.py").write_text(script)
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, tmp_path / "fill.py"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert done.returncode == 2, done.stderr
    told = done.stderr.splitlines()[-1]
    assert told.startswith("error: cannot write the cache") and "free" in told
    assert "Traceback" not in done.stderr
    assert (bags / ".cache" / CONTRACT.reading / "index.jsonl").read_text().count("\n") == 1
    assert_is_bags(open_cache(bags, CONTRACT), bags, ["bag0", "bag1", "bag2"])


def test_no_bag(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        open_cache(tmp_path / "nothing", CONTRACT)
    with pytest.raises(InputError, match="no bag in"):
        open_cache(tmp_path, CONTRACT)
    assert list(tmp_path.iterdir()) == []


def test_windows_hold_the_last_set_point_past_the_end(recorded):
    windows = Windows(open_cache(recorded, CONTRACT), 16)
    assert len(windows) == sum(STEPS)
    batch = windows.batch(np.array([0, 11, 12, 15]), np.random.default_rng(0), shift=0)
    steps = [[min(t + i, last) for i in range(16)] for t, last in ((0, 11), (11, 11), (0, 6), (3, 6))]
    np.testing.assert_allclose(batch["actions"], [[action(t) for t in row] for row in steps], atol=1e-6)
    np.testing.assert_allclose(batch["state"][:, :7], [qpos(t)[:7] for t in (0, 11, 0, 3)], atol=1e-6)
    assert batch["mask"].all() and batch["mask"].shape == (4, 16)
    assert batch["episode"].tolist() == [0, 0, 1, 1]
    assert np.array_equal(batch["image_wrist"], windows.cache.images["wrist"][[0, 11, 12, 15]])


def test_a_lost_frame_does_not_shift_the_actions_after_it(tmp_path):
    start = next(iter(demonstration())).receive
    gone = [start + t * STEP for t in (4, 5, 6)]
    items = [i for i in demonstration(16) if not (i.topic == "camera/front/image_raw" and i.receive in gone)]
    write(tmp_path / "bags" / "a", items)
    windows = Windows(open_cache(tmp_path / "bags", CONTRACT), 16)
    assert len(windows) == 13
    batch = windows.batch(np.array([0]), np.random.default_rng(0), 0)
    assert batch["mask"][0].tolist() == [t not in (4, 5, 6) for t in range(16)]
    good = [t for t in range(16) if t not in (4, 5, 6)]
    np.testing.assert_allclose(batch["actions"][0][good], [action(t) for t in good], atol=1e-6)


def test_an_instruction_that_is_not_carried_out_has_no_end(tmp_path):
    """Another one follows, or the bag ends on the way: nothing says that the robot then holds."""
    again, turn = START + 9 * STEP - STEP // 2, START + 12 * STEP - STEP // 2
    said = [
        Item("instruction", make("String", "do that"), again),
        Item("label/mode", make("String", "rollback"), again),
    ]
    arrived = Item("label/mode", make("String", "forward"), turn)
    for name, more in (("on_the_way", said), ("arrived", [*said, arrived]), ("whole", [])):
        write(tmp_path / "bags" / name, sorted([*demonstration(20), *more], key=lambda i: i.receive))
    cache = open_cache(tmp_path / "bags", CONTRACT)
    assert_is_bags(cache, tmp_path / "bags", ["arrived", "on_the_way", "whole"])
    assert cache.broken.tolist() == [True, False, True, True, False]
    mask = Windows(cache, 16).batch(cache.bounds[1:] - 1, np.random.default_rng(0), 0)["mask"]
    assert mask.sum(1).tolist() == [1, 16, 1, 1, 16]
    # windows never reach into the next instruction
    first = Windows(cache, 16).batch(np.array([0]), np.random.default_rng(0), 0)["mask"]
    assert first.sum() == 9


def test_shift_moves_by_whole_pixels_and_repeats_the_edge(recorded):
    windows = Windows(open_cache(recorded, CONTRACT), 16)
    indices = np.arange(len(windows))
    batch = windows.batch(indices, np.random.default_rng(3), shift=4)
    again = windows.batch(indices, np.random.default_rng(3), shift=4)
    seen = set()
    for i, moved in enumerate(batch["image_front"]):
        padded = np.pad(windows.cache.images["front"][i], ((4, 4), (4, 4), (0, 0)), mode="edge")
        fits = [(y, x) for y in range(9) for x in range(9) if np.array_equal(padded[y : y + 96, x : x + 96], moved)]
        assert len(fits) == 1
        seen.update(fits)
    assert len(seen) > 15
    assert np.array_equal(batch["image_front"], again["image_front"])


def test_statistics_against_plain_numpy(recorded):
    cache = open_cache(recorded, CONTRACT)
    values = statistics(cache)
    windows = Windows(cache, CONTRACT.horizon)
    everything = windows.batch(np.arange(len(windows)), np.random.default_rng(0), 0)
    delta = everything["actions"] - everything["state"][:, None]
    np.testing.assert_allclose(values["delta_mean"], delta.mean(0), atol=1e-6)
    np.testing.assert_allclose(values["delta_std"], delta.std(0), atol=1e-6)
    np.testing.assert_allclose(values["state_mean"], cache.state.mean(0), rtol=1e-5)
    np.testing.assert_allclose(values["state_std"], cache.state.std(0), atol=1e-6)
    assert values["action_min"].tolist() == cache.actions.min(0).tolist()
    assert values["action_max"].tolist() == cache.actions.max(0).tolist()
    assert {v.dtype for v in values.values()} == {np.dtype(np.float32)}


def test_reading_needs_no_torch():
    code = "import sys, policy.robot.streams, policy.data.bags, policy.data.cache; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])
    assert load("tabletop") == CONTRACT
