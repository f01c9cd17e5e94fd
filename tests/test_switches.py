"""Switches made of demonstrations from one layout: each that is kept works when it is replayed, others are rejected."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from policy.data.bag_files import find_bags
from policy.data.episodes import read_episodes
from policy.errors import InputError
from policy.switching.demonstration import ADVANCE, FORWARD, ROLLBACK
from policy.switching.stitching import SwitchStitcher
from sim import switches
from sim.initial_states import start
from sim.late_switches import keep_by_experts
from sim.record import layout_seeds
from sim.record import main as record_all
from sim.switch_candidates import DELAYS, LEAD_IN, Candidate, candidates, read_demonstration
from sim.switch_replay import MOVED, Rejected, replay
from sim.switches import LayoutJob, plan
from sim.worlds.interface import SUCCESS_STEPS
from sim.worlds.tabletop.tasks import TASKS
from sim.worlds.tabletop.world import Tabletop
from tests.demo_bag import CONTRACT, custom, pretend

pytestmark = pytest.mark.slow

TOGETHER = ("put_blue", "slider_left", "lamp_off")  # demonstrated from one layout in the first round


def run(demonstrations: Path, out: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["switches", str(demonstrations), "--out", str(out), "--processes", "1"])
        switches.main()


@pytest.fixture(scope="module")
def demonstrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert len({layout_seeds(0)[task] for task in TOGETHER}) == 1
    out = tmp_path_factory.mktemp("demonstrations")
    record_all(["--tasks", ",".join(TOGETHER), "--episodes", "1", "--out", str(out), "--processes", "1"])
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
        tags, (first, second) = custom(bag), read_episodes(bag, CONTRACT)
        assert bag.name.startswith(f"{tags['before']}_to_{tags['task']}_") and tags["before"] != tags["task"]
        for episode, task in ((first, tags["before"]), (second, tags["task"])):
            assert episode.task == task and episode.instruction in TASKS[task].phrasings and not episode.dropped
        assert (np.diff(np.concatenate([first.stamps, second.stamps])) == CONTRACT.spec.dt_ns).all()
        assert not first.mode.any() and second.mode[0] != FORWARD and second.mode[-1] == FORWARD
        order = second.mode[np.flatnonzero(np.diff(second.mode.astype(int), prepend=-1))].tolist()
        assert order in ([ROLLBACK, ADVANCE, FORWARD], [ADVANCE, FORWARD])
        if tags["switch"] == "mid":
            assert first.contact[-1] and order[0] == ROLLBACK
            assert LEAD_IN[0] <= np.flatnonzero(first.contact)[0] <= LEAD_IN[0] + 2
        (shown,) = read_episodes(demonstrations / f"{tags['before']}_0000", CONTRACT)
        assert np.abs(shown.state - first.state[0]).sum(1).min() == 0  # it begins within A's demonstration


def test_replayed_b_succeeds_and_the_object_of_a_is_back_in_its_place(demonstrations: Path, made: Path) -> None:
    world, undisturbed = Tabletop(), [bag for bag in find_bags(made) if custom(bag)["pushed"] == "False"]
    assert undisturbed
    for bag in undisturbed:
        tags, episodes = custom(bag), read_episodes(bag, CONTRACT)
        (shown,) = read_episodes(demonstrations / f"{tags['before']}_0000", CONTRACT)
        begin = int(np.abs(shown.state - episodes[0].state[0]).sum(1).argmin())
        start(world, TASKS[tags["before"]], int(tags["seed"]), "home")
        place = world.position("blue")
        for action in shown.actions[:begin]:
            world.step(action)
        held = 0
        for episode in episodes:
            for i, (state, action) in enumerate(zip(episode.state, episode.actions, strict=True)):
                assert np.abs(world.state() - state).max() < 1e-4
                if (
                    tags["switch"] != "late"
                    and episode is episodes[1]
                    and i
                    and episode.mode[i] == FORWARD != episode.mode[i - 1]
                ):
                    assert np.linalg.norm(world.position("blue") - place) < MOVED
                world.step(action)
                held = held + 1 if TASKS[tags["task"]].success(world) else 0
        assert held >= SUCCESS_STEPS


def test_existing_bags_are_kept_and_a_deleted_one_is_made_again_identically(
    demonstrations: Path, made: Path, capsys: pytest.CaptureFixture
) -> None:
    deleted, *kept = find_bags(made)
    before = read_episodes(deleted, CONTRACT)
    times = {file: file.stat().st_mtime_ns for bag in kept for file in bag.iterdir()}
    for file in deleted.iterdir():
        file.unlink()
    deleted.rmdir()
    run(demonstrations, made)
    assert times == {file: file.stat().st_mtime_ns for bag in kept for file in bag.iterdir()}
    counts = dict(line.split(maxsplit=1)[::-1] for line in capsys.readouterr().out.strip().splitlines())
    assert sum(int(n) for what, n in counts.items() if " kept" in what) == 1 + len(kept)
    for a, b in zip(before, read_episodes(deleted, CONTRACT), strict=True):
        assert np.array_equal(a.state, b.state) and np.array_equal(a.mode, b.mode)
        assert np.array_equal(a.actions, b.actions) and np.array_equal(a.images["wrist"], b.images["wrist"])


def test_a_late_switch_is_done_by_the_experts_of_both(demonstrations: Path, tmp_path: Path) -> None:
    """A lets go and leaves after the instruction: what it has done stays, and B is done from there."""
    world, seed = Tabletop(), int(custom(demonstrations / "put_blue_0000")["seed"])
    bag, pair = tmp_path / "bag", ("put_blue", "slider_left")
    for _ in range(2):  # the second time it is there
        assert keep_by_experts(world, CONTRACT, bag, pair, seed, "put_blue_0000") == "kept by experts"
    tags, (first, second) = custom(bag), read_episodes(bag, CONTRACT)
    assert (tags["before"], tags["task"], tags["switch"], tags["from"]) == (*pair, "late", "put_blue_0000")
    assert [first.task, second.task] == list(pair) and not first.mode.any()
    order = second.mode[np.flatnonzero(np.diff(second.mode.astype(int), prepend=-1))].tolist()
    assert order == [ADVANCE, FORWARD]
    (shown,) = read_episodes(demonstrations / "put_blue_0000", CONTRACT)
    begin = int(np.abs(shown.state - first.state[0]).sum(1).argmin())
    start(world, TASKS["put_blue"], seed, "home")
    for action in np.concatenate([shown.actions[:begin], first.actions]):
        world.step(action)
    assert TASKS["put_blue"].success(world) and not TASKS["slider_left"].success(world), "when B is asked for"
    for action in second.actions:
        world.step(action)
    assert TASKS["put_blue"].success(world) and TASKS["slider_left"].success(world)


def test_a_late_switch_to_what_is_done_is_not_written(tmp_path: Path) -> None:
    outcome = keep_by_experts(Tabletop(), CONTRACT, tmp_path / "bag", ("put_blue", "put_blue"), 0, "shown")
    assert outcome == "B is already done" and not any(tmp_path.iterdir())


def interrupted(demonstrations: Path, hand: float) -> Candidate:
    """A is interrupted with the block in the air: the arm stands still, the gripper goes to an opening [m]."""
    (shown,) = read_episodes(demonstrations / "put_blue_0000", CONTRACT)
    t = int(np.flatnonzero(shown.contact)[-1]) - 8
    stays = np.tile(np.append(shown.actions[t, :7], hand), (30, 1))
    mode = np.concatenate([np.full(t, FORWARD), np.full(25, ROLLBACK), np.full(5, FORWARD)]).astype(np.uint8)
    return Candidate(
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


@pytest.mark.parametrize(("hand", "why"), [(0.08, "an object was dropped"), (0.0, "an object was moved")])
def test_a_switch_that_does_not_work_is_rejected(demonstrations: Path, hand: float, why: str) -> None:
    seed = int(custom(demonstrations / "put_blue_0000")["seed"])
    candidate = interrupted(demonstrations, hand)
    with pytest.raises(Rejected, match=why):
        replay(Tabletop(), seed, candidate, 0)
    with pytest.raises(Rejected, match="B failed"):
        calm = candidate._replace(restores=False, mode=np.full(len(candidate.mode), FORWARD))
        replay(Tabletop(), seed, calm, 0)


def test_a_switch_is_rejected_where_b_is_already_done(demonstrations: Path) -> None:
    bag = demonstrations / "put_blue_0000"
    (shown,) = read_episodes(bag, CONTRACT)
    done = len(shown.actions) - 1
    candidate = Candidate(
        "put_blue", "put_blue", ("", ""), 5, 0, done, done, shown.actions, np.full(done + 1, FORWARD, np.uint8), False
    )
    with pytest.raises(Rejected, match="B is already done"):
        replay(Tabletop(), int(custom(bag)["seed"]), candidate, 0)


class ChosenSteps:
    """A random generator that draws every phase of a pair, and the step that `pick` takes of those possible."""

    def __init__(self, pick: Callable[[np.ndarray], int]) -> None:
        self.choice = pick

    def random(self) -> float:
        return 0.0

    def integers(self, high: int) -> int:
        """The longest delay."""
        return high - 1


@pytest.mark.parametrize(
    ("pick", "restores"),
    [
        (lambda steps: steps[len(steps) // 2], {"early": True, "mid": True, "late": False}),
        (lambda steps: steps[-1], {"early": True, "mid": False, "late": False}),
    ],
)
def test_a_held_object_must_be_put_back_and_a_released_one_stays(
    demonstrations: Path, pick: Callable[[np.ndarray], int], restores: dict[str, bool]
) -> None:
    shown = {
        task: read_demonstration(demonstrations / f"{task}_0000", CONTRACT) for task in ("put_blue", "slider_left")
    }
    found = candidates(
        ("put_blue", "slider_left"),
        shown["put_blue"],
        lambda _: shown["slider_left"],
        SwitchStitcher(CONTRACT, Tabletop.lag),
        ChosenSteps(pick),
    )
    made = {name[:-1]: candidate for name, candidate in found}
    assert {name: candidate.restores for name, candidate in made.items()} == restores
    own = shown["put_blue"].demo.actions
    for c in made.values():  # the longest delay: until its end the arm does what it did
        begin, end = c.switch_step, c.switch_step + c.delay
        assert c.delay == DELAYS - 1 and np.array_equal(c.actions[:end], own[:end])
        assert (c.mode[begin:end] != FORWARD).all() and c.mode[begin - 1] == FORWARD


def test_only_undisturbed_demonstrations_from_home_in_one_layout_are_paired(tmp_path: Path) -> None:
    home = {"start": "home", "pushed": "False"}
    pretend(tmp_path, "a", task="put_red", seed="7", **home)
    pretend(tmp_path, "b", task="put_blue", seed="7", **home)
    pretend(tmp_path, "c", task="lamp_on", seed="8", **home)
    pretend(tmp_path, "d", task="lamp_off", seed="7", start="other", pushed="False")
    pretend(tmp_path, "e", task="lamp_off", seed="7", start="home", pushed="True")
    (tmp_path / "recorded_elsewhere.mcap").touch()
    out = tmp_path / "out"
    assert plan(tmp_path, out) == [
        LayoutJob(7, (("put_red", tmp_path / "a"), ("put_blue", tmp_path / "b")), (), out, True)
    ]


def test_an_opposite_is_looked_for_in_other_layouts(tmp_path: Path) -> None:
    home = {"start": "home", "pushed": "False"}
    pretend(tmp_path, "a", task="lamp_on", seed="7", **home)
    pretend(tmp_path, "b", task="lamp_off", seed="8", **home)
    pretend(
        tmp_path, "c", task="put_red", seed="9", **home
    )  # moves the block that the stack moves, but does not undo it
    pretend(tmp_path, "d", task="stack_red_on_blue", seed="10", **home)
    on, off = (("lamp_on", tmp_path / "a"),), (("lamp_off", tmp_path / "b"),)
    assert plan(tmp_path, tmp_path / "out") == [
        LayoutJob(7, on, (("lamp_off", 8, tmp_path / "b"),), tmp_path / "out", True),
        LayoutJob(8, off, (("lamp_on", 7, tmp_path / "a"),), tmp_path / "out", True),
    ]


def test_without_a_shared_layout_the_error_says_what_to_record(tmp_path: Path) -> None:
    pretend(tmp_path, "a", task="put_red", seed="7", start="home", pushed="False")
    with pytest.raises(InputError, match=r"no layout .*`python -m sim\.record"):
        run(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
