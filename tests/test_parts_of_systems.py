"""What the parts of published systems promise beyond what every registered part does (tests/test_recipes.py)."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from policy import train
from policy.data.cache import open_cache
from policy.errors import InputError
from policy.learning import checkpoint, recipe
from policy.learning.batches import Batches
from policy.learning.heads.masked_trajectory import PARTS, MaskedTrajectoryObjective
from policy.learning.interfaces import Features
from policy.learning.model import Policy
from policy.learning.normalization import identity_statistics
from policy.learning.objectives.dynamo import covariance, sameness
from policy.learning.objectives.self_evolution import SHARE, SelfEvolution
from policy.robot.contract import load
from policy.running.conditions import Conditions
from tests import small

SPEC = load("tabletop").spec


def policy(name: str) -> Policy:
    """A small policy trained by an objective."""
    torch.manual_seed(0)
    return Policy(recipe.parse(small.objective(name)), SPEC, identity_statistics(SPEC))


def test_world_queries_read_the_observation_and_not_each_other() -> None:
    made = policy("forecasting").eval()
    given = small.batch(SPEC)
    queries = made.encoders["world_queries"].queries
    for reader in range(3):
        made.zero_grad()
        made.features(given).tokens["world_queries"][:, reader].sum().backward()
        read = queries.grad[0].abs().amax(-1) > 0
        assert read.tolist() == [i == reader for i in range(3)]
    made.zero_grad()
    made.features(given).frame.sum().backward()
    assert (queries.grad[0].abs().amax(-1) > 0).all(), "the action token reads all"


def test_the_past_self_follows_slowly_and_refines_the_label() -> None:
    made = policy("self_evolution")
    objective, given = made.objectives["self_evolution"], small.batch(SPEC)
    assert isinstance(objective, SelfEvolution)

    def present() -> torch.Tensor:
        return torch.cat([p.detach().reshape(-1) for n, p in made.named_parameters() if "objectives" not in n])

    with torch.no_grad():
        for parameter in made.head.parameters():  # as by the weights of another run
            parameter += 1.0
    made.loss(given)
    assert torch.equal(objective.past, present()) and objective.steps == 1
    before = objective.past.clone()
    with torch.no_grad():
        for parameter in made.head.parameters():
            parameter += 1.0
    made.loss(given)
    assert 0 < (objective.past - before).abs().max() < 0.01 and objective.steps == 2
    made.eval()
    with torch.no_grad():
        objective.steps.zero_()  # untrained, it knows nothing: the label is as it is
        _, parts = made.loss(given)
        torch.testing.assert_close(parts["self_evolution"], parts["action"])
        objective.steps += 10_000  # the present self is the past one: what is left is the label's share
        objective.past.copy_(present())
        _, parts = made.loss(given)
        torch.testing.assert_close(parts["self_evolution"], (1 - SHARE) * parts["action"])


def test_refined_labels_are_learnt_with_what_is_committed() -> None:
    raw = small.objective("self_evolution")
    raw["encoders"]["committed"] = {}
    made = Policy(recipe.parse(raw), SPEC, identity_statistics(SPEC))
    given, prefixes, loss = small.batch(SPEC), list[object](), made.head.loss
    given |= {"committed": given["actions"], "committed_steps": torch.full((10,), 3)}
    made.head.loss = lambda f, t, m, prefix: (prefixes.append(prefix), loss(f, t, m, prefix))[1]  # type: ignore
    made.loss(given)
    assert len(prefixes) == 2 and all(prefix is not None and prefix.mask[:, :3].all() for prefix in prefixes)


@pytest.mark.parametrize("name", ["inverse_dynamics", "forward_prediction"])
def test_set_points_lead_to_no_frame_of_another_instruction(name: str) -> None:
    made, given = policy(name).eval(), small.batch(SPEC)
    given[name] = torch.zeros(10, dtype=torch.int64)
    given[name][7:] = 1  # frames 6 and 7 are neighbours of two episodes
    with torch.no_grad():
        losses = [made.loss(given)[1][name]]
        for row in (6, 7):  # what leads over the border is not learnt; what comes after it is
            other = given | {"actions": given["actions"].clone()}
            other["actions"][row] += 5.0
            losses.append(made.loss(other)[1][name])
    assert losses[0] == losses[1] != losses[2]


def test_what_comes_after_an_instruction_that_was_left_is_not_known() -> None:
    """The labels there are of its last frame, while the recorded arm went on under the next one."""
    for name in ("masked_trajectory", "forecasting"):
        made, given = policy(name), small.batch(SPEC)
        objective = made.objectives[name]
        shape = (PARTS, len(SPEC.state)) if name == "masked_trajectory" else (sum(objective.sizes),)
        given[name] = torch.rand(10, *shape)
        left = given | {"mask": given["mask"].clone()}
        left["mask"][3, SPEC.horizon // 2 :] = False
        for learnt, then in ((True, given), (False, left)):
            losses = []
            for label in (then[name], 1 - then[name]):
                other = then[name].clone()
                places = (3, slice(PARTS // 2, None)) if name == "masked_trajectory" else (3,)
                other[places] = label[places]
                torch.manual_seed(0)
                losses.append(made.loss(then | {name: other})[1][name].item())
            assert (losses[0] != losses[1]) == learnt, name


@pytest.mark.parametrize("name", ["masked_trajectory", "masked_trajectory_inverse"])
def test_masked_trajectories_read_nothing_of_another_instruction(name: str) -> None:
    """Neither in the rest of a chunk nor in a frame of which nothing is learnt, under whatever mask is drawn."""
    made, given = policy(name).eval(), small.batch(SPEC)
    given[name] = torch.rand(10, PARTS, len(SPEC.state))
    half = SPEC.horizon // 2
    left = given | {"mask": given["mask"].clone()}
    left["mask"][3, half:], left["mask"][6] = False, False
    changes = {"actions": ((3, slice(half, None)), (6,)), name: ((3, slice(PARTS // 2, None)), (6,))}
    for what, places in changes.items():
        other = left[what].clone()
        for place in places:
            other[place] += 1.0
        for draw in range(20):
            losses = []
            for values in (left[what], other):
                torch.manual_seed(draw)
                with torch.no_grad():
                    losses.append(made.loss(left | {what: values})[1][name].item())
            assert losses[0] == losses[1], (what, draw)


def test_frames_of_which_nothing_is_learnt_lead_to_no_keyframe() -> None:
    """Those before a correction, in a window that ends in it."""
    made, given = policy("keyframe").eval(), small.batch(SPEC)
    given["mask"][2] = False
    given["keyframe"] = torch.randn(10, len(SPEC.state))
    other = given["keyframe"].clone()
    other[2] += 1.0
    learnt = given["keyframe"].clone()
    learnt[3] += 1.0
    with torch.no_grad():
        losses = [made.loss(given | {"keyframe": label})[1]["keyframe"] for label in (given["keyframe"], other, learnt)]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.slow
def test_masked_trajectories_fill_in_what_is_hidden_from_what_is_known() -> None:
    """States that are the actions: under the mask of forward dynamics these are known, under that of a policy not."""
    made = policy("masked_trajectory")
    objective = made.objectives["masked_trajectory"]
    assert isinstance(objective, MaskedTrajectoryObjective)
    torch.manual_seed(0)
    value, features = torch.randn(64, 1, 1), torch.zeros(64, 16)
    chunk, states = value.expand(-1, SPEC.horizon, len(SPEC.action)), value.expand(-1, PARTS, len(SPEC.state))
    whole = torch.ones(64, SPEC.horizon, dtype=torch.bool)
    given = {"target": chunk, "learnt": whole, "mask": whole, "masked_trajectory": states}
    optimizer = torch.optim.Adam([*made.head.parameters(), *objective.parameters()], 1e-2)
    for _ in range(150):
        loss = objective(Features({}, features, features), given, made)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    masks = {"forward": (True, False), "policy": (False, False)}
    errors = {}
    for name, (actions, future) in masks.items():
        known = torch.stack([torch.full((64, PARTS), actions), torch.full((64, PARTS), future)])
        with torch.no_grad():
            errors[name] = (objective.filled(features, chunk, states, known, made)[1] - states).abs().mean()
    assert errors["forward"] < 0.5 * errors["policy"]


def test_the_control_of_masked_trajectories_never_hides_a_state() -> None:
    known = policy("masked_trajectory").objectives["masked_trajectory"].known(64, torch.device("cpu"))
    control = policy("masked_trajectory_inverse").objectives["masked_trajectory_inverse"].known(64, torch.device("cpu"))
    assert not known.flatten(2).any(0).all() and control[1].all() and not control[0].all()


def test_covariance_is_of_different_numbers_only() -> None:
    torch.manual_seed(0)
    x = torch.randn(2000, 4)
    there = torch.ones(2000, dtype=torch.bool)
    assert covariance(x, there) < 0.02 < covariance(x[:, [0, 0, 1, 1]], there)


def test_features_that_are_the_same_for_all_frames_are_penalised() -> None:
    x = torch.randn(2000, 4)
    there = torch.ones(2000, dtype=torch.bool)
    assert sameness(2 * x, there) == 0 < sameness(0.5 * x, there) < 0.6 < sameness(x[:1].expand(9, -1), there[:9]) < 1


def test_the_penalties_of_features_are_of_frames_that_are_there() -> None:
    """Before a recording its first frame stands, whose feature would count as often."""
    torch.manual_seed(0)
    x, there = torch.randn(50, 4), torch.arange(50) >= 20
    for penalty in (sameness, covariance):
        alone = penalty(x[there], there[there])
        torch.testing.assert_close(penalty(torch.where(there[:, None], x, 9.0), there), alone)
    made, given = policy("dynamo").eval(), small.batch(SPEC) | {"there": torch.arange(10) % 5 > 1}
    given["is_first"][:, :3] = True  # nor has what comes after them a past
    with torch.no_grad():
        losses = []
        for further in (0.0, 3.0):
            other = given["state"] + further * ~given["there"][:, None]
            losses.append(made.loss(given | {"state": other})[1]["dynamo"])
    torch.testing.assert_close(*losses)


@pytest.mark.slow
def test_what_is_frozen_keeps_the_weights_it_begins_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it gives in training what it will give when it runs, without dropout and noise."""
    modes, loss = list[tuple[bool, ...]](), Policy.loss

    def seen(policy: Policy, batch: dict[str, torch.Tensor]) -> object:
        modes.append((policy.encoders["cameras"].training, policy.mixer.training, policy.head.training))
        return loss(policy, batch)

    bags = small.bags(tmp_path / "bags")
    raw = small.shrink("systems/inverse_dynamics")
    train.train(str(small.write(tmp_path / "first.yaml", raw)), bags, tmp_path / "first", samples=8)
    later = small.shrink("systems/inverse_dynamics")
    del later["objectives"]
    later["training"] |= {"action_weight": 1.0, "frozen": ["encoders", "mixer"]}
    path = str(small.write(tmp_path / "second.yaml", later))
    monkeypatch.setattr(Policy, "loss", seen)
    for samples in (8, 16):  # and goes on
        train.train(path, bags, tmp_path / "second", samples=samples, weights=tmp_path / "first")
    (begun, _), (ended, _) = (checkpoint.load(tmp_path / run) for run in ("first", "second"))
    for name, value in ended.state_dict().items():
        if name.startswith(("encoders", "mixer")):
            assert torch.equal(value, begun.state_dict()[name]), name
    assert not torch.equal(ended.action_token, begun.action_token)
    assert set(modes) == {(False, False, True)}


def test_a_goal_is_the_state_of_a_later_frame(tmp_path: Path) -> None:
    cache = open_cache(small.bags(tmp_path / "bags"), load("tabletop"), 16)
    batches = Batches(cache, recipe.load("systems/cbet"))
    rows = np.arange(len(cache.state))
    goals = batches.gather(rows)["goal_state"].numpy()
    ends = cache.bounds[cache.episode + 1] - 1
    for row, goal in zip(rows, goals, strict=True):
        assert (cache.state[min(row + 1, ends[row]) : ends[row] + 1] == goal).all(1).any()


def test_a_goal_that_is_not_read_or_does_not_fit_is_refused() -> None:
    reading = replace(SPEC, reads=("state", "goal_state", "goal_present"))
    goal = Conditions(goal_state=np.zeros(len(SPEC.state)))
    goal.check(reading)
    assert goal.without_words(reading) and goal.inputs(reading)["goal_present"][0]
    with pytest.raises(InputError, match="goal_state, which this policy does not read"):
        goal.check(SPEC)
    with pytest.raises(InputError, match="expected 8 finite numbers"):
        Conditions(goal_state=np.zeros(3)).check(reading)


def test_a_policy_that_reads_a_goal_as_state_and_as_pictures_is_given_both() -> None:
    """They have one flag of presence: a goal of which one half is missing would be a state of zeros."""
    pictures = tuple(f"goal_{camera}" for camera in SPEC.cameras)
    reading = replace(SPEC, reads=("state", "goal_state", "goal_present", *pictures))
    state, image = np.zeros(len(SPEC.state)), {n: np.zeros((*size, 3), np.uint8) for n, size in SPEC.cameras.items()}
    Conditions().check(reading)
    Conditions(goal_state=state, goal_image=image).check(reading)
    for given, missing in (({"goal_image": image}, "goal_state"), ({"goal_state": state}, "goal_image")):
        with pytest.raises(InputError, match=f"no {missing}; this policy reads a goal as both"):
            Conditions(**given).check(reading)


LABELS = {"objectives": {"self_evolution": 1.0}, "training": {"action_weight": 0.0}}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"objectives": {"masked_trajectory": 1.0}}, "masked_trajectory needs head: masked_trajectory"),
        ({"objectives": {"forecasting": 1.0}}, "forecasting needs encoders: world_queries"),
        ({"objectives": {"dynamo": 1.0}}, "dynamo compares the frames of a window; add memory"),
        ({"training": {"frozen": ["head"]}}, "unknown training.frozen 'head'"),
        ({"mixer": {"name": "state_space"}, "encoders": {"world_queries": {}}}, "take the mixer transformer"),
        ({"memory": {"name": "xlstm", "frames": 4, "stride": 1, "scalar": 3}}, "3 scalar of 2 layers"),
        ({"memory": {"name": "convolution", "frames": 4, "stride": 1, "taps": 1}}, "taps: got 1, expected at least 2"),
        ({"head": {"name": "retrieval", "entries": 0}}, "entries: got 0"),
        (LABELS | {"head": {"name": "retrieval"}}, "has none before export"),
        (LABELS | {"head": {"name": "flow"}}, "a head that samples gives any of the chunks"),
        ({"objectives": {"self_evolution": 1.0}}, "self_evolution stands in place of the head's loss.*action_weight 0"),
        ({"encoders": {"world_queries": {}, "instruction": {}}}, "world_queries reads what is before it; name it"),
        ({"head": {"name": "diffusion", "guidance": 3.0}}, "guidance of diffusion.*add one"),
        ({"objectives": {"dynamo": 1.0}, "memory": {"name": "none", "frames": 1, "stride": 2}}, "frames at least 2"),
    ],
)
def test_a_recipe_whose_parts_do_not_go_together_is_refused(change: dict, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        Policy(recipe.parse(small.shrink("chunk") | change), SPEC, identity_statistics(SPEC))
