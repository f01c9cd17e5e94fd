"""The look is varied in recordings and shifted in evaluations: the two share nothing, neither touches the physics."""

import json
import subprocess
import sys
from colorsys import rgb_to_hsv
from pathlib import Path

import numpy as np
import pytest
import yaml

from policy.data.bag_files import find_bags
from policy.data.episodes import read_episodes
from policy.errors import InputError
from policy.robot.contract import load as load_contract
from sim import record, shift_evaluation
from sim.initial_states import start
from sim.shifts import FILTERS, NONE, PLAIN, shift, shift_names, vary
from sim.worlds.tabletop import appearance, clutter, textures
from sim.worlds.tabletop.world import Tabletop
from tests.tiny import write_model

ROOT = Path(__file__).parent.parent
ALL = shift_names("all", Tabletop)


@pytest.fixture(scope="module")
def world() -> Tabletop:
    return Tabletop()


def laid_out(world: Tabletop) -> dict[str, np.ndarray]:
    world.reset(np.random.default_rng(3))
    return world.frame().images


# -- disjoint


def test_no_texture_object_or_colour_of_a_shift_is_in_a_recording() -> None:
    assert not set(textures.TRAINING) & set(textures.HELD_OUT)
    assert not set(clutter.TRAINING) & set(clutter.HELD_OUT)
    assert len(clutter.HELD_OUT) == 5
    drawn = [appearance.table_colour(np.random.default_rng(i)) for i in range(2000)]
    for colour in (appearance.DARK, appearance.GREEN):
        hue, saturation, value = rgb_to_hsv(*colour)
        between = any(low <= hue <= high for low, high in appearance.HUES)
        within = appearance.SATURATION[0] <= saturation <= appearance.SATURATION[1]
        assert not (between and within and appearance.VALUE[0] <= value <= appearance.VALUE[1])
        assert min(np.linalg.norm(colour - np.array(d)) for d in drawn) > 0.12
    shapes = [
        {(p.kind, p.size, p.rgb) for parts in kind.values() for p in parts}
        for kind in (clutter.TRAINING, clutter.HELD_OUT)
    ]
    assert not shapes[0] & shapes[1]


def test_variations_use_the_training_lists_alone(world: Tabletop, monkeypatch: pytest.MonkeyPatch) -> None:
    placed: list[str] = []
    papered: list[str] = []
    monkeypatch.setattr(world.look, "clutter", lambda names, rng: placed.extend(names))
    monkeypatch.setattr(world.look, "table", lambda rgb, texture="": papered.append(texture))
    for i in range(300):
        world.vary(np.random.default_rng(i))
    assert set(placed) == set(clutter.TRAINING) and set(papered) == {"", *textures.TRAINING}
    world.look.plain()


# -- pictures only


@pytest.mark.parametrize("name", ALL)
def test_a_shift_is_seen_and_ends_with_the_episode(name: str, world: Tabletop) -> None:
    plain = laid_out(world)
    world.reset(np.random.default_rng(3))
    state = world.data.qpos.copy()
    shift(world, name, 1_000_000)
    changed = world.frame().images
    assert any(np.abs(changed[c].astype(int) - plain[c]).mean() > 0.4 for c in changed), "nothing to be seen"
    np.testing.assert_array_equal(world.data.qpos, state)
    world.reset(np.random.default_rng(3))
    shift(world, name, 1_000_000)
    if name not in FILTERS:  # noise goes on from frame to frame
        for camera, picture in world.frame().images.items():
            np.testing.assert_array_equal(picture, changed[camera])
    for camera, picture in laid_out(world).items():
        np.testing.assert_array_equal(picture, plain[camera], err_msg="the shift outlasts its episode")


@pytest.mark.parametrize("name", ALL)
def test_the_first_picture_is_that_of_the_next_physics_step(name: str, world: Tabletop) -> None:
    """Cameras, lights and objects are where they will be, without a physics step that would change the episode."""
    if name in FILTERS:
        return
    world.reset(np.random.default_rng(3))
    shift(world, name, 1_000_000)
    first = world.frame().images["front"].astype(int)
    world.step(world.setpoint())
    assert np.abs(world.frame().images["front"] - first).mean() < 0.5


def test_an_expert_s_episode_is_the_same_to_the_bit_in_any_look(world: Tabletop) -> None:
    task, ends = world.tasks["put_red"], []
    for look in (NONE, "clutter", "camera_moved", "light_half"):
        start(world, task, 5, "home")
        shift(world, look, 5)
        for _, action in zip(range(60), task.expert(world), strict=False):
            world.step(action)
        ends.append(world.data.qpos.copy())
    for end in ends[1:]:
        np.testing.assert_array_equal(end, ends[0])


def test_objects_of_no_task_lie_apart_from_those_of_tasks(world: Tabletop) -> None:
    for seed in range(15):
        world.reset(np.random.default_rng(seed))
        shift(world, "clutter", seed)
        at = {name: world.model.body(name).pos[:2].copy() for name in clutter.HELD_OUT}
        for name, xy in at.items():
            assert all(np.linalg.norm(world.position(body)[:2] - xy) > 0.08 for body in (*world.loose_bodies, "bowl"))
            assert all(np.linalg.norm(other - xy) > 0.08 for o, other in at.items() if o != name)


def test_noise_and_jpeg_are_as_strong_as_they_are_named() -> None:
    grey = np.full((96, 96, 3), 128, np.uint8)
    noisy = FILTERS["noise"](np.random.default_rng(0))(grey)
    assert noisy.dtype == np.uint8 and noisy.astype(float).std() == pytest.approx(8, abs=0.3)
    picture = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
    squeezed = FILTERS["jpeg"](np.random.default_rng(0))(picture)
    assert squeezed.shape == picture.shape and 5 < np.abs(squeezed.astype(int) - picture).mean() < 60


# -- recordings


def test_recordings_are_varied_by_their_seed_and_a_good_part_is_plain(world: Tabletop) -> None:
    looks = []
    for seed in range(120):
        laid_out(world)
        looks.append(vary(world, np.random.default_rng([seed, 6, 0])))
    assert 0.8 * PLAIN < looks.count("plain") / len(looks) < 1.4 * PLAIN
    for word in ("light x", "table", "cameras", "objects"):
        assert sum(word in look for look in looks) > 20, word
    laid_out(world)
    assert vary(world, np.random.default_rng([7, 6, 0])) == looks[7]


@pytest.mark.slow
def test_a_bag_says_its_look_and_holds_the_same_motion_as_a_plain_one(tmp_path: Path) -> None:
    arguments = ["--tasks", "lamp_on", "--episodes", "4", "--processes", "1"]
    record.main([*arguments, "--out", str(tmp_path / "varied")])
    record.main([*arguments, "--out", str(tmp_path / "plain"), "--plain"])
    contract, looks = load_contract("tabletop"), []
    for varied, plain in zip(find_bags(tmp_path / "varied"), find_bags(tmp_path / "plain"), strict=True):
        metadata = yaml.safe_load((varied / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
        looks.append(metadata["custom_data"]["look"])
        (a,), (b,) = read_episodes(varied, contract), read_episodes(plain, contract)
        np.testing.assert_array_equal(a.state, b.state)
        np.testing.assert_array_equal(a.actions, b.actions)
        assert np.array_equal(a.images["front"], b.images["front"]) == (looks[-1] == "plain")
    assert "plain" in looks and len(set(looks)) > 1


# -- the command


def test_unknown_shifts_are_refused() -> None:
    assert shift_names("noise,jpeg", Tabletop) == ["noise", "jpeg"]
    with pytest.raises(InputError, match=r"unknown shift 'tabel_dark'.*did you mean 'table_dark'"):
        shift_names("tabel_dark", Tabletop)


def test_every_shift_plays_the_same_episodes() -> None:
    jobs = shift_evaluation.plan(Tabletop, ["noise", "jpeg"], ["lamp_on", "put_red"], 3, 1_000_000)
    assert len(jobs) == 18
    played = [[(j.task, j.seed, j.start) for j in jobs if j.shift == name] for name in (NONE, "noise", "jpeg")]
    assert played[0] == played[1] == played[2] and len(set(played[0])) == 6


def test_the_ratio_is_to_the_success_without() -> None:
    settings = {"policy": "p", "world": "w", "sha256": "s", "seed": 1, "shifts": ["noise"], "tasks": ["a"]}
    records = [{"shift": NONE, "task": "a", "success": i < 8} for i in range(10)]
    records += [{"shift": "noise", "task": "a", "success": i < 4} for i in range(10)]
    made = shift_evaluation.summarise(settings, records)
    noise = made["shifts"]["noise"]
    assert made["without"]["rate"] == 0.8 and noise["rate"] == 0.4 and noise["ratio"] == 0.5
    assert noise["ratio_low"] < 0.5 < noise["ratio_high"] and noise["tasks"]["a"]["successes"] == 4
    nothing = shift_evaluation.summarise(settings, [r | {"success": False} for r in records])
    assert nothing["shifts"]["noise"]["ratio"] is None


@pytest.mark.slow
def test_the_command_writes_a_report_films_and_a_page(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "sim.evaluate",
        str(tmp_path / "model"),
        "--shift",
        "noise,table_dark",
        "--films",
        "1",
    ]
    small = ["--tasks", "lamp_on", "--episodes", "1", "--processes", "1", "--out", str(out)]
    done = subprocess.run([*command, *small], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    report = json.loads((out / "report.json").read_text())
    assert report["without"]["episodes"] == 1 and set(report["shifts"]) == {"table_dark", "noise"}
    page = (out / "index.html").read_text()
    assert "{{" not in page and "table_dark" in page
    assert [path.name for path in (out / "videos").iterdir()] == ["none-lamp_on-1000000.mp4"]
    both = subprocess.run([*command, "--switch", "mid"], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert both.returncode == 2 and "two evaluations" in both.stderr
