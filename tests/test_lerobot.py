# ruff: noqa: F811  fixtures are imported
"""LeRobot data sets: bags -> data set -> what training reads is equal bit for bit; foreign ones are read, too."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="install the extra `lerobot`")
pytest.importorskip("av", reason="install the extra `lerobot`")
import pyarrow.parquet as pq
import yaml

from policy import check, convert
from policy.data.bag_writer import EpisodeWriter, channels
from policy.data.cache import open_cache
from policy.data.episodes import read_episodes
from policy.data.lerobot import description
from policy.data.lerobot.statistics import of_numbers
from policy.data.message_writer import MessageWriter
from policy.data.sources import find
from policy.look import look
from policy.robot.contract import FOLDER, load
from policy.synthesise import synthesise
from tests import demo_bag, small, small_robot
from tests.demo_bag import CONTRACT, demonstration, grasp, record
from tests.lerobot_sets import (  # noqa: F401  fixtures
    DATA,
    EPISODES,
    assert_same,
    bags,
    column,
    data,
    described,
    edited,
    foreign,
    made,
    written,
)

ROOT = Path(__file__).parent.parent


# -- there and back


def test_the_cache_is_that_of_the_bags_bit_for_bit(bags: Path, made: Path) -> None:
    one, other = open_cache(bags, CONTRACT), open_cache(made, CONTRACT)
    assert_same(one, other)
    assert other.bags == [f"episode_{i:06d}" for i in (0, 1, 2, 3, 3)]
    assert len(set(one.mode)) == 3 and other.incomplete.tolist() == one.incomplete.tolist()


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.yaml")))
def test_every_contract_survives(name: str, tmp_path: Path) -> None:
    """Commands of each kind, at the contract's rate; cameras are small, so that this is fast."""
    contract = load(name)
    contract = replace(contract, cameras={n: replace(c, height=24, width=32) for n, c in contract.cameras.items()})
    spec, dt, steps, rng = contract.spec, contract.spec.dt_ns, 30, np.random.default_rng(0)
    low, high, way = contract.limits.low, contract.limits.high, np.linspace(0.4, 0.5, steps)[:, None]
    actions = low + (high - low) * way * rng.uniform(0.9, 1.1, len(low))
    states = np.full((steps, len(spec.state)), 0.05) + 0.01 * way
    at = contract.measured >= 0
    states[:, contract.measured[at]] = actions[:, at]
    images = {
        n: rng.integers(0, 256, (steps, *c.shape), np.uint8) if not c.depth else rng.random((steps, *c.shape), "f4")
        for n, c in contract.cameras.items()
    }
    with EpisodeWriter(tmp_path / "bags" / "a", channels(contract)) as bag:
        writer = MessageWriter(bag, contract)
        writer.text(contract.instruction, "do it", demo_bag.START)
        for k in range(steps):
            stamp = demo_bag.START + k * dt
            writer.frame(stamp, {n: of[k] for n, of in images.items()}, states[k].astype("f4"))
            writer.command(stamp, actions[k].astype("f4"))
    made = written(tmp_path / "bags", tmp_path / "set", contract)
    assert_same(open_cache(tmp_path / "bags", contract), open_cache(made, contract))


def test_instructions_survive_that_are_stopped_repeated_and_resumed(tmp_path: Path) -> None:
    contract, items = small_robot.contract(), small_robot.moving(8)
    said = {1.02: "", 1.5: "lift it", 3.01: "pick the cup", 4.0: "stop", 5.0: "pick the cup", 6.0: "continue"}
    items += [("/instruction", small_robot.string(t), small_robot.START + round(s * 1e9)) for s, t in said.items()]
    small_robot.record(tmp_path / "bags" / "a", sorted(items, key=lambda item: item[2]))
    made = written(tmp_path / "bags", tmp_path / "set", contract)
    one, other = open_cache(tmp_path / "bags", contract), open_cache(made, contract)
    assert_same(one, other)
    assert len(one.instructions) > 3


def test_frames_keep_their_real_times_and_the_switch_is_in_task_index(bags: Path, made: Path) -> None:
    rows, cache = pq.read_table(made / DATA), open_cache(bags, CONTRACT)
    assert rows.column("midstream.stamp").to_pylist() == cache.stamps.tolist()
    last = [i for i, e in enumerate(rows.column("episode_index").to_pylist()) if e == 3]
    indices = np.array(rows.column("task_index").to_pylist())[last]
    tasks = pq.read_table(made / "meta" / "tasks.parquet").to_pydict()
    assert [tasks["task"][i] for i in dict.fromkeys(indices)] == [t for t in cache.instructions[3:]]
    assert (np.diff(indices) != 0).sum() == 1


@pytest.mark.slow
def test_a_recording_that_failed_is_left_out_of_both(tmp_path: Path) -> None:
    for i, failed in enumerate((False, True)):
        with EpisodeWriter(
            tmp_path / "bags" / str(i), channels(CONTRACT), {"success": "false"} if failed else {}
        ) as bag:
            for item in demonstration(12, seed=i):
                bag.write(item.topic, item.message, item.receive)
    made = written(tmp_path / "bags", tmp_path / "set", CONTRACT)
    assert set(pq.read_table(made / DATA).column("midstream.success").to_pylist()) == {0, -1}
    for failures in (False, True):
        one, other = (open_cache(d, CONTRACT, failures=failures) for d in (tmp_path / "bags", made))
        assert_same(one, other)


# -- data sets of other programs


def test_a_data_set_without_our_columns_is_read_by_its_own(bags: Path, data: Path) -> None:
    one, other = open_cache(bags, CONTRACT), open_cache(foreign(data), CONTRACT)
    assert np.array_equal(one.state, other.state) and np.array_equal(one.actions, other.actions)
    assert other.instructions == one.instructions and other.incomplete.tolist() == one.incomplete.tolist()
    assert (np.diff(other.stamps[:8]) == 50_000_000).all() and not other.mode.any()
    assert not [finding for finding in other.findings if "no time" in finding.what]
    assert other.contact is not None  # estimated, from the gripper
    assert other.sources[0] == ("set/episode_000000",)


def test_values_are_found_by_their_names_in_any_order(bags: Path, data: Path) -> None:
    """One more joint, all in reverse, and names as some programs nest them."""
    import pyarrow as pa

    def turned(table: pa.Table) -> pa.Table:
        values = np.array(table.column("observation.state").to_pylist(), np.float32)
        wider = np.concatenate([values[:, ::-1], values[:, :1] + 9], 1)
        at = table.column_names.index("observation.state")
        return table.set_column(at, "observation.state", pa.array(wider.tolist(), pa.list_(pa.float32())))

    def named(info: dict) -> None:
        state = info["features"]["observation.state"]
        state |= {"names": {"motors": [*state["names"][::-1], "other"]}, "shape": [9]}

    edited(described(data, named), turned)
    assert np.array_equal(open_cache(data, CONTRACT).state, open_cache(bags, CONTRACT).state)


def test_bags_and_data_sets_lie_in_one_folder(bags: Path, made: Path, tmp_path: Path) -> None:
    shutil.copytree(bags / "episode_0", tmp_path / "all" / "a")
    shutil.copytree(made, tmp_path / "all" / "more" / "set")
    cache = open_cache(tmp_path / "all", CONTRACT)
    assert cache.bags == ["a", *(f"more/set/episode_{i:06d}" for i in (0, 1, 2, 3, 3))]
    assert len(cache.state) == 8 + 8 * 3 + 20


def test_a_changed_data_set_is_read_anew(data: Path) -> None:
    before = open_cache(data, CONTRACT)

    after = open_cache(column(data, "action", lambda values: values + 0.001), CONTRACT)
    assert np.allclose(after.actions, before.actions + 0.001) and not np.array_equal(after.actions, before.actions)


# -- the commands


def test_check_and_suggest_take_a_data_set(bags: Path, made: Path, tmp_path: Path, capsys) -> None:
    check.describe(made)
    printed = capsys.readouterr().out
    assert "observation.images.front" in printed and "rgb8 96x96" in printed and "open the drawer" in printed
    check._suggest(made, tmp_path / "robot.yaml")
    suggested = load(tmp_path / "robot.yaml")
    assert set(suggested.cameras) == {"front", "wrist"} and suggested.rate == 20
    assert suggested.spec.state == CONTRACT.spec.state and set(suggested.spec.action) == set(CONTRACT.spec.action)
    assert np.array_equal(open_cache(made, suggested).state, open_cache(bags, CONTRACT).state)
    capsys.readouterr()
    check.check(made, CONTRACT)
    assert "4 bags" in capsys.readouterr().out


def test_look_shows_a_data_set(made: Path, tmp_path: Path, capsys) -> None:
    page = look(made, CONTRACT, tmp_path / "page").read_text()
    assert "4 recordings, 5 episodes, 0 cannot be used" in capsys.readouterr().out
    assert "episode_000003" in page and "open the drawer" in page


@pytest.mark.slow
def test_synthesise_makes_the_switches_of_the_bags(tmp_path: Path) -> None:
    for i, (text, task) in enumerate((("take the cup", "take"), ("push the box", "push"))):
        record(tmp_path / "bags" / f"bag{i}", grasp(), text, task)
    made = written(tmp_path / "bags", tmp_path / "set", CONTRACT)
    counts = [synthesise(d, tmp_path / f"out{i}", CONTRACT) for i, d in enumerate((tmp_path / "bags", made))]
    assert counts[1]["mid: kept"] == counts[0]["mid: kept"] == 2
    one, other = (find(tmp_path / f"out{i}") for i in range(2))
    assert {s.sources for s in other} == {s.sources for s in one} == {("bag0",), ("bag1",)}


def test_values_without_names_have_their_places(data: Path, tmp_path: Path, capsys) -> None:
    def unnamed(info: dict) -> None:
        for feature in ("observation.state", "action"):
            info["features"][feature]["names"] = None

    check._suggest(described(foreign(data), unnamed), tmp_path / "suggested.yaml")
    contract = load(tmp_path / "suggested.yaml")
    assert contract.spec.state == contract.spec.action == tuple(f"joint_{i}" for i in range(1, 9))
    check.check(data, contract)


@pytest.mark.parametrize(
    "names, expected",
    [
        (["state"], [f"joint_{i}" for i in range(1, 9)]),
        ({"left": ["j1", "j2", "j3", "grip"], "right": ["j1", "j2", "j3", "grip"]}, None),
        (["j1", "j1", *"abcdef"], [f"joint_{i}" for i in range(1, 9)]),
    ],
)
def test_names_that_do_not_tell_the_values_apart(names: object, expected: list[str] | None, data: Path) -> None:
    """One for all of them; those of two arms, which are then told apart by the arm's; one twice."""

    def renamed(info: dict) -> None:
        info["features"]["observation.state"]["names"] = names

    found = description.load(described(foreign(data), renamed)).names("observation.state")
    sides = [f"{side}_{name}" for side in ("left", "right") for name in ("j1", "j2", "j3", "grip")]
    assert list(found) == (expected or sides)


def test_a_joint_without_end_counts_on(data: Path) -> None:
    raw, names = yaml.safe_load((FOLDER / "tabletop.yaml").read_text()), CONTRACT.spec.state
    raw["state"][0]["continuous"] = [True, *[False] * (len(raw["state"][0]["joints"]) - 1)]
    (data.parent / "turning.yaml").write_text(yaml.safe_dump(raw))
    contract = load(data.parent / "turning.yaml")
    assert [name for name in names if contract.turns[name]] == [names[0]]

    def turning(values: np.ndarray) -> np.ndarray:
        """The first joint turns at 1 rad/s, and its driver begins anew at pi."""
        values[:, 0] = (3.0 + np.arange(len(values)) / 20 + np.pi) % (2 * np.pi) - np.pi
        return values

    column(column(foreign(data), "observation.state", turning), "action", turning)
    cache = open_cache(data, contract)
    for bound, end in zip(cache.bounds[:-1], cache.bounds[1:], strict=True):
        way = cache.state[bound:end, 0]
        assert np.abs(np.diff(way) - 0.05).max() < 1e-4
        np.testing.assert_allclose(cache.actions[bound : end - 1, 0], way[:-1], atol=1e-4)


def test_what_is_not_read_is_said_of_what_is_converted_and_kept(tmp_path: Path, capsys) -> None:
    bags, stray = small.bags(tmp_path / "bags", 2, 20), tmp_path / "bags" / "stray"
    stray.mkdir()
    (stray / "rec.bag").write_bytes(b"#ROSBAG V2.0\n")
    convert.convert(bags, tmp_path / "set", CONTRACT)
    assert "rec.bag: a ROS 1 bag" in capsys.readouterr().err
    cache = open_cache(small.bags(tmp_path / "new", 1, 20), CONTRACT, 16, keep=bags)
    assert any("rec.bag" in finding.figures for finding in cache.findings)


def test_the_command_says_what_is_lost(bags: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["convert", str(bags), "--to", "lerobot", "--out", str(tmp_path / "x")])
    convert.main()
    printed = capsys.readouterr().out
    assert "4 episodes, 44 frames" in printed and "not in it: commands between frames (" in printed


def test_frames_off_an_even_grid_are_counted(tmp_path: Path) -> None:
    """A frame is missing: those after it come a step later than the format takes them to be."""
    items = list(demonstration(20))
    dropped = [
        i for i in items if not (i.topic.startswith("camera") and i.receive == demo_bag.START + 9 * demo_bag.STEP)
    ]
    demo_bag.write(tmp_path / "bags" / "a", dropped)
    sentences = convert.convert(tmp_path / "bags", tmp_path / "set", CONTRACT)
    assert sentences[-1].startswith("10 frames are off an even grid")
    assert_same(open_cache(tmp_path / "bags", CONTRACT), open_cache(tmp_path / "set", CONTRACT), atol=1e-7)


# -- figures beside the data


def test_statistics_are_those_of_the_data(made: Path, bags: Path) -> None:
    cache, stats = open_cache(bags, CONTRACT), json.loads((made / "meta" / "stats.json").read_text())
    np.testing.assert_allclose(stats["action"]["mean"], cache.actions.mean(0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(stats["observation.state"]["q90"], np.quantile(cache.state, 0.9, axis=0), rtol=1e-6)
    pixels = np.asarray(cache.images["front"][:], np.float64) / 255
    of = {key: np.array(value) for key, value in stats["observation.images.front"].items()}
    assert of["mean"].shape == (3, 1, 1) and of["count"].tolist() == [len(pixels)]
    for name, value in {
        "min": pixels.min((0, 1, 2)),
        "max": pixels.max((0, 1, 2)),
        "std": pixels.std((0, 1, 2)),
    }.items():
        np.testing.assert_allclose(of[name][:, 0, 0], value, atol=1e-9)
    np.testing.assert_allclose(of["q10"][:, 0, 0], np.quantile(pixels, 0.1, (0, 1, 2)), atol=1 / 255)
    episodes = pq.read_table(made / EPISODES).to_pylist()
    assert sum(row["length"] for row in episodes) == len(cache.state)
    assert episodes[1]["dataset_from_index"] == episodes[0]["dataset_to_index"] == 8
    assert of_numbers(np.arange(5.0))["q50"] == [2.0]


def test_what_is_read_back_has_the_pictures_of_the_bag(bags: Path, made: Path) -> None:
    (stored,) = [s for s in find(made) if s.name == "episode_000003"]
    ours, theirs = read_episodes(stored, CONTRACT), read_episodes(bags / "switch", CONTRACT)
    assert len(ours) == len(theirs) == 2
    for a, b in zip(ours, theirs, strict=True):
        assert np.array_equal(a.images["wrist"], b.images["wrist"]) and a.instruction == b.instruction
