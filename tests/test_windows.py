"""Windows of the cache: targets at their own times, what ends them, the frames before; and the statistics."""

from pathlib import Path

import numpy as np
import pytest

from policy.data.cache import open_cache
from policy.data.windows import Windows, statistics
from tests import small_robot as small
from tests.demo_bag import CONTRACT, START, STEP, Item, action, demonstration, make, qpos, write

STEPS = (12, 7, 9)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    """Three bags, decoded."""
    folder = tmp_path_factory.mktemp("recorded")
    for i, steps in enumerate(STEPS):
        write(folder / f"bag{i}", demonstration(steps, seed=i, text=f"do {i}", task=f"t{i}"))
    return folder


def test_windows_hold_the_last_set_point_past_the_end(recorded):
    windows = Windows(open_cache(recorded, CONTRACT), 16)
    assert len(windows) == sum(STEPS)
    batch = windows.batch(np.array([0, 11, 12, 15]), np.random.default_rng(0), shift=0)
    steps = [[min(t + i, last) for i in range(16)] for t, last in ((0, 11), (11, 11), (0, 6), (3, 6))]
    np.testing.assert_allclose(batch["actions"], [[action(t) for t in row] for row in steps], atol=1e-6)
    np.testing.assert_allclose(batch["state"][:, :7], [qpos(t)[:7] for t in (0, 11, 0, 3)], atol=1e-6)
    assert batch["mask"].all() and batch["mask"].shape == (4, 16)
    assert batch["episode"].tolist() == [0, 0, 1, 1]
    assert np.array_equal(batch["image_wrist"], windows.cache.images["wrist"][np.array([0, 11, 12, 15])])


def test_a_missing_frame_neither_shifts_the_actions_after_it_nor_takes_its_own(tmp_path):
    """The commands of that time are in the bag."""
    start = next(iter(demonstration())).receive
    gone = [start + t * STEP for t in (4, 5, 6)]
    items = [i for i in demonstration(16) if not (i.topic == "camera/front/image_raw" and i.receive in gone)]
    write(tmp_path / "bags" / "a", items)
    windows = Windows(open_cache(tmp_path / "bags", CONTRACT), 16)
    assert len(windows) == 13
    batch = windows.batch(np.array([0]), np.random.default_rng(0), 0)
    assert batch["mask"].all()
    np.testing.assert_allclose(batch["actions"][0], [action(t) for t in range(16)], atol=1e-6)


@pytest.mark.parametrize(("rate", "camera", "commands"), [(30, 15, 30), (20, 30, 100), (5, 5, 50), (200, 30, 200)])
def test_targets_are_the_commands_in_force_at_their_own_times(tmp_path, rate, camera, commands):
    """A camera at half the policy's rate (in the dark), commands at another one: every action is learnt."""
    contract, end = small.contract(rate=rate), 4.0
    small.record(tmp_path / "a", small.moving(end, camera=camera, commands=commands))
    windows = Windows(open_cache(tmp_path, contract), contract.horizon)
    assert len(windows) == pytest.approx(end * min(camera, rate), abs=3) and windows.learnt.all()
    times = (windows.cache.stamps[:, None] - small.START) * 1e-9 + (np.arange(contract.horizon) + 1) / rate
    inside = times < end - 1 / commands
    expected = small.position(times)
    got = windows.batch(np.arange(len(windows)), np.random.default_rng(0), 0)["actions"]
    assert np.abs(got - expected)[inside].max() < 0.1 / commands**2 + 1e-6  # the controller's straight lines
    spread = statistics(windows.cache)["delta_std"][:, 0]
    assert (np.diff(spread) > 0).all()  # rises with every step


def test_frames_before_run_across_the_instructions_of_a_recording(tmp_path):
    again = START + 9 * STEP - STEP // 2
    said = [Item("instruction", make("String", "do that"), again)]
    write(tmp_path / "a", sorted([*demonstration(12), *said], key=lambda i: i.receive))
    write(tmp_path / "b", demonstration(6))
    windows = Windows(open_cache(tmp_path, CONTRACT), 4)
    rows, there, alone = windows.before(np.array([10, 1, 13]), np.tile(np.arange(3, -1, -1), (3, 1)), 1)
    assert rows[0].tolist() == [7, 8, 9, 10] and there[0].all() and alone[0].tolist() == [True, False, False, False]
    assert windows.cache.episode[rows[0]].tolist() == [0, 0, 1, 1]
    assert rows[1, 2:].tolist() == [0, 1] and there[1].tolist() == [False, False, True, True]
    assert rows[2, 2:].tolist() == [12, 13] and there[2].tolist() == [False, False, True, True]  # b's own


@pytest.mark.parametrize(
    "lost, steps, stride, frames, has_past",
    [
        ({8}, [6, 4, 2, 0], 2, [6, 9, 10, 12], [0, 1, 1, 1]),  # the one beside it
        ({8, 9, 10}, [6, 4, 2, 0], 2, [6, 7, 11, 12], [0, 1, 1, 1]),
        (set(range(5, 11)), [8, 6, 4, 2, 0], 2, [4, 11, 12], [0, 0, 1]),  # more than two strides: it is forgotten
        (set(range(1, 13, 2)), [4, 3, 2, 1, 0], 1, [8, 10, 12], [0, 1, 1]),  # a camera of half the rate
    ],
)
def test_a_frame_that_is_missing_costs_a_window_what_it_costs_a_robot(lost, steps, stride, frames, has_past, tmp_path):
    gone = {START + t * STEP for t in lost}
    write(tmp_path / "a", [i for i in demonstration(13) if not (i.topic.startswith("camera") and i.receive in gone)])
    windows = Windows(open_cache(tmp_path, CONTRACT), 4)
    at = np.round((windows.cache.stamps - windows.cache.stamps[0]) / STEP).astype(int)
    rows, there, alone = windows.before(np.array([len(at) - 1]), np.array([steps]), stride)
    assert at[rows[there]].tolist() == frames
    assert (~alone[there]).astype(int).tolist() == has_past


def test_a_withdrawn_instruction_goes_on_with_the_set_point_of_then(tmp_path):
    """The commands go on after it was withdrawn: they are not what it asked for."""
    contract = small.contract()
    stop = small.START + int(2.0 * 1e9)
    items = [*small.moving(4.0, still_from=1.4, still_until=2.0), ("instruction", small.string(""), stop)]
    small.record(tmp_path / "a", sorted(items, key=lambda i: i[2]))
    cache = open_cache(tmp_path, contract)
    assert cache.incomplete.tolist() == [False] and cache.stamps[-1] < stop
    batch = Windows(cache, 8).batch(np.array([len(cache.stamps) - 1]), np.random.default_rng(0), 0)
    assert batch["mask"].all()
    np.testing.assert_allclose(batch["actions"][0], np.tile(small.position(np.array(1.4)), (8, 1)), atol=2e-3)


def test_an_instruction_that_is_not_carried_out_has_no_end(tmp_path):
    """Another one follows, or the bag ends on the way: the robot does not necessarily hold then."""
    again, turn = START + 9 * STEP - STEP // 2, START + 12 * STEP - STEP // 2
    said = [
        Item("instruction", make("String", "do that"), again),
        Item("label/mode", make("String", "rollback"), again),
    ]
    arrived = Item("label/mode", make("String", "forward"), turn)
    for name, more in (("on_the_way", said), ("arrived", [*said, arrived]), ("whole", [])):
        write(tmp_path / "bags" / name, sorted([*demonstration(20), *more], key=lambda i: i.receive))
    cache = open_cache(tmp_path / "bags", CONTRACT)
    assert cache.bags == ["arrived", "arrived", "on_the_way", "on_the_way", "whole"]
    assert cache.incomplete.tolist() == [True, False, True, True, False]
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
