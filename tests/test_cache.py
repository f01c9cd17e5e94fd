"""The cache of decoded frames: a bag at a time, resumed, added to, taken from, and keyed by all that decides."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from policy.data import cache as dataset
from policy.data.cache import key, open_cache
from policy.data.episodes import read_episodes
from policy.data.findings import errors
from policy.data.pictures import Resizer, enlarged
from policy.data.rosbag2 import Rosbag2
from policy.errors import InputError
from policy.learning.encoders.cameras import area_weights
from policy.robot.contract import load
from tests.demo_bag import CONTRACT, demonstration, image, write

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
def decoded(monkeypatch) -> list[str]:
    """The bags that are decoded from here on."""
    asked: list[str] = []
    decode = dataset._decode

    def counted(folder, contract, size, todo, processes):
        asked.extend(todo)
        return decode(folder, contract, size, todo, processes)

    monkeypatch.setattr(dataset, "_decode", counted)
    return asked


def folder_of(bags: Path, bag: str) -> Path:
    """Where a bag is cached."""
    (folder,) = (bags / ".cache" / key(CONTRACT, None)).glob(f"{bag}-*")
    return folder


def assert_is_bags(cache, folder, names):
    """The cache holds what reading these bags one by one gives."""
    episodes = [e for name in names for e in read_episodes(folder / name, CONTRACT)]
    assert np.array_equal(cache.state, np.concatenate([e.state for e in episodes]))
    assert np.array_equal(cache.actions, np.concatenate([e.actions for e in episodes]))
    assert np.array_equal(cache.contact, np.concatenate([e.contact for e in episodes]))
    for name, images in cache.images.items():
        assert np.array_equal(images[:], np.concatenate([e.images[name] for e in episodes]))
    assert cache.instructions == [e.instruction for e in episodes]
    assert cache.tasks == [e.task for e in episodes]
    assert cache.bags == [name for name in names for _ in read_episodes(folder / name, CONTRACT)]
    modes = [np.zeros(len(e.stamps), np.uint8) if e.mode is None else e.mode for e in episodes]
    assert np.array_equal(cache.mode, np.concatenate(modes))
    assert np.diff(cache.bounds).tolist() == [len(e.stamps) for e in episodes]
    assert cache.episode.tolist() == [i for i, e in enumerate(episodes) for _ in e.stamps]


def test_cache_is_the_bags_and_is_read_from_disk(recorded, decoded):
    cache = open_cache(recorded, CONTRACT)
    assert_is_bags(cache, recorded, ["bag0", "bag1", "bag2"])
    owner = picture = cache.images["front"][3]
    while isinstance(owner, np.ndarray) and not isinstance(owner, np.memmap):
        owner = owner.base
    assert isinstance(owner, np.memmap) and not picture.flags.writeable
    assert not cache.dropped and not errors(cache.findings) and not decoded


def test_added_changed_and_removed_bags_cost_only_themselves(bags, decoded):
    write(bags / "added", demonstration(5, seed=9))
    assert_is_bags(open_cache(bags, CONTRACT), bags, ["added", "bag0", "bag1", "bag2"])
    shutil.rmtree(bags / "bag1")
    write(bags / "bag1", demonstration(4, seed=5))
    assert_is_bags(open_cache(bags, CONTRACT), bags, ["added", "bag0", "bag1", "bag2"])
    removed = folder_of(bags, "bag0")
    shutil.rmtree(bags / "bag0")
    assert_is_bags(open_cache(bags, CONTRACT), bags, ["added", "bag1", "bag2"])
    assert decoded == ["added", "bag1"] and not removed.exists()


def test_a_training_goes_on_while_its_bags_are_taken_away_or_recorded_anew(bags):
    """What it opened stays as it was, though a second command has changed the cache."""
    training, shown = open_cache(bags, CONTRACT), open_cache(bags, CONTRACT).images["front"][:]
    shutil.rmtree(bags / "bag0")
    shutil.rmtree(bags / "bag1")
    write(bags / "bag1", demonstration(4, seed=5))
    open_cache(bags, CONTRACT)
    assert np.array_equal(training.images["front"][:], shown)


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("again", [True, False])
def test_pictures_are_those_of_the_states_though_another_command_comes_between(bags, monkeypatch, held, again):
    """It changes the cache as soon as this one has read it: pictures that are not mapped by then are refused."""
    shown, joined = open_cache(bags, CONTRACT).images["front"][:], dataset._joined

    def between(*arguments):
        monkeypatch.setattr(dataset, "_joined", joined)
        shutil.rmtree(bags / "bag0")
        if again:
            write(bags / "bag0", demonstration(STEPS[0] + 4, seed=5))
        open_cache(bags, CONTRACT)
        return joined(*arguments)

    monkeypatch.setattr(dataset, "_joined", between)
    if not held:
        monkeypatch.setattr(dataset, "HELD_FILES", 0)
    cache = open_cache(bags, CONTRACT)
    if held:
        assert np.array_equal(cache.images["front"][:], shown)
    else:
        with pytest.raises(InputError, match=r"image_front\.bin is not the file .* give this command again"):
            cache.images["front"][0]


def test_interrupted_decoding_goes_on(bags, decoded):
    """As after kill -9 in the middle of a bag: what was written aside, and no whole bag."""
    whole = folder_of(bags, "bag1")
    whole.rename(whole.with_suffix(".part"))
    assert_is_bags(open_cache(bags, CONTRACT), bags, ["bag0", "bag1", "bag2"])
    assert_is_bags(open_cache(bags, CONTRACT), bags, ["bag0", "bag1", "bag2"])
    assert decoded == ["bag1"] and not whole.with_suffix(".part").exists()


@pytest.mark.parametrize("file", ["image_front.bin", "frames.npz", "bag.json"])
@pytest.mark.parametrize("left", [None, 1000])
def test_a_file_that_was_removed_or_cut_is_decoded_again(bags, decoded, file, left):
    path = folder_of(bags, "bag1") / file
    if left is None:
        path.unlink()
    else:
        os.truncate(path, min(left, path.stat().st_size - 1))
    assert_is_bags(open_cache(bags, CONTRACT), bags, ["bag0", "bag1", "bag2"])
    assert decoded == ["bag1"]


def test_the_key_has_all_that_decides_how_a_bag_is_read():
    def changed(**action):
        return replace(CONTRACT, action=(CONTRACT.action[0], replace(CONTRACT.action[1], **action)))

    others = [
        changed(gripper=False),
        changed(position_max=(0.1,)),
        replace(CONTRACT, labels=replace(CONTRACT.labels, contact=None)),
        replace(CONTRACT, cameras=CONTRACT.cameras | {"front": replace(CONTRACT.cameras["front"], max_age=0.1)}),
        replace(CONTRACT, cameras=dict(reversed(CONTRACT.cameras.items()))),  # the first one leads
        replace(CONTRACT, state=(replace(CONTRACT.state[0], scale=2.0), CONTRACT.state[1])),
        replace(CONTRACT, rate=10.0),
    ]
    keys = {key(contract, None) for contract in (CONTRACT, *others)} | {key(CONTRACT, 64)}
    assert len(keys) == len(others) + 2
    assert key(replace(CONTRACT, horizon=8), None) == key(CONTRACT, None)  # targets are made when it is opened


def test_a_gripper_that_the_contract_gets_later_gives_contact(tmp_path):
    """The same bags under a contract that differs in nothing but `gripper`."""
    write(tmp_path / "bags" / "a", [i for i in demonstration(20) if not i.topic.startswith("label")])
    bare = replace(CONTRACT, action=tuple(replace(c, gripper=False) for c in CONTRACT.action))
    assert open_cache(tmp_path / "bags", bare).contact is None
    assert open_cache(tmp_path / "bags", CONTRACT).contact is not None


def test_pictures_at_the_size_that_the_policy_reads(recorded):
    native, small = open_cache(recorded, CONTRACT).images["front"], open_cache(recorded, CONTRACT, 32).images["front"]
    assert native.shape == (sum(STEPS), 96, 96, 3) and small.shape == (sum(STEPS), 32, 32, 3)
    means = native[:].reshape(-1, 32, 3, 32, 3, 3).mean((2, 4))
    assert np.abs(small[:] - means).max() <= 0.51


def test_what_was_decoded_for_another_contract_or_size_is_named(bags, capfd):
    open_cache(bags, CONTRACT)
    assert "delete" not in capfd.readouterr().err
    open_cache(bags, CONTRACT, 48)
    said = capfd.readouterr().err
    assert "delete what is not used any more" in said and str(bags / ".cache" / key(CONTRACT, None)) in said
    open_cache(bags, CONTRACT, 48)
    assert "delete" not in capfd.readouterr().err  # nothing was decoded


def test_resizing_is_what_the_policy_does():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (48, 64, 3), np.uint8)
    rows, columns = (area_weights(n, 40).numpy() for n in (48, 64))
    expected = np.einsum("ih,hwc,jw->ijc", rows, image.astype(float), columns)
    assert np.abs(Resizer(40)(image) - expected).max() <= 0.51
    larger = enlarged(Resizer(40)(image)[None], 480, 640)[0]
    assert larger.shape == (480, 640, 3) and np.array_equal(larger[::12, ::16], Resizer(40)(image))


@pytest.mark.parametrize("given", ["bag", "bag/bag.mcap"])
def test_a_bag_or_a_file_where_a_folder_is_usual(tmp_path, given):
    write(tmp_path / "bag", demonstration(5))
    cache = open_cache(tmp_path / given, CONTRACT)
    assert len(cache.state) == 5
    assert np.array_equal(open_cache(tmp_path, CONTRACT).state, cache.state)


@pytest.mark.slow
def test_the_memory_that_decoding_takes_does_not_grow_with_the_bag(tmp_path):
    """140 MB of pictures."""
    steps, pixels = 150, np.zeros((480, 640, 3), np.uint8)
    items = [i for i in demonstration(steps) if "wrist" not in i.topic]
    large = [
        i._replace(message=image(i.receive, pixels + k % 7)) if "front" in i.topic else i for k, i in enumerate(items)
    ]
    write(tmp_path / "long", large)
    script = (
        "import re\nfrom dataclasses import replace\nfrom pathlib import Path\n"
        "from policy.robot.contract import load\nfrom policy.data import cached_bag\n"
        "from policy.data.rosbag2 import Bag\n"
        "def peak(): return int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) / 1024\n"
        "c = load('tabletop')\n"
        "c = replace(c, cameras={'front': replace(c.cameras['front'], height=480, width=640)})\n"
        "before = peak()\n"
        f"cached_bag.write(Bag('long', Path({str(tmp_path / 'long')!r})), c, 96, Path({str(tmp_path / 'out')!r}))\n"
        "print(peak() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=Path(__file__).parents[1], check=True
    )
    assert float(done.stdout) < steps * pixels.nbytes / 2**20 / 2


def test_a_bag_that_does_not_fit_is_named_and_the_others_are_kept(bags, decoded):
    bad = [i for i in demonstration(4) if i.topic != "joint_states"]
    write(bags / "bad", bad)
    write(bags / "good", demonstration(4))
    with pytest.raises(InputError, match=r"1 of 2 bags .* no message on joint_states"):
        open_cache(bags, CONTRACT)
    shutil.rmtree(bags / "bad")
    assert_is_bags(open_cache(bags, CONTRACT), bags, ["bag0", "bag1", "bag2", "good"])
    assert decoded == ["bad", "good"]


def test_dropped_messages_are_counted_over_all_bags(bags):
    data = (bags / "bag0" / "bag0.mcap").read_bytes()
    (bags / "bag0" / "bag0.mcap").write_bytes(data[: len(data) // 2])
    cache = open_cache(bags, CONTRACT)
    assert 0 < cache.bounds[1] < STEPS[0]
    assert cache.dropped["message in a part of the bag that is cut off"] > 20


@pytest.mark.slow
def test_a_disk_that_fills_is_named_and_work_goes_on_when_there_is_room(tmp_path):
    """A limit on the size of files stands in for a full disk: the third bag does not fit."""
    bags = tmp_path / "bags"
    for i in range(3):
        write(bags / f"bag{i}", demonstration(30 if i == 2 else 10, seed=i))
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
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: cannot write the cache") and "free" in last
    assert "Traceback" not in done.stderr
    assert not list((bags / ".cache").rglob("*.part"))
    assert_is_bags(open_cache(bags, CONTRACT), bags, ["bag0", "bag1", "bag2"])


def test_the_folder_that_one_is_in_may_be_a_bag(tmp_path, monkeypatch):
    write(tmp_path / "bag", demonstration(3))
    (there,) = Rosbag2().find(tmp_path / "bag")
    monkeypatch.chdir(tmp_path / "bag")
    (here,) = Rosbag2().find(Path("."))
    assert (here.name, here.mark()) == ("bag", there.mark())


def test_no_bag(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        open_cache(tmp_path / "nothing", CONTRACT)
    with pytest.raises(InputError, match="no bag in"):
        open_cache(tmp_path, CONTRACT)
    assert list(tmp_path.iterdir()) == []


def test_reading_needs_no_torch():
    code = "import sys, policy.robot.streams, policy.data.windows, policy.data.cache; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])
    assert load("tabletop") == CONTRACT
