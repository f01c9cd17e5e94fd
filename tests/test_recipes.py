"""Every recipe and registered part: built small, trained, resumed, exported, compared; what is refused."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
import yaml

from benchmarks import sequence
from policy import train
from policy.data.pictures import Resizer
from policy.errors import InputError
from policy.export import export
from policy.learning import checkpoint, instruction_classifier, recipe
from policy.learning.encoders import ENCODERS
from policy.learning.encoders.cameras import Cameras, area_weights
from policy.learning.heads import HEADS
from policy.learning.interfaces import Features
from policy.learning.mixers import MIXERS
from policy.learning.model import Policy
from policy.learning.normalization import identity_statistics
from policy.learning.objectives import OBJECTIVES
from policy.learning.objectives.execution_estimate import ExecutionEstimation
from policy.learning.onnx_graph import DTYPES, TOLERANCE
from policy.robot.contract import load
from policy.running.session import Session
from policy.running.text import Text
from policy.running.tracker import Tracker
from policy.spec import MODES, Frame
from tests import small

RECIPES = recipe.names()
# Built of parts that others are built of as well: these take their turn in `make test-all`.
ALIKE = ("chunk", "metaworld", "speeds", "states", "switch", "systems/baku", "systems/dit", "systems/switchvla")
SPEC = load("tabletop").spec


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.switches(tmp_path_factory.mktemp("bags"))


@pytest.fixture(scope="module")
def classifier_once() -> Iterator[None]:
    """The same few sentences are taught to every recipe: what tells them from others is learnt once."""
    learn = instruction_classifier.train

    @cache
    def once(pairs: tuple[tuple[str, str], ...]) -> dict[str, np.ndarray]:
        return learn(list(pairs), Text())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(instruction_classifier, "train", lambda pairs, _: once(tuple(pairs)))
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("classifier_once")
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.heavy) if n in ALIKE else n for n in RECIPES])
def test_trains_resumes_exports_and_runs(name: str, bags: Path, tmp_path: Path) -> None:
    """Also those of the published systems: each trains two steps, goes on for two, and its graph equals torch."""
    path = str(small.write(tmp_path / "small.yaml", small.shrink(name)))
    for samples in (8, 16):  # two steps, and two more
        train.train(path, bags, tmp_path / "run", samples=samples)
        assert checkpoint.load(tmp_path / "run")[1]["samples"] == samples
    assert export(tmp_path / "run", tmp_path / "model")["difference"] <= TOLERANCE
    tracker = Tracker(Session(tmp_path / "model"))
    goal = {"goal_state": np.zeros(len(SPEC.state))} if "goal_state" in tracker.session.spec.reads else {}
    tracker.instruct("" if goal else "open the drawer", **goal)
    images = {name: np.zeros((h, w, 3), np.uint8) for name, (h, w) in SPEC.cameras.items()}
    frame = Frame(0, images, np.zeros(len(SPEC.state), np.float32))
    assert tracker.infer(frame).actions.shape == (SPEC.horizon, len(SPEC.action))


def parts(name: str) -> set[tuple[str, str]]:
    """Kind and name of each part that a recipe is built of."""
    one = recipe.load(name)
    kinds = {"encoder": one.encoders, "objective": one.objectives, "head": [one.head.name], "mixer": [one.mixer.name]}
    memory = {("memory", one.memory.name)} if one.memory else set()
    return {(kind, part) for kind, names in kinds.items() for part in names} | memory


def test_what_is_alike_has_no_part_of_its_own() -> None:
    others = set().union(*(parts(name) for name in RECIPES if name not in ALIKE))
    assert set().union(*(parts(name) for name in ALIKE)) <= others


@pytest.mark.parametrize("name", RECIPES)
def test_dump_and_parse_are_inverse(name: str) -> None:
    assert recipe.parse(recipe.dump(recipe.load(name))) == recipe.load(name)


def test_the_recipe_of_the_published_model_is_the_one_that_ships() -> None:
    card = (recipe.FOLDER.parents[1] / "models" / "tabletop" / "README.md").read_text()
    assert recipe.parse(yaml.safe_load(card.split("```yaml\n")[1].split("```")[0])) == recipe.load("switch")


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_give_the_tokens_that_they_declare(name: str) -> None:
    encoder = ENCODERS[name](ENCODERS[name].Settings(), SPEC, 16, identity_statistics(SPEC))
    described = replace(SPEC, reads=encoder.inputs).inputs()
    assert set(described) == set(encoder.inputs), "it reads what a spec can name"
    given = {i: torch.ones((3, *shape), dtype=DTYPES[dtype]) for i, (dtype, shape) in described.items()}
    tokens, mask = encoder(*(given[i] for i in encoder.inputs), condition=torch.zeros(3, 16))
    assert tokens.shape == (3, encoder.tokens, 16)
    assert mask.shape[0] in (1, 3) and mask.shape[1] == encoder.tokens


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
    head = HEADS[name](HEADS[name].Settings(hidden=64), 16, 4, 3)
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
    raw = small.objective(name)
    policy = Policy(recipe.parse(raw), SPEC, identity_statistics(SPEC))
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


STRUCTURE = "2f5f27b1e919"  # hash of the parameter shapes of `chunk`, as in the published weights


def test_the_structure_of_the_baseline_fits_its_published_weights() -> None:
    policy = Policy(recipe.load("chunk"), SPEC, identity_statistics(SPEC))
    assert policy.inputs == ("image_front", "image_wrist", "state", "instruction")
    assert policy.outputs == ("actions",) and not policy.spec.switches
    shapes = {name: list(value.shape) for name, value in policy.state_dict().items()}
    assert hashlib.sha256(json.dumps(shapes, sort_keys=True).encode()).hexdigest()[:12] == STRUCTURE


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


def test_images_of_another_size_are_averaged_inside_the_graph() -> None:
    torch.testing.assert_close(area_weights(480, 96).sum(1), torch.ones(96))
    image = torch.rand(1, 1, 48, 64)
    resized = area_weights(48, 16) @ image @ area_weights(64, 16).T
    torch.testing.assert_close(resized, torch.nn.functional.adaptive_avg_pool2d(image, 16))


def test_a_policy_whose_normalised_changes_are_zero_stays_where_it_is() -> None:
    policy = Policy(recipe.parse(small.shrink("chunk")), SPEC, identity_statistics(SPEC)).eval()
    policy.delta_std.zero_()
    state = torch.randn(2, len(SPEC.state))
    images = [torch.zeros(2, h, w, 3, dtype=torch.uint8) for h, w in SPEC.cameras.values()]
    with torch.no_grad():
        (actions,) = policy(*images, state, torch.ones(2, SPEC.text))
    torch.testing.assert_close(actions, state[:, None, :].expand_as(actions))


@pytest.mark.parametrize(
    "change, expected",
    [
        ({"widht": 3}, r"unknown key in .* 'widht'; did you mean 'width'"),
        ({"width": "wide"}, "width: got 'wide' .*expected int"),
        ({"width": True}, "width: got True .*expected int"),
        ({"mixer": {"name": "transfomer"}}, "did you mean 'transformer'"),
        ({"head": {"name": "l3"}}, "unknown head .* 'l3'.*Valid: .*l1"),
        ({"head": {"nmae": "l1"}}, "head.name: got None .*expected str"),
        ({"mixer": {"name": "transformer", "heads": 3}}, "width 16 does not divide into 3 heads"),
        ({"encoders": {"camera": {}}}, "did you mean 'cameras'"),
        ({"encoders": {"cameras": {"keypoint": 3}}}, "did you mean 'keypoints'"),
        ({"encoders": {}}, "no encoders"),
        ({"objectives": {"keyframes": 0.1}}, "did you mean 'keyframe'"),
        ({"objectives": {"keyframe": "high"}}, "keyframe: got 'high' .*expected float"),
        ({"training": {"learning_rate": "6e-4"}}, "expected float .*1.0e-3"),
        ({"training": {"batch_size": 0}}, "batch_size is 0"),
        ({"training": {"batch_size": -1}}, "batch_size: got -1"),
        ({"training": {"gradient_clip": float("nan")}}, "gradient_clip: got nan"),
        ({"training": {"rate": 1.0}}, "unknown key in .*training: 'rate'"),
        ({"training": [1]}, "expected a mapping"),
        ({"encoders": ["cameras"]}, "encoders: got .*expected a mapping"),
        ({"objectives": {"keyframe": -0.1}}, "keyframe: got -0.1"),
        ({"training": {"ablate": "contact"}}, "unknown training.ablate 'contact'.*Valid: .*rollback"),
        (
            {"objectives": {"execution_estimate": 0.1}},
            "execution_state and the objective execution_estimate go together",
        ),
        (
            {"encoders": {"instruction": {}, "execution_state": {}}},
            "execution_state and the objective execution_estimate go together",
        ),
    ],
)
def test_a_recipe_that_is_wrong_is_refused_by_name(change: dict, expected: str, tmp_path: Path) -> None:
    path = small.write(tmp_path / "wrong.yaml", small.shrink("chunk") | change)
    with pytest.raises(InputError, match=expected):
        Policy(recipe.load(path), SPEC, identity_statistics(SPEC))


def test_a_recipe_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'chunk'"):
        recipe.load("chunks")
    with pytest.raises(InputError, match="no recipe at"):
        recipe.load(tmp_path / "none.yaml")
    (tmp_path / "text.yaml").write_text("a: [")
    with pytest.raises(InputError, match="is not YAML"):
        recipe.load(tmp_path / "text.yaml")


@pytest.mark.parametrize("name", sequence.variants())
def test_what_is_compared_differs_from_its_control_in_one_part(name: str) -> None:
    variants = sequence.variants()
    of_kind = {"memory": "memory", "order": "encoders", "modes": "head", "schedules": "encoders"}
    part, control = of_kind[name.split("_")[0]], sequence.BASE
    if name == "order_words_gru":
        part, control = "memory", variants["order_words"]
    compared, beside = recipe.parse(variants[name]), recipe.parse(control)
    differing = {
        key for key in ("encoders", "mixer", "head", "memory") if getattr(compared, key) != getattr(beside, key)
    }
    assert differing <= {part}
    Policy.describe(compared, SPEC)


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
