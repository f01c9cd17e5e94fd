"""Every recipe: built small, trained, resumed, exported, compared; what is refused."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from benchmarks import sequence
from policy import ranges, train
from policy.errors import InputError
from policy.export import export
from policy.learning import checkpoint, recipe
from policy.learning.model import Policy
from policy.learning.normalization import identity_statistics
from policy.learning.onnx_graph import TOLERANCE
from policy.robot.contract import load
from policy.running.session import Session
from policy.running.tracker import Tracker
from policy.spec import Frame
from tests import small

RECIPES = recipe.names()
# Between them goals, diffusion, bins; tests/test_sequence_mixers.py exports memories, tests/test_keep.py `sequence`.
# The graphs of all others, which take ten times as long as the steps, are looked at in `make test-all`.
GRAPHS = ("systems/beso", "systems/rt1")
SPEC = load("tabletop").spec


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.marked(small.switches(tmp_path_factory.mktemp("bags")))


def trained(name: str, bags: Path, folder: Path, samples: int) -> Path:
    path = str(small.write(folder / "small.yaml", small.shrink(name)))
    train.train(path, bags, folder / "run", samples=samples)
    return folder / "run"


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_trains_and_goes_on(name: str, bags: Path, tmp_path: Path) -> None:
    """Also those of the published systems."""
    for samples in (8, 16):  # two steps, and two more
        assert checkpoint.load(trained(name, bags, tmp_path, samples))[1]["samples"] == samples


@pytest.mark.slow
@pytest.mark.usefixtures("classifier_once")
@pytest.mark.parametrize("name", [n if n in GRAPHS else pytest.param(n, marks=pytest.mark.heavy) for n in RECIPES])
def test_its_graph_equals_torch_and_runs(name: str, bags: Path, tmp_path: Path) -> None:
    run = trained(name, bags, tmp_path, samples=8)
    assert export(run, tmp_path / "model")["difference"] <= TOLERANCE
    tracker = Tracker(Session(tmp_path / "model"))
    goal = {"goal_state": np.zeros(len(SPEC.state))} if "goal_state" in tracker.session.spec.reads else {}
    tracker.instruct("" if goal else "open the drawer", **goal)
    images = {name: np.zeros((h, w, 3), np.uint8) for name, (h, w) in SPEC.cameras.items()}
    frame = Frame(0, images, np.zeros(len(SPEC.state), np.float32))
    assert tracker.infer(frame).actions.shape == (SPEC.horizon, len(SPEC.action))


@pytest.mark.parametrize("name", RECIPES)
def test_dump_and_parse_are_inverse(name: str) -> None:
    assert recipe.parse(recipe.dump(recipe.load(name))) == recipe.load(name)


def test_the_recipe_of_the_published_model_is_the_one_that_ships() -> None:
    card = (recipe.FOLDER.parents[1] / "models" / "tabletop" / "README.md").read_text()
    assert recipe.parse(yaml.safe_load(card.split("```yaml\n")[1].split("```")[0])) == recipe.load("switch")


STRUCTURE = "2f5f27b1e919"  # hash of the parameter shapes of `chunk`, as in the published weights


def test_the_structure_of_the_baseline_fits_its_published_weights() -> None:
    policy = Policy(recipe.load("chunk"), SPEC, identity_statistics(SPEC))
    assert policy.inputs == ("image_front", "image_wrist", "state", "instruction")
    assert policy.outputs == ("actions",) and not policy.spec.switches
    shapes = {name: list(value.shape) for name, value in policy.state_dict().items()}
    assert hashlib.sha256(json.dumps(shapes, sort_keys=True).encode()).hexdigest()[:12] == STRUCTURE


@pytest.mark.parametrize("encoder", ["cameras", "goal_image"])
def test_pictures_of_a_robot_without_cameras_are_refused(encoder: str) -> None:
    blind = replace(SPEC, cameras={})
    raw = small.shrink("chunk")
    raw["encoders"] = {encoder: {}, "proprioception": {}}
    with pytest.raises(InputError, match=rf"^{encoder} in the recipe, and the contract has no camera"):
        Policy(recipe.parse(raw), blind, identity_statistics(blind))


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
        ({"training": {"batch_size": 0}}, "batch_size: got 0, expected at least 1"),
        ({"training": {"batch_size": -1}}, "batch_size: got -1"),
        ({"width": 1}, "width: got 1, expected at least 2"),
        ({"mixer": {"name": "transformer", "layers": 0}}, "mixer: layers: got 0, expected at least 1"),
        ({"head": {"name": "l1", "hidden": 0}}, "head: hidden: got 0, expected at least 1"),
        *(
            ({"encoders": {"cameras": {key: 0}}}, f"encoders.cameras: {key}: got 0, expected at least 1")
            for key in ("size", "stem", "channels", "keypoints")
        ),
        ({"training": {"held_out": 3.0}}, "held_out: got 3.0, expected a number from 0 to 1"),
        ({"training": {"ema_decay": 2.0}}, "ema_decay: got 2.0, expected a number from 0 to 1"),
        ({"training": {"condition_dropout": 5.0}}, "condition_dropout: got 5.0, expected a number from 0 to 1"),
        ({"training": {"learning_rate": 0.0}}, "learning_rate: got 0.0, expected a number that is positive"),
        ({"encoders": {"proprioception": {"group_dropout": 2.0}}}, "group_dropout: got 2.0, expected .* 0 to 1"),
        *(
            ({"training": {key: 1.0}}, f"{key}: got 1.0, expected .* and not 1")
            for key in ("condition_dropout", "ema_decay")
        ),
        ({"encoders": {"words": {"drop_words": 1.0}}}, "drop_words: got 1.0, expected .* and not 1"),
        ({"mixer": {"name": "transformer", "dropout": 1.0}}, "dropout: got 1.0, expected .* and not 1"),
        ({"training": {"seed": 10**30}}, "seed: got 1000.*expected at most 10000000000"),
        ({"training": {"goal_steps": 10**30}}, "goal_steps: got 1000.*expected at most 10000000000"),
        (
            {"training": {"random_shift": 16}},
            "random_shift: got 16, expected less than the 16 pixels of .*cameras.size",
        ),
        ({"training": {"action_weight": 0.0}, "objectives": {"keyframe": 0.0}}, "nothing would be learnt"),
        ({"head": {"name": "bins", "bins": 1}}, "bins: got 1, expected at least 2"),
        *(({"training": empty}, "training: got .*expected a mapping") for empty in (False, 0, "", [])),
        ({"encoders": {"proprioception": False}}, "encoders.proprioception: got False, expected a mapping"),
        *(
            ({key: False}, f"{key}: got False, expected a mapping")
            for key in ("objectives", "runtime", "head", "memory")
        ),
        ({"encoders": {"words": {"previous": True}}}, "only a policy that switches has a previous instruction; add"),
        ({"memory": {"name": "gru", "frames": 1, "stride": 2}}, "memory.frames: got 1 with the memory gru"),
        ({"runtime": {"replan_s": 0.0}}, "replan_s: got 0.0, expected a number that is positive"),
        (
            {"runtime": {"replan_s": 0.8}},
            "replan_s: got 0.8 s, expected more than 0 and less than a chunk lasts: 0.8 s",
        ),
        ({"runtime": {"contact_on": 0.3}}, "contact_off: got 0.4, expected at most contact_on, 0.3"),
        ({"runtime": {"contact_on": 1.5}}, "contact_on: got 1.5, expected .* 0 to 1"),
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
        (
            {"encoders": {"goal_image": {}, "cameras": {"size": 64}}},
            "goal_image has size 96 and encoders.cameras size 64; give both the same",
        ),
        (
            {
                "head": {"name": "diffusion", "guidance": 2.0},
                "memory": {"name": "gru", "frames": 4, "stride": 1},
            },
            "head.guidance is 2 beside the memory gru",
        ),
    ],
)
def test_a_recipe_that_is_wrong_is_refused_by_name(change: dict, expected: str, tmp_path: Path) -> None:
    path = small.write(tmp_path / "wrong.yaml", small.shrink("chunk") | change)
    with pytest.raises(InputError, match=expected):
        Policy(recipe.load(path), SPEC, identity_statistics(SPEC))


def test_the_defaults_of_every_part_are_in_their_ranges() -> None:
    parts = [*recipe.ENCODERS.values(), *recipe.MIXERS.values(), *recipe.HEADS.values()]
    for part in (*parts, *recipe.SEQUENCE_MIXERS.values()):
        ranges.check(part.Settings(), part.__name__)
    for settings in (recipe.Training(), recipe.RuntimeSettings()):
        ranges.check(settings, type(settings).__name__)


def test_a_part_says_beside_a_setting_what_it_may_be() -> None:
    @dataclass(frozen=True)
    class Settings:
        log_std_min: float = field(default=-4.0, metadata=ranges.ANY)
        skipped: int = field(default=0, metadata=ranges.NOT_NEGATIVE)

    ranges.check(Settings(), "mine")
    with pytest.raises(InputError, match="mine: skipped: got -1, expected a number that is not negative"):
        ranges.check(Settings(skipped=-1), "mine")


def test_what_has_no_value_keeps_its_defaults_and_an_objective_without_weight_needs_nothing() -> None:
    raw = small.shrink("chunk")
    raw["encoders"]["proprioception"] = raw["training"] = raw["runtime"] = raw["objectives"] = None
    chosen = recipe.parse(raw)
    assert chosen.training == recipe.Training() and chosen.runtime == recipe.RuntimeSettings() and not chosen.objectives
    raw["objectives"] = {"dynamo": 0.0, "forecasting": 0.0, "keyframe": 0.1}
    assert recipe.parse(raw).learnt == ["keyframe"]


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
