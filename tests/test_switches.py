"""Switches out of demonstrations on one table: each that is kept works when done again, the rest is refused."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from policy.data.bags import find_bags, read_episodes
from policy.errors import InputError
from policy.switching.demonstration import ADVANCE, FORWARD, ROLLBACK
from policy.switching.stitching import SwitchStitcher
from sim import switches
from sim.initial_states import start
from sim.record import Job as Showing
from sim.record import main as record
from sim.record import record as show
from sim.record import tables
from sim.switches import ALIKE, BEFORE, MOVED, Job, Try, plan
from sim.tasks import HOLD, TASKS
from sim.world import World
from tests.demo_bag import CONTRACT

TOGETHER = ("put_blue", "slider_left", "slider_right")  # shown on one table in the first round


def run(demonstrations: Path, out: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["switches", str(demonstrations), "--out", str(out), "--processes", "1"])
        switches.main()


def custom(bag: Path) -> dict[str, str]:
    return yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]["custom_data"]


@pytest.fixture(scope="module")
def demonstrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert len({tables(0)[task] for task in TOGETHER}) == 1
    out = tmp_path_factory.mktemp("demonstrations")
    record(["--tasks", ",".join(TOGETHER), "--episodes", "1", "--out", str(out), "--processes", "1"])
    return out


@pytest.fixture(scope="module")
def made(demonstrations: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("switches")
    run(demonstrations, out)
    return out


def test_a_switch_is_a_bag_with_two_instructions_and_their_modes(demonstrations: Path, made: Path) -> None:
    bags = find_bags(made)
    assert {custom(bag)["switch"] for bag in bags} >= {"mid", "late"}
    for bag in bags:
        told, (first, second) = custom(bag), read_episodes(bag, CONTRACT)
        assert bag.name.startswith(f"{told['before']}_to_{told['task']}_") and told["before"] != told["task"]
        for episode, task in ((first, told["before"]), (second, told["task"])):
            assert episode.task == task and episode.instruction in TASKS[task].phrasings and not episode.lost
        assert (np.diff(np.concatenate([first.stamps, second.stamps])) == CONTRACT.spec.dt_ns).all()
        assert not first.mode.any() and second.mode[0] != FORWARD and second.mode[-1] == FORWARD
        order = second.mode[np.flatnonzero(np.diff(second.mode.astype(int), prepend=-1))].tolist()
        assert order in ([ROLLBACK, ADVANCE, FORWARD], [ADVANCE, FORWARD])
        if told["switch"] == "mid":
            assert first.contact[-1] and order[0] == ROLLBACK
            assert BEFORE[0] <= np.flatnonzero(first.contact)[0] <= BEFORE[0] + 2
        (shown,) = read_episodes(demonstrations / f"{told['before']}_0000", CONTRACT)
        assert np.abs(shown.state - first.state[0]).sum(1).min() == 0  # it begins within A's demonstration


def test_done_again_b_succeeds_and_what_a_had_taken_lies_where_it_was(demonstrations: Path, made: Path) -> None:
    world, undisturbed = World(), [bag for bag in find_bags(made) if custom(bag)["pushed"] == "False"]
    assert undisturbed
    for bag in undisturbed:
        told, episodes = custom(bag), read_episodes(bag, CONTRACT)
        (shown,) = read_episodes(demonstrations / f"{told['before']}_0000", CONTRACT)
        begin = int(np.abs(shown.state - episodes[0].state[0]).sum(1).argmin())
        start(world, TASKS[told["before"]], int(told["seed"]), "home")
        lay = world.position("blue")
        for action in shown.actions[:begin]:
            world.step(action)
        held = 0
        for episode in episodes:
            for i, (state, action) in enumerate(zip(episode.state, episode.actions, strict=True)):
                assert np.abs(world.state() - state).max() < 1e-4
                if (
                    told["switch"] != "late"
                    and episode is episodes[1]
                    and i
                    and episode.mode[i] == FORWARD != episode.mode[i - 1]
                ):
                    assert np.linalg.norm(world.position("blue") - lay) < MOVED
                world.step(action)
                held = held + 1 if TASKS[told["task"]].success(world) else 0
        assert held >= HOLD


def test_what_is_there_is_not_made_again_and_the_same_comes_of_it(
    demonstrations: Path, made: Path, capsys: pytest.CaptureFixture
) -> None:
    lost, *kept = find_bags(made)
    before = read_episodes(lost, CONTRACT)
    times = {file: file.stat().st_mtime_ns for bag in kept for file in bag.iterdir()}
    for file in lost.iterdir():
        file.unlink()
    lost.rmdir()
    run(demonstrations, made)
    assert times == {file: file.stat().st_mtime_ns for bag in kept for file in bag.iterdir()}
    counts = dict(line.split(maxsplit=1)[::-1] for line in capsys.readouterr().out.strip().splitlines())
    assert sum(int(n) for what, n in counts.items() if what.endswith("kept")) == 1 + len(kept)
    for a, b in zip(before, read_episodes(lost, CONTRACT), strict=True):
        assert np.array_equal(a.state, b.state) and np.array_equal(a.mode, b.mode)
        assert np.array_equal(a.actions, b.actions) and np.array_equal(a.images["wrist"], b.images["wrist"])


def attempt(demonstrations: Path, hand: float) -> Try:
    """Broken off with the block in the air: the arm stands, the gripper at an opening."""
    (shown,) = read_episodes(demonstrations / "put_blue_0000", CONTRACT)
    t = int(np.flatnonzero(shown.contact)[-1]) - 8
    stays = np.tile(np.append(shown.actions[t, :7], hand), (30, 1))
    mode = np.concatenate([np.full(t, FORWARD), np.full(25, ROLLBACK), np.full(5, FORWARD)]).astype(np.uint8)
    return Try(
        "put_blue",
        "slider_left",
        ("", ""),
        t,
        0,
        t + 25,
        t + 25,
        np.concatenate([shown.actions[:t], stays]),
        mode,
        True,
    )


@pytest.mark.parametrize(("hand", "why"), [(0.08, "dropped"), (0.0, "something was moved")])
def test_a_switch_that_does_not_work_is_refused(demonstrations: Path, hand: float, why: str) -> None:
    seed = int(custom(demonstrations / "put_blue_0000")["seed"])
    one = attempt(demonstrations, hand)
    with pytest.raises(switches._Refused, match=why):
        switches._replay(World(), seed, one, 0, None)
    with pytest.raises(switches._Refused, match="B fails"):
        calm = one._replace(restores=False, mode=np.full(len(one.mode), FORWARD))
        switches._replay(World(), seed, calm, 0, None)


def test_what_undoing_has_done_already_teaches_nothing(demonstrations: Path) -> None:
    bag = demonstrations / "put_blue_0000"
    (shown,) = read_episodes(bag, CONTRACT)
    done = len(shown.actions) - 1
    one = Try(
        "put_blue", "put_blue", ("", ""), 5, 0, done, done, shown.actions, np.full(done + 1, FORWARD, np.uint8), False
    )
    with pytest.raises(switches._Refused, match="B is true already"):
        switches._replay(World(), int(custom(bag)["seed"]), one, 0, None)


class Draws:
    """Draws every phase of a pair, and always the step that `pick` takes of those possible."""

    def __init__(self, pick: Callable[[np.ndarray], int]) -> None:
        self.choice = pick

    def random(self) -> float:
        return 0.0


@pytest.mark.parametrize(
    ("pick", "restores"),
    [
        (lambda steps: steps[len(steps) // 2], {"early": True, "mid": True, "late": False}),
        (lambda steps: steps[-1], {"early": True, "mid": False, "late": False}),
    ],
)
def test_what_a_holds_must_be_put_back_and_what_it_has_let_go_stays(
    demonstrations: Path, pick: Callable[[np.ndarray], int], restores: dict[str, bool]
) -> None:
    shown = {task: switches._read(demonstrations / f"{task}_0000", CONTRACT) for task in ("put_blue", "slider_left")}
    tries = switches._tries(
        ("put_blue", "slider_left"),
        shown["put_blue"],
        lambda _: shown["slider_left"],
        SwitchStitcher(CONTRACT, switches.LAG),
        Draws(pick),
    )
    assert {name[:-1]: one.restores for name, one in tries} == restores


def pretend(folder: Path, name: str, **said: str) -> None:
    (folder / name).mkdir(parents=True)
    told = {"rosbag2_bagfile_information": {"custom_data": said}}
    (folder / name / "metadata.yaml").write_text(yaml.safe_dump(told))


def test_only_what_was_shown_undisturbed_from_home_on_one_table_is_joined(tmp_path: Path) -> None:
    home = {"start": "home", "pushed": "False"}
    pretend(tmp_path, "a", task="put_red", seed="7", **home)
    pretend(tmp_path, "b", task="put_blue", seed="7", **home)
    pretend(tmp_path, "c", task="lamp_on", seed="8", **home)
    pretend(tmp_path, "d", task="lamp_off", seed="7", start="other", pushed="False")
    pretend(tmp_path, "e", task="lamp_off", seed="7", start="home", pushed="True")
    out = tmp_path / "out"
    assert plan(tmp_path, out) == [Job(7, (("put_red", tmp_path / "a"), ("put_blue", tmp_path / "b")), (), out, True)]


def test_an_opposite_is_looked_for_on_other_tables(tmp_path: Path) -> None:
    home = {"start": "home", "pushed": "False"}
    pretend(tmp_path, "a", task="lamp_on", seed="7", **home)
    pretend(tmp_path, "b", task="lamp_off", seed="8", **home)
    pretend(tmp_path, "c", task="put_red", seed="9", **home)  # moves what the stack moves, but does not undo it
    pretend(tmp_path, "d", task="stack_red_on_blue", seed="10", **home)
    on, off = (("lamp_on", tmp_path / "a"),), (("lamp_off", tmp_path / "b"),)
    assert plan(tmp_path, tmp_path / "out") == [
        Job(7, on, (("lamp_off", 8, tmp_path / "b"),), tmp_path / "out", True),
        Job(8, off, (("lamp_on", 7, tmp_path / "a"),), tmp_path / "out", True),
    ]


@pytest.fixture(scope="module")
def lamps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, int, Path]]:
    """The lamp lit on one table; put out on another, where it stands alike, and on a third, where it does not."""
    world, places = World(), {}
    for task in ("lamp_on", "lamp_off"):
        for seed in range(20):
            start(world, TASKS[task], seed, "home")
            places[task, seed] = world.position("button")
    away = {seed: np.linalg.norm(places["lamp_off", seed] - places["lamp_on", 0]) for seed in range(1, 20)}
    near = min(away, key=away.__getitem__)
    far = max(away, key=away.__getitem__)
    assert away[near] < ALIKE < away[far]
    out, shown = tmp_path_factory.mktemp("lamps"), {}
    for name, task, seed in (("on", "lamp_on", 0), ("near", "lamp_off", near), ("far", "lamp_off", far)):
        assert show(Showing(task, seed, "home", False, out / name)) == 1
        shown[name] = (task, seed, out / name)
    return shown


def test_an_opposite_undoes_what_has_been_done_as_on_the_table_where_it_lay_alike(
    lamps: dict[str, tuple[str, int, Path]], tmp_path: Path
) -> None:
    (a, seed, bag), near, far = lamps.values()
    counts = switches.make(Job(seed, ((a, bag),), (far, near), tmp_path, True))
    kept, world = find_bags(tmp_path), World()
    assert counts["late: kept"] + counts["mid: kept"] == len(kept) > 0
    (other,) = read_episodes(near[2], CONTRACT)
    for made in kept:
        episodes = read_episodes(made, CONTRACT)
        assert [episode.task for episode in episodes] == ["lamp_on", "lamp_off"]
        assert episodes[1].instruction == other.instruction and (episodes[1].actions[-10:] == other.actions[-10:]).all()
        if custom(made)["pushed"] == "True":
            continue
        (shown,) = read_episodes(bag, CONTRACT)
        start(world, TASKS[a], seed, "home")
        for action in shown.actions[: int(np.abs(shown.state - episodes[0].state[0]).sum(1).argmin())]:
            world.step(action)
        lit = []
        for action in np.concatenate([episode.actions for episode in episodes]):
            lit.append(world.lamp)
            world.step(action)
        assert any(lit) and not world.lamp


def test_where_no_table_is_alike_there_is_no_opposite(lamps: dict[str, tuple[str, int, Path]], tmp_path: Path) -> None:
    (a, seed, bag), _, far = lamps.values()
    assert not switches.make(Job(seed, ((a, bag),), (far,), tmp_path, True)) and not any(tmp_path.iterdir())


def test_without_a_shared_table_it_says_what_to_record(tmp_path: Path) -> None:
    pretend(tmp_path, "a", task="put_red", seed="7", start="home", pushed="False")
    with pytest.raises(InputError, match=r"no table .*`python -m sim\.record"):
        run(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
