"""Switches made of recordings alone: recorded frames in reverse that the simulator confirms, and what is not kept."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from policy.data import cache as dataset
from policy.data.bag_files import find_bags
from policy.data.bag_writer import EpisodeWriter, channels
from policy.data.episodes import read_episodes
from policy.data.message_writer import MessageWriter
from policy.data.windows import targets
from policy.errors import InputError
from policy.learning.context_labels import execution_targets
from policy.robot.contract import FOLDER, Contract, load
from policy.spec import MODES
from policy.switching.demonstration import ADVANCE, APPROACH_STEPS, RETREAT_STEPS, ROLLBACK, Demonstration
from policy.switching.planning import BEFORE
from policy.switching.reverse import retreat_segment, reverse_segment, tracking_lag
from policy.synthesise import main, synthesise
from sim.initial_states import start
from sim.record import main as record_demonstrations
from sim.worlds.tabletop.tasks import TASKS
from sim.worlds.tabletop.world import Tabletop
from tests.demo_bag import CONTRACT, LAG, PACE, RELEASED, START, TAKEN, grasp, record
from tests.test_contract import FINGER, SPEEDS, kinds

CONTRACTS = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def tiny(name: str) -> Contract:
    """A shipped contract whose cameras are small, so that its bags are."""
    contract = load(name)
    return replace(contract, cameras={n: replace(c, height=24, width=32) for n, c in contract.cameras.items()})


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_written_bag_reads_back(name: str, tmp_path: Path) -> None:
    contract, rng = tiny(name), np.random.default_rng(0)
    spec, dt, steps = contract.spec, contract.spec.dt_ns, 5
    states, actions = (
        rng.uniform(0.05, 0.1, (steps, len(names))).astype(np.float32) for names in (spec.state, spec.action)
    )
    images = {
        n: rng.integers(0, 256, (steps, 1, 1, 3), np.uint8).repeat(h, 1).repeat(w, 2)
        for n, (h, w) in spec.cameras.items()
    }
    with EpisodeWriter(tmp_path / "bag", channels(contract)) as bag:
        encoder = MessageWriter(bag, contract)
        encoder.text(contract.instruction, "do it", START)
        for k in range(steps):
            encoder.frame(START + k * dt, {n: of[k] for n, of in images.items()}, states[k])
            encoder.command(START + k * dt, actions[k])
    (episode,) = read_episodes(tmp_path / "bag", contract)
    assert episode.stamps.tolist() == [START + k * dt for k in range(steps)] and not episode.dropped
    np.testing.assert_allclose(episode.state, states, atol=1e-6)
    np.testing.assert_allclose(episode.actions, actions, atol=1e-6)
    for n, camera in contract.cameras.items():
        away = np.abs(episode.images[n].astype(int) - images[n])
        assert away.max() <= (3 if camera.encoding == "jpeg" else 0)


def test_the_tracking_lag_is_found() -> None:
    assert tracking_lag(grasp(), CONTRACT.grippers) == LAG


def test_the_reversed_path_goes_through_recorded_frames() -> None:
    demo = grasp()
    segment = reverse_segment(CONTRACT, demo, 60, to_start=True)
    assert segment.frames[0] == 60 and segment.frames[-1] == 0
    step = np.abs(np.diff(demo.state[segment.frames], axis=0))
    assert step[:, ~CONTRACT.grippers].max() <= PACE + 1e-6  # also across the pause
    rollback = np.array(segment.frames) > TAKEN - APPROACH_STEPS
    assert set(segment.mode[rollback]) == {ROLLBACK} and set(segment.mode[~rollback]) == {ADVANCE}
    assert sum(k == 45 for k in segment.frames) <= 1  # pauses are left out
    # once the motion is blended, set-points are the states that lie the lag ahead
    ahead = demo.state[segment.frames][LAG:, 0]
    np.testing.assert_allclose(segment.actions[10:-LAG, 0], ahead[10:], atol=1e-6)


def test_the_gripper_is_commanded_to_open_before_the_frames_show_it() -> None:
    demo, hand = grasp(), CONTRACT.spec.action.index("gripper")
    segment = reverse_segment(CONTRACT, demo, 60, to_start=False)
    low, high = CONTRACT.limits.low[hand], CONTRACT.limits.high[hand]
    commanded, seen = segment.actions[:, hand], demo.state[segment.frames][:, hand]
    opened, moves = int(np.argmax(commanded == high)), int(np.argmax(seen == high))
    assert (commanded[:opened] == low).all() and (commanded[opened:] == high).all()
    assert moves - opened == LAG + 1
    still = demo.state[segment.frames][opened - LAG : moves, 0]
    assert np.ptp(still) == 0  # the arm has arrived and waits


def test_the_reversed_path_ends_where_the_hand_is_free() -> None:
    demo = grasp()
    assert reverse_segment(CONTRACT, demo, 60, to_start=False).frames[-1] == TAKEN - APPROACH_STEPS
    assert reverse_segment(CONTRACT, demo, 38, to_start=False).frames[-1] == TAKEN - APPROACH_STEPS  # it approaches
    assert set(reverse_segment(CONTRACT, demo, 38, to_start=False).mode) == {ADVANCE}
    assert reverse_segment(CONTRACT, demo, 20, to_start=False) is None
    assert reverse_segment(CONTRACT, demo, 20, to_start=True).frames[-1] == 0
    twice = replace(demo, contact=demo.contact | (np.arange(100) > 3) & (np.arange(100) < 8))
    assert (
        reverse_segment(CONTRACT, twice, 60, to_start=True).frames[-1] == TAKEN - APPROACH_STEPS
    )  # the result of an earlier contact stays
    segment = retreat_segment(demo, RELEASED + 2)
    assert segment.frames == list(range(RELEASED + 2, RELEASED + RETREAT_STEPS)) and set(segment.mode) == {ADVANCE}
    assert np.array_equal(segment.actions, demo.actions[segment.frames])


def two_tasks(folder: Path, contract: Contract = CONTRACT, at: float = 0.0, labels: bool = True) -> Path:
    low, high = contract.limits.low.astype(float), contract.limits.high.astype(float)
    pace = min(PACE, 0.4 * float((high - low)[:2].min()) / 100)  # it stays within the limits
    first = grasp(contract, at=float(low[0] + high[0]) / 2, pace=pace)
    record(folder / "a", first, "take it", contract=contract, told=labels)
    second = grasp(contract, joint=1, at=at, pace=pace)
    record(folder / "b", second, "take the other", contract=contract, told=labels)
    return folder


STATE_IS_COMMANDED = [name for name in CONTRACTS if load(name).spec.state == load(name).spec.action]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "labels"),
    [
        pytest.param(name, labels, marks=() if labels or name == "tabletop" else pytest.mark.heavy)
        for name in STATE_IS_COMMANDED
        for labels in (True, False)
        if labels or load(name).grippers.any()  # contact is told by a label or by a gripper
    ],
)
def test_bags_of_any_robot_become_switches(name: str, labels: bool, tmp_path: Path) -> None:
    contract = tiny(name)
    bags = two_tasks(tmp_path / "bags", contract, float(grasp(contract).state[0, 1]), labels)
    counts = synthesise(bags, bags / "switches", contract)
    assert counts["mid: kept"] == 2 and counts["early: kept"] == 2, counts
    assert synthesise(bags, bags / "switches", contract) == counts  # neither its own output nor a second time
    dt = contract.spec.dt_ns
    for bag in find_bags(bags / "switches"):
        first, second = read_episodes(bag, contract)
        (source,) = read_episodes(bags / bag.name[0], contract)
        assert {first.instruction, second.instruction} == {"take it", "take the other"}
        assert first.instruction == source.instruction and not first.dropped
        stamps = np.concatenate([first.stamps, second.stamps])
        assert (np.diff(stamps) == dt).all() and not first.mode.any() and second.mode.all()
        for episode in (first, second):
            for i, state in enumerate(episode.state):  # each state with the image of the same frame
                k = int(np.rint(np.median(episode.images[next(iter(contract.cameras))][i]) / 2))
                np.testing.assert_allclose(state, source.state[k], atol=1e-5)
                assert episode.contact[i] == source.contact[k]
        commands = np.concatenate([first.actions, second.actions])
        assert (commands >= contract.limits.low - 1e-4).all() and (commands <= contract.limits.high + 1e-4).all()
        pace = np.abs(np.diff(commands, axis=0))[:, ~contract.grippers]
        assert (pace <= contract.limits.velocity[~contract.grippers] / contract.rate + 1e-6).all()
        if bag.name.endswith("mid"):
            opened = np.abs(source.state - second.state[0]).sum(1).argmin() >= RELEASED
            assert second.mode[0] == (ADVANCE if opened else ROLLBACK) and second.contact[0]
            assert len(first.stamps) >= BEFORE[0] * contract.rate


def test_velocities_are_not_reversed(tmp_path: Path) -> None:
    """Where the arm was does not follow from them."""
    bags, contract = two_tasks(tmp_path / "bags"), load(kinds(tmp_path, SPEEDS, FINGER))
    with pytest.raises(InputError, match="the action j1_speed is no position of the state"):
        synthesise(bags, tmp_path / "out", contract)


def test_training_does_not_take_the_end_of_such_a_bag_for_done(tmp_path: Path) -> None:
    bags = two_tasks(tmp_path / "bags", at=float(grasp().state[0, 1]))
    synthesise(bags, bags / "switches", CONTRACT)
    cache = dataset.open_cache(bags, CONTRACT)
    _, mask = targets(cache, CONTRACT.horizon)
    done = execution_targets(cache)[:, 1]
    for e, bag in enumerate(cache.bags):
        last = int(cache.bounds[e + 1]) - 1
        assert cache.incomplete[e] == bag.startswith("switches")
        assert done[last] == (not cache.incomplete[e])
        assert mask[last].tolist() == [True] + [not cache.incomplete[e]] * (CONTRACT.horizon - 1)


def test_without_a_shared_start_the_bag_ends_where_the_hand_is_free(tmp_path: Path) -> None:
    bags = two_tasks(tmp_path / "bags", at=0.5 + float(grasp().state[0, 1]))
    counts = synthesise(bags, tmp_path / "out", CONTRACT)
    assert counts["mid: kept"] == 2
    for bag in tmp_path.glob("out/*mid"):
        _, second = read_episodes(bag, CONTRACT)
        assert (
            MODES[second.mode[-1]] == "advance" and (second.mode == ADVANCE).sum() == 1
        )  # at APPROACH_STEPS, no further


def jumping(demo: Demonstration) -> Demonstration:
    """The arm jumps on its path."""
    return replace(demo, state=np.where(np.arange(100)[:, None] > 30, demo.state + 0.3, demo.state))


@pytest.mark.parametrize(
    ("demo", "missing", "why"),
    [
        (grasp(), 35, "frames are missing"),
        (jumping(grasp()), None, "the arm is faster than its limits"),
        (grasp(at=2.5), None, "a set-point is beyond its limits"),
    ],
    ids=["gap", "fast", "far"],
)
def test_a_switch_beyond_limits_is_not_written_and_counted(
    demo: Demonstration, missing: int | None, why: str, tmp_path: Path
) -> None:
    record(tmp_path / "bags" / "a", demo, "take it", missing=missing)
    record(tmp_path / "bags" / "b", grasp(joint=1), "take the other")
    counts = synthesise(tmp_path / "bags", tmp_path / "out", CONTRACT)
    assert counts[f"mid: {why}"] == 1 and counts["mid: kept"] == 1
    assert not (tmp_path / "out" / "a_0_mid").exists()


def test_episodes_without_a_switch_are_counted(tmp_path: Path) -> None:
    bags = two_tasks(tmp_path / "bags")
    record(bags / "c", grasp(contact=(200, 201), closes=False), "wave")
    record(bags / "d", grasp(contact=(0, 50)), "keep it")
    counts = synthesise(bags, tmp_path / "out", CONTRACT)
    assert counts["an episode: no contact"] == counts["an episode: begins in contact"] == 1
    assert not [bag for bag in (tmp_path / "out").iterdir() if bag.name[0] in "cd"]


def test_bags_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    record(tmp_path / "one" / "a", grasp(), "take it")
    bare = replace(CONTRACT, labels=replace(CONTRACT.labels, mode=None))
    for contract, expected in ((CONTRACT, "a contact in 1 task .take it."), (bare, "labels: {contact:")):
        with pytest.raises(InputError, match=expected):
            synthesise(tmp_path / "one", tmp_path / "out", contract)
    for out in (tmp_path / "one", tmp_path):
        with pytest.raises(InputError, match="switches need a folder of their own"):
            synthesise(tmp_path / "one", out, CONTRACT)
    numb = replace(CONTRACT, action=tuple(replace(c, gripper=False) for c in CONTRACT.action))
    record(tmp_path / "two" / "a", grasp(), "take it", told=False)
    with pytest.raises(InputError, match="gives no contact"):
        synthesise(tmp_path / "two", tmp_path / "out", numb)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_in_the_simulator_the_set_points_put_the_block_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """The switch is made without a simulator; its set-points are replayed in one."""
    bags = tmp_path / "bags"
    for task in ("put_red", "lamp_on"):
        record_demonstrations(["--tasks", task, "--episodes", "1", "--out", str(bags), "--processes", "1"])
    monkeypatch.setattr(sys, "argv", ["synthesise", str(bags), "--out", str(tmp_path / "out")])
    main()
    assert "mid: kept" in capsys.readouterr().out
    (source,) = read_episodes(bags / "put_red_0000", CONTRACT)
    first, second = read_episodes(tmp_path / "out" / "put_red_0000_0_mid", CONTRACT)
    world = Tabletop()
    seed = (bags / "put_red_0000" / "metadata.yaml").read_text().split("seed: '")[1].split("'")[0]
    start(world, TASKS["put_red"], int(seed), "home")
    lay = world.position("red")
    for k in range(int(np.argmin(np.abs(source.state - first.state[0]).sum(1)))):
        world.step(source.actions[k])
    lifted, away = False, []
    for episode in (first, second):
        for state, action in zip(episode.state, episode.actions, strict=True):
            away.append(np.abs(world.state() - state)[:7].max())
            world.step(action)
            lifted |= bool(world.touched("red"))
    assert lifted and not world.touched("red")
    assert max(away) < 0.06  # rad, between what was seen and what its set-points lead to
    assert np.linalg.norm(world.position("red") - lay) < 0.005
