"""Conditions beside or instead of a sentence: in the tracker, in the loop, in training, and as latched pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from policy import train
from policy.data.cache import open_cache
from policy.errors import InputError
from policy.export import export
from policy.learning import recipe
from policy.learning.batches import Batches
from policy.robot.contract import load
from policy.running.conditions import GOAL_IMAGE, NO_CONDITIONS, Conditions
from policy.running.loop import InferenceLoop
from policy.running.session import Session
from policy.running.tracker import Tracker
from policy.running.work import Embedding, Inference
from policy.spec import Frame
from ros_nodes import bridge
from ros_nodes.goal_images import GoalImages
from tests import small
from tests.tiny import write_model

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("classifier_once")]

SPEC = load("tabletop").spec


def conditioned() -> dict[str, object]:
    raw = small.shrink("chunk")
    cameras = raw["encoders"]["cameras"]
    raw["encoders"]["instruction"] |= {"optional": True}
    raw["encoders"] = {"goal_image": dict(cameras), "return_to_go": {}, **raw["encoders"]}
    raw["training"]["condition_dropout"] = 0.5
    return raw


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.marked(small.bags(tmp_path_factory.mktemp("bags")))


@pytest.fixture(scope="module")
def model(bags: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("conditioned")
    train.train(str(small.write(folder / "small.yaml", conditioned())), bags, folder / "run", samples=8)
    export(folder / "run", folder / "model")
    return folder / "model"


def goal(value: int = 200) -> dict[str, np.ndarray]:
    return {name: np.full((*size, 3), value, np.uint8) for name, size in SPEC.cameras.items()}


def frame() -> Frame:
    return Frame(0, goal(10), np.zeros(len(SPEC.state), np.float32))


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_conditions_of_other_types_are_refused_in_a_sentence() -> None:
    spec = replace(SPEC, reads=("goal_front", "goal_wrist", "goal_state", "return_to_go"))
    for name, value, why in (
        ("goal_image", [1], r"goal_image: got \[1\], expected one of each camera, by name \(front, wrist\)"),
        ("goal_image", goal() | {"front": [[1]]}, r"goal_image of camera 'front': got \[\[1\]\], expected uint8"),
        ("goal_state", "text", "goal_state: got 'text', expected 8 finite numbers"),
        ("goal_state", [True] * 8, "expected 8 finite numbers"),
        ("goal_state", [1e300] * 8, "expected 8 finite numbers"),
        ("return_to_go", "1", "return_to_go: got '1', expected a finite number"),
        ("return_to_go", [1.0], r"return_to_go: got \[1\.0\], expected a finite number"),
    ):
        with pytest.raises(InputError, match=why):
            Conditions(**({"goal_image": goal(), "goal_state": [0.0] * 8} | {name: value})).check(spec)
    Conditions(goal(), 1, [0.0] * 8).check(spec)


def test_in_training_the_goal_is_the_end_of_the_episode_and_each_condition_is_absent_now_and_then(bags: Path) -> None:
    cache = open_cache(bags, load("tabletop"), 16)
    batches = Batches(cache, recipe.parse(conditioned()))
    batch = batches.gather(np.arange(len(cache.state)))
    ends = cache.bounds[cache.episode + 1] - 1
    for i, end in enumerate(ends):
        assert np.array_equal(batch["goal_front"][i], cache.images["front"][end])
    drawn = [batches.at(step) for step in range(60)]
    for name in ("instruction_present", "goal_present"):
        share = torch.cat([one[name] for one in drawn]).float().mean()
        assert 0.3 < share < 0.7


@pytest.mark.slow
def test_each_condition_may_be_absent_and_an_absent_one_is_not_read(model: Path) -> None:
    tracker = Tracker(Session(model))
    tracker.instruct("open the drawer")
    feed = tracker.inputs(frame())
    assert not feed["goal_present"][0] and feed["instruction_present"][0] and not feed["return_to_go_present"][0]
    run = tracker.session.run
    plain = run(feed)["actions"]
    changed = run(feed | {"goal_front": feed["goal_front"] + 99, "return_to_go": feed["return_to_go"] + 5})["actions"]
    assert np.array_equal(plain, changed)
    tracker.instruct("open the drawer", goal_image=goal(), return_to_go=1.0)
    given = tracker.inputs(frame())
    assert given["goal_present"][0] and given["return_to_go"][0, 0] == 1.0
    assert not np.array_equal(run(given)["actions"], plain)
    tracker.instruct("", goal_image=goal())
    alone = tracker.inputs(frame())
    assert tracker.text == GOAL_IMAGE and not alone["instruction_present"][0]
    words = {name: value for name, value in feed.items() if name == "instruction"}
    assert np.array_equal(run(alone)["actions"], run(alone | words)["actions"])


def test_conditions_that_the_policy_does_not_read_or_that_do_not_fit_are_refused(model: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "plain")
    plain = Tracker(Session(tmp_path / "plain"))
    with pytest.raises(InputError, match="goal_image, which this policy does not read"):
        plain.instruct("open the drawer", goal_image=goal())
    tracker = Tracker(Session(model))
    with pytest.raises(InputError, match=r"camera 'wrist': got none, expected uint8 \(96, 96, 3\)"):
        tracker.instruct("", goal_image={"front": goal()["front"]})
    with pytest.raises(InputError, match="return_to_go: got nan"):
        tracker.instruct("open the drawer", return_to_go=float("nan"))
    with pytest.raises(InputError, match="empty instruction"):
        tracker.instruct("", return_to_go=1.0)


def test_the_loop_takes_a_goal_without_a_sentence_and_a_new_goal_is_a_new_instruction(model: Path) -> None:
    loop = InferenceLoop(Session(model), frame)
    first, second = Conditions(goal(1)), Conditions(goal(2))

    def give(conditions: Conditions, now: int) -> None:
        loop.instruct("", now, conditions)
        while work := loop.begin(now):
            work.run()
            loop.finish(work, now, 0.0)
            if not isinstance(work, Embedding):
                break

    give(first, 0)
    assert loop.text == GOAL_IMAGE and loop.tracker.conditions is first and not loop.reason
    asked = loop.tracker.instruction
    give(first, 0)
    assert loop.tracker.instruction == asked, "the same again changes nothing"
    give(second, 0)
    assert loop.tracker.instruction > asked and loop.tracker.conditions is second
    with pytest.raises(InputError, match="empty instruction"):
        loop.instruct("", 0)


def carry_out(loop: InferenceLoop) -> dict[str, np.ndarray]:
    """What comes first is computed, and what the graph reads of the first frame after it."""
    while work := loop.begin(0):
        work.run()
        loop.finish(work, 0, 0.0)
        if isinstance(work, Inference):
            return work.feed
    raise AssertionError("nothing is inferred")


def test_conditions_stay_with_their_instruction(model: Path) -> None:
    """Continued, after a clock set back, and for what a sentence names after its first task."""
    loop = InferenceLoop(Session(model), frame)
    wanted = Conditions(goal(1), return_to_go=0.5)
    loop.instruct("", 0, wanted)
    given = carry_out(loop)
    assert given["goal_present"] and not given["instruction_present"]
    loop.instruct("stop", 0, Conditions({"front": np.zeros((4, 4, 3), np.uint8)}))  # whatever comes with it
    assert not loop.text
    for again in (lambda: loop.instruct("continue", 0), lambda: loop.clock_set_back(0)):
        again()
        read = carry_out(loop)
        assert loop.text == GOAL_IMAGE and not loop.reason
        assert all(np.array_equal(read[name], given[name]) for name in given if not name.startswith("noise"))
    loop.instruct("open it, then close it", 0, Conditions(return_to_go=0.5))
    carry_out(loop)
    loop._following = [loop.session.embed("close it")]
    loop._follow(0)
    assert carry_out(loop)["return_to_go_present"] and loop.text == "close it"


def test_to_continue_twice_is_to_continue(model: Path) -> None:
    loop = InferenceLoop(Session(model), frame)
    wanted = Conditions(goal(1), return_to_go=0.5)
    loop.instruct("", 0, wanted)
    carry_out(loop)
    loop.instruct("open it", 0)
    carry_out(loop)
    for _ in range(2):
        loop.instruct("continue", 0)
        while work := loop.begin(0):
            work.run()
            loop.finish(work, 0, 0.0)
            if isinstance(work, Inference):
                break
        assert loop.text == GOAL_IMAGE and loop.tracker.conditions is wanted


def test_latched_pictures_go_with_the_next_instruction_and_no_other(model: Path) -> None:
    contract, spec = load("tabletop"), Session(model).spec
    goals = GoalImages(contract, spec)
    assert set(goals.topics) == {"~/goal_image/front", "~/goal_image/wrist"}
    assert goals.conditions("open it", None) is NO_CONDITIONS
    goals.take("front", bridge.image(goal(7)["front"], 0, "front"))
    with pytest.raises(InputError, match="none of camera wrist"):
        goals.conditions("open it", None)
    assert goals.conditions("stop", None) is NO_CONDITIONS
    goals.take("wrist", bridge.image(goal(8)["wrist"], 0, "wrist"))
    given = goals.conditions("", 0.5)
    assert given.goal_image is not None and given.goal_image["wrist"][0, 0, 0] == 8 and given.return_to_go == 0.5
    assert goals.conditions("open it", None) is NO_CONDITIONS
    goals.take("front", bridge.image(np.zeros((4, 4, 3), np.uint8), 0, "front"))
    with pytest.raises(InputError, match=r"goal_image of camera 'front'.*4x4"):
        goals.conditions("open it", None)
    assert goals.conditions("stop", None) is NO_CONDITIONS, "to stop nothing is needed"
    assert not GoalImages(contract, contract.spec).topics
