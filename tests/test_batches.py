"""Batches keep what is held out away from training, and key frames see every gripper."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from policy.data.cache import open_cache
from policy.errors import InputError
from policy.learning import recipe
from policy.learning.batches import Batches, _split
from policy.learning.objectives import Keyframe
from policy.robot.contract import load
from policy.synthesise import synthesise
from tests import small
from tests.demo_bag import CONTRACT, grasp, record


@pytest.mark.slow
def test_switches_are_held_out_with_the_demonstration_they_were_made_of(tmp_path: Path) -> None:
    bags = tmp_path / "bags"
    for i in range(6):
        record(bags / f"ep{i}", grasp(joint=i % 2, at=0.001 * i), ("take it", "take the other")[i % 2])
    synthesise(bags, bags / "switches", CONTRACT)
    raw = small.shrink("switch")
    raw["training"]["held_out"] = 0.3
    chosen = recipe.parse(raw)
    cache = open_cache(bags, CONTRACT, 16)
    batches = Batches(cache, chosen)
    source = [Path(bag).name.split("_")[0] for bag in cache.bags]
    held, trained = ({source[e] for e in cache.episode[rows]} for rows in (batches.held_out, batches.train))
    assert 0 < len(held) < 6 and held.isdisjoint(trained) and held | trained == set(source)
    assert any(bag.startswith("switches/") and source[e] in held for e, bag in enumerate(cache.bags))
    pixels = [(*cache.state[i].round(5), int(cache.images["front"][i][0, 0, 0])) for i in range(len(cache.state))]
    assert {pixels[i] for i in batches.held_out}.isdisjoint(pixels[i] for i in batches.train)


def test_a_bag_of_two_recordings_is_in_neither_part_where_they_are_in_both() -> None:
    cache = SimpleNamespace(sources=[("a",), ("b",), ("a", "b"), ("a",)], kept=np.zeros(4, bool))
    held_out, trained = _split(cache, 0.5, 0)
    assert sorted([held_out.tolist(), trained.tolist()]) == [[False, True, False, False], [True, False, False, True]]


def test_a_recording_that_is_added_changes_nothing_for_the_others() -> None:
    def held(count: int, share: float, seed: int) -> list[bool]:
        sources = [(f"episode_{i}",) for i in range(count)]
        held_out, trained = _split(SimpleNamespace(sources=sources, kept=np.zeros(count, bool)), share, seed)
        assert (held_out != trained).all()
        return held_out.tolist()

    for seed in range(5):
        for count in range(100, 200, 7):
            assert held(count, 0.1, seed) == held(200, 0.1, seed)[:count]
        assert 0.06 < np.mean(held(1000, 0.1, seed)) < 0.14
    assert held(200, 0.1, 0) != held(200, 0.1, 1)
    for seed in range(50):  # few recordings: one on each side
        assert all(0 < sum(held(count, 0.34, seed)) < count for count in (2, 3, 4))
    assert not any(held(50, 0.0, 0)) and all(held(50, 1.0, 0))


@pytest.mark.parametrize("names", ["other", "the same"])
def test_of_what_is_new_and_of_what_is_kept_something_is_learnt(names: str) -> None:
    """Few new recordings beside many kept ones: none of them is all held out by chance."""
    new, old = [(f"episode_{i}",) for i in range(2)], [(f"episode_{i + 9 * (names == 'other')}",) for i in range(20)]
    for seed in range(50):
        _, trained = _split(SimpleNamespace(sources=new + old, kept=np.arange(22) >= 2), 0.34, seed)
        assert trained[:2].any() and trained[2:].any()


@pytest.mark.parametrize("goal_steps", [0, 6])
def test_what_stays_the_same_on_a_robot_is_drawn_once_a_window(goal_steps: int, tmp_path: Path) -> None:
    raw = small.objective("keyframe") | {"memory": {"name": "gru", "frames": 4, "stride": 1}}
    raw["encoders"] = {
        "instruction": {"optional": True},
        "goal_image": {"size": 16, "stem": 4, "channels": 4, "blocks": 1, "keypoints": 2},
        "goal_state": {},
        "proprioception": {},
    }
    raw["training"] = {"samples": 64, "batch_size": 64, "held_out": 0.0, "condition_dropout": 0.5}
    raw["training"] |= {"random_shift": 4, "goal_steps": goal_steps}
    cache = open_cache(small.bags(tmp_path, 2, 40), CONTRACT, 16, processes=1)
    batch = Batches(cache, recipe.parse(raw)).at(0)
    for name in ("goal_front", "goal_wrist", "goal_state", "goal_present", "instruction_present"):
        windows = batch[name].view(16, 4, -1)
        assert (windows == windows[:, :1]).all(), name
        if goal_steps or name != "goal_state":  # all recordings end in the same state
            assert len(windows[:, 0].unique(dim=0)) > 1, name
    last = batch["goal_state"].view(16, 4, -1)[:, 3]
    here = batch["state"].view(16, 4, -1)[:, 3]
    assert (last >= here).all(), "it lies ahead of the last frame, or is it"


def test_what_stands_before_a_recording_is_not_learnt(tmp_path: Path) -> None:
    """Its first frame stands there, which would be half of all that is learnt."""
    raw = small.objective("keyframe") | {"memory": {"name": "gru", "frames": 8, "stride": 4}}
    raw["training"] = {"samples": 512, "batch_size": 512, "held_out": 0.0}
    cache = open_cache(small.bags(tmp_path, 2, 40), CONTRACT, 16, processes=1)
    batch = Batches(cache, recipe.parse(raw)).at(0)
    learnt, is_first = batch["mask"].any(1).view(64, 8), batch["is_first"]
    assert learnt[:, -1].all() and not learnt.all() and (learnt == batch["there"].view(64, 8)).all()
    assert is_first[~learnt].all(), "each of them for itself"
    assert (learnt[:, :-1] <= learnt[:, 1:]).all(), "they come before all others of their window"
    assert (learnt & is_first).sum(1).tolist() == [1] * 64, "and what comes after them has no past"


def test_labels_are_as_old_as_the_runtime_of_the_recipe_lets_them_become(tmp_path: Path) -> None:
    cache = open_cache(small.switches(tmp_path), CONTRACT, 16, processes=1)
    chosen = {s: recipe.parse(small.shrink("switch") | {"runtime": {"replan_s": s}}) for s in (0.1, 0.4)}
    assert {s: Batches(cache, of).context.interval for s, of in chosen.items()} == {0.1: 2, 0.4: 8}


def test_recordings_without_what_a_recipe_learns_from_are_refused(tmp_path: Path) -> None:
    raw = small.objective("keyframe") | {"training": {"batch_size": 4, "held_out": 0.0}}
    cache = open_cache(small.bags(tmp_path / "plain", 2, 40), CONTRACT, 16, processes=1)
    for stride in (40, 10**10):
        longer = recipe.parse(raw | {"memory": {"name": "gru", "frames": 2, "stride": stride}})
        with pytest.raises(InputError, match="the longest recording has 39 steps: no window would hold two frames"):
            Batches(cache, longer)
    assert Batches(cache, recipe.parse(raw | {"memory": {"name": "gru", "frames": 2, "stride": 39}})).frames == 2
    good = recipe.parse(raw | {"encoders": {"return_to_go": {}}, "memory": None})
    with pytest.raises(InputError, match="no recording to train on says how good it was; mark them"):
        Batches(cache, good)
    marked = open_cache(small.marked(small.bags(tmp_path / "marked", 2, 20)), CONTRACT, 16, processes=1)
    assert "return_to_go" in Batches(marked, good).reads


def test_key_frames_of_every_gripper_and_of_no_noise() -> None:
    contract = load("aloha2")
    grippers = np.flatnonzero(contract.grippers)
    assert len(grippers) == 2
    state = np.repeat(np.arange(10.0)[:, None], len(contract.spec.state), 1)

    def labels(actions: np.ndarray) -> list[float]:
        cache = SimpleNamespace(contract=contract, state=state, actions=actions, bounds=np.array([0, 10]))
        return Keyframe.labels(cache)[:, 0].tolist()

    still = np.zeros((10, len(contract.spec.action)), np.float32)
    assert labels(still) == [9] * 10
    for hand, other in (grippers, grippers[::-1]):
        moved = still.copy()
        moved[3:, hand] = 0.1
        assert labels(moved) == [3] * 3 + [9] * 7
        moved[6:, other] = 0.1
        assert labels(moved) == [3] * 3 + [6] * 3 + [9] * 4
    noise = still + 1e-7 * np.random.default_rng(0).normal(size=still.shape)
    assert labels(noise) == [9] * 10
    arm = still.copy()
    arm[4:, 0] = 1.0
    assert labels(arm) == [9] * 10
