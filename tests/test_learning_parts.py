"""Every registered part of a policy: encoders, mixers, heads, objectives; what a switching policy reads."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from policy.data.pictures import Resizer
from policy.learning import recipe
from policy.learning.encoders import ENCODERS
from policy.learning.encoders.cameras import Cameras, area_weights
from policy.learning.encoders.window_noise import window_noise
from policy.learning.heads import HEADS
from policy.learning.interfaces import Features
from policy.learning.mixers import MIXERS
from policy.learning.model import Policy
from policy.learning.normalization import identity_statistics
from policy.learning.objectives import OBJECTIVES
from policy.learning.objectives.execution_estimate import ExecutionEstimation
from policy.learning.onnx_graph import DTYPES
from policy.learning.trainer import _parameter_groups
from policy.robot.contract import load
from policy.spec import MODES
from tests import small

SPEC = load("tabletop").spec


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_give_the_tokens_that_they_declare(name: str) -> None:
    encoder = ENCODERS[name](ENCODERS[name].Settings(), SPEC, 16, identity_statistics(SPEC))
    described = replace(SPEC, reads=encoder.inputs).inputs()
    assert set(described) == set(encoder.inputs), "it reads what a spec can name"
    given = {i: torch.ones((3, *shape), dtype=DTYPES[dtype]) for i, (dtype, shape) in described.items()}
    tokens, mask = encoder(*(given[i] for i in encoder.inputs), condition=torch.zeros(3, 16))
    assert tokens.shape == (3, encoder.tokens, 16)
    assert mask.shape[0] in (1, 3) and mask.shape[1] == encoder.tokens


CONDITIONS = {
    "instruction": {"dropout": 0.0},
    "words": {"dropout": 0.0, "drop_words": 0.5},
    "goal_state": {"noise": 1.0},
    "return_to_go": {"noise": 1.0},
    "execution_state": {"noise": 1.0},
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_the_noise_of_conditions_changes_from_window_to_window_and_not_within_one(name: str) -> None:
    torch.manual_seed(0)
    encoder = ENCODERS[name](ENCODERS[name].Settings(**CONDITIONS[name]), SPEC, 16, identity_statistics(SPEC)).train()
    described = replace(SPEC, reads=encoder.inputs).inputs()
    one = {i: torch.randn(1, *shape).to(DTYPES[dtype]) for i, (dtype, shape) in described.items()}

    def tokens(frames: int) -> torch.Tensor:
        encoder.frames = frames
        torch.manual_seed(1)
        given = [one[i].expand(10, *one[i].shape[1:]).contiguous() for i in encoder.inputs]
        return encoder(*given, condition=torch.zeros(10, 16))[0].flatten(1)

    windows = tokens(4)  # two, and the beginning of a third
    for window in windows.split(4):
        torch.testing.assert_close(window, window[:1].expand_as(window))
    assert len(windows[::4].unique(dim=0)) == 3 and len(tokens(1).unique(dim=0)) == 10


def test_the_noise_of_single_frames_is_drawn_as_published_policies_learnt_it() -> None:
    given = torch.randn(6, 3, 5)
    drawn = []
    for draw in (torch.randn_like, lambda x: window_noise(x, 1)):
        torch.manual_seed(0)
        drawn.append(draw(given))
    assert torch.equal(*drawn)


def test_the_noise_on_a_sentence_is_its_own_in_a_window_of_two() -> None:
    a, b = torch.randn(2, 3, 200)
    noise = window_noise(torch.stack([a, a, b, a, b, b, b, b]), 4)
    same = [[torch.equal(x, y) for y in noise[:4]] for x in noise[:4]]
    assert same == [[i != 2, i != 2, i == 2, i != 2] for i in range(4)]
    assert len(noise.unique(dim=0)) == 3, "and another one in another window"


def test_matrices_are_decayed_and_what_is_learnt_of_places_and_times_is_not() -> None:
    for memory in ("transformer", "s4", "state_space", "gru"):
        raw = small.objective("keyframe") | {"memory": {"name": memory, "frames": 4, "stride": 1}}
        raw["encoders"] |= {"words": {}}
        raw["training"] |= {"batch_size": 8}
        policy = Policy(recipe.parse(raw), SPEC, identity_statistics(SPEC))
        of = {id(p): name for name, p in policy.named_parameters()}
        decayed, rest = ({of[id(p)] for p in group["params"]} for group in _parameter_groups(policy, 0.1))
        assert decayed | rest == set(of.values()) and {"mixer.position", "action_token"} < rest
        assert all(name.rpartition(".")[2].startswith(("weight", "in_proj_weight", "taps")) for name in decayed)
        linear = {f"{name}.weight" for name, module in policy.named_modules() if isinstance(module, torch.nn.Linear)}
        assert linear <= decayed


@pytest.mark.parametrize("name", MIXERS)
def test_mixers_are_causal_and_ignore_masked_tokens(name: str) -> None:
    torch.manual_seed(0)
    mixer = MIXERS[name](MIXERS[name].Settings(), 16, 5).eval()
    tokens = torch.randn(2, 5, 16)
    mask = torch.tensor([[True, False, True, True, True]])
    before = mixer(tokens, mask)
    tokens[:, 1] += 1.0
    torch.testing.assert_close(mixer(tokens, mask)[:, 2:], before[:, 2:])
    tokens[:, 3] += torch.randn(16)
    after = mixer(tokens, mask)
    torch.testing.assert_close(mixer(tokens, mask, last=True), after[:, -1:])
    torch.testing.assert_close(after[:, 2], before[:, 2])
    assert (after[:, 4] - before[:, 4]).abs().max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADS)
def test_heads_learn_a_chunk_and_ignore_masked_steps(name: str) -> None:
    torch.manual_seed(0)
    head = HEADS[name](small.settings(HEADS[name], hidden=64), 16, 4, 3)
    features, target = torch.randn(8, 16), torch.randn(8, 4, 3).clamp(-1, 1)
    head.prepare(target.repeat(20, 1, 1) + 0.01 * torch.randn(160, 4, 3))
    mask = torch.ones(8, 4, dtype=torch.bool)
    mask[:, 3] = False
    target[:, 3] = 1e6
    optimizer = torch.optim.Adam(head.parameters(), 3e-3)
    losses = []
    for _ in range(300):
        losses.append(head.loss(features.repeat(4, 1), target.repeat(4, 1, 1), mask.repeat(4, 1), None))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    first, last = torch.stack(losses[:10]).mean(), torch.stack(losses[-10:]).mean()
    assert last < 0.5 * first < 20
    noise = torch.randn(8, *head.noise) if head.noise else None
    if head.indexed:
        head.index(features, target)
    chunk = head.sample(features, noise, None)
    assert chunk.shape == (8, 4, 3) and (chunk - target)[:, :3].abs().mean() < 0.3


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives_label_every_frame_and_teach_the_policy(name: str) -> None:
    policy = Policy(recipe.parse(small.objective(name)), SPEC, identity_statistics(SPEC))
    labels = OBJECTIVES[name].labels(_Cache())
    assert labels is None or (len(labels) == 10 and np.isfinite(labels).all())
    batch = inputs(policy, frames=10) | {"actions": torch.randn(10, SPEC.horizon, len(SPEC.action))}
    batch |= {"mask": torch.ones(10, SPEC.horizon, dtype=torch.bool), "is_first": torch.eye(2, 5, dtype=torch.bool)}
    batch |= {} if labels is None else {name: torch.from_numpy(labels)}
    for _ in range(2):  # self-evolution begins with the second step
        _, parts = policy.loss(batch)
    policy.zero_grad()
    parts[name].backward()
    assert parts[name].shape == () and parts[name] > 0
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in policy.encoders.parameters())


def test_the_keyframe_is_the_next_change_of_the_gripper_or_the_end() -> None:
    labels = OBJECTIVES["keyframe"].labels(_Cache())
    assert labels[:, 0].tolist() == [3, 3, 3, 5, 5, 5, 9, 9, 9, 9]  # closed at 3, an episode ends at 5


class _Cache:
    """Two episodes whose state is the frame number; the gripper closes at frame 3."""

    state = np.repeat(np.arange(10, dtype=np.float32)[:, None], len(SPEC.state), 1)
    actions = np.zeros((10, len(SPEC.action)), np.float32)
    actions[:3, -1] = 0.08
    bounds, episode = np.array([0, 6, 10]), np.repeat([0, 1], [6, 4])
    contact = np.arange(10) == 4
    mode, incomplete, bags = np.zeros(10, np.uint8), np.array([False, False]), ["a", "b"]
    contract = load("tabletop")
    images: ClassVar[dict[str, np.ndarray]] = {
        name: np.random.default_rng(0).integers(0, 255, (10, 12, 12, 3), np.uint8) for name in SPEC.cameras
    }


def switching() -> Policy:
    torch.manual_seed(0)
    return Policy(recipe.parse(small.shrink("switch")), SPEC, identity_statistics(SPEC)).eval()


def inputs(policy: Policy, seed: int = 0, frames: int = 2) -> dict[str, torch.Tensor]:
    """Random samples of the inputs of a policy, without contact."""
    torch.manual_seed(seed)
    drawn = {}
    for name, (dtype, shape) in policy.spec.inputs().items():
        size = (frames, *shape)
        drawn[name] = torch.randint(0, 256, size, dtype=torch.uint8) if dtype == "uint8" else torch.randn(size)
        if name in ("instruction", "previous_instruction"):
            drawn[name] = torch.nn.functional.normalize(drawn[name])
    return drawn | ({"contact": torch.zeros(frames, 1)} if "contact" in drawn else {})


def test_a_switching_policy_also_estimates_contact_done_and_mode() -> None:
    policy = switching()
    assert policy.spec.switches and policy.outputs == ("actions", "execution_estimate")
    assert policy.inputs == (
        "image_front",
        "image_wrist",
        "state",
        "instruction",
        "previous_instruction",
        "contact",
        "contact_origin",
    )
    with torch.no_grad():
        actions, estimate = policy(*inputs(policy).values())
    assert actions.shape == (2, SPEC.horizon, len(SPEC.action)) and estimate.shape == (2, 2 + len(MODES))
    assert (estimate > 0).all() and (estimate < 1).all()
    torch.testing.assert_close(estimate[:, 2:].sum(1), torch.ones(2))


def differs(policy: Policy, **changed: torch.Tensor) -> bool:
    """Whether the execution estimate depends on these inputs."""
    given = inputs(policy)
    with torch.no_grad():
        return not torch.equal(policy(*given.values())[1], policy(*(given | changed).values())[1])


def test_the_execution_state_is_read_and_its_origin_only_in_contact() -> None:
    policy = switching()
    assert differs(policy, previous_instruction=inputs(policy, 1)["previous_instruction"]) and differs(
        policy, contact=torch.ones(2, 1)
    )
    assert not differs(policy, contact_origin=torch.randn(2, len(SPEC.state)))
    held = inputs(policy) | {"contact": torch.ones(2, 1)}
    with torch.no_grad():
        here, there = (policy(*(held | {"contact_origin": held["state"] + move}).values())[1] for move in (0.0, 0.1))
    assert not torch.equal(here, there)


def test_without_contact_only_the_previous_instruction_is_read() -> None:
    raw = small.shrink("switch")
    raw["encoders"]["execution_state"]["contact"] = False
    policy = Policy(recipe.parse(raw), SPEC, identity_statistics(SPEC)).eval()
    assert differs(policy, previous_instruction=inputs(policy, 1)["previous_instruction"])
    assert not differs(policy, contact=torch.ones(2, 1))


def test_the_execution_estimate_learns_its_labels() -> None:
    policy = switching()
    cache, objective = _Cache(), OBJECTIVES["execution_estimate"](SPEC, 16, identity_statistics(SPEC))
    assert isinstance(objective, ExecutionEstimation)
    label = torch.from_numpy(OBJECTIVES["execution_estimate"].labels(cache))
    assert label[:, 0].tolist() == cache.contact.tolist() and (label[:, 2] == 1).all()
    features, optimizer = torch.randn(10, 16), torch.optim.Adam(objective.parameters(), 0.1)
    for _ in range(300):
        loss = objective(Features({}, features, features), {"execution_estimate": label}, policy)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.05
    torch.testing.assert_close(objective.probabilities(features), label, atol=0.05, rtol=0)
    there = torch.arange(10) < 5
    wrong = torch.where(there[:, None], label, label.flip(1))
    batch = {"execution_estimate": wrong, "there": there}
    assert objective(Features({}, features, features), batch, policy) < 0.05, "where no frame stands, nothing is learnt"


def test_images_of_another_size_are_averaged_inside_the_graph() -> None:
    torch.testing.assert_close(area_weights(480, 96).sum(1), torch.ones(96))
    image = torch.rand(1, 1, 48, 64)
    resized = area_weights(48, 16) @ image @ area_weights(64, 16).T
    torch.testing.assert_close(resized, torch.nn.functional.adaptive_avg_pool2d(image, 16))


def test_depth_is_resized_as_in_the_cache_over_the_distances_that_are_known() -> None:
    """And read by the same network, in the graph, as an image of colours."""
    spec = replace(SPEC, cameras={"depth": (32, 48)}, depth=("depth",))
    policy = Policy(recipe.parse(small.shrink("chunk")), spec, identity_statistics(spec)).eval()
    picture = np.random.default_rng(0).uniform(0.3, 2, (32, 48, 1)).astype(np.float32)
    picture[:7, :11] = 0  # unknown, and in some pixels of the smaller picture only in part
    cached = torch.from_numpy(Resizer(16)(picture))[None]
    encoder = policy.encoders["cameras"]
    assert isinstance(encoder, Cameras)
    inside = encoder.prepare("image_depth", torch.from_numpy(picture)[None])
    torch.testing.assert_close(inside, encoder.prepare("image_depth", cached), atol=1e-5, rtol=0)
    assert inside.shape == (1, 3, 16, 16) and policy.spec.inputs()["image_depth"] == ("float32", (32, 48, 1))
