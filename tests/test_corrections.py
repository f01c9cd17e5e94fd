"""Corrections: the bag says who was in control, training imitates the corrections alone, and a scripted operator."""

import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from policy import folders
from policy.convert import convert
from policy.data.bag_files import find_bags
from policy.data.cache import open_cache
from policy.data.contents import contents
from policy.data.suggestion import suggest
from policy.data.windows import targets
from policy.learning import recipe
from policy.learning.batches import Batches
from policy.robot.contract import LABEL_TYPES, Labels
from policy.running.session import Session
from sim.rollout import SimulatedLoop
from sim.worlds import load
from tests import demo_bag, small, tiny
from tests.demo_bag import CONTRACT, START, STEP

ROOT = Path(__file__).parent.parent
STEPS, TAKEN, GIVEN = 20, 6, 15  # control steps; a person is in control from one to before the other


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demonstration, and an episode that was corrected on the way."""
    folder = tmp_path_factory.mktemp("bags")
    small.bags(folder, 2, STEPS)
    flags = [(False, START - 1), *((on, START + k * STEP - STEP // 2) for on, k in ((True, TAKEN), (False, GIVEN)))]
    items = [
        *demo_bag.demonstration(STEPS, seed=7),
        *(demo_bag.Item("label/correction", demo_bag.make("Bool", on), t) for on, t in flags),
    ]
    demo_bag.write(folder / "z_corrected", sorted(items, key=lambda item: item.receive))
    return folder


def test_of_a_corrected_recording_the_corrections_alone_are_imitated(bags: Path) -> None:
    cache = open_cache(bags, CONTRACT)
    mine = np.array(cache.bags)[cache.episode] == "z_corrected"
    assert cache.imitated[~mine].all()
    assert np.flatnonzero(cache.imitated[mine]).tolist() == list(range(TAKEN, GIVEN))
    chosen = recipe.parse(small.shrink("chunk") | {"training": {"samples": 8, "batch_size": 4, "held_out": 0.0}})
    trained = Batches(cache, chosen).train
    assert set(trained.tolist()) == set(np.flatnonzero(cache.imitated).tolist())


def test_a_contract_without_the_label_is_told_so_and_a_suggested_one_has_it(bags: Path) -> None:
    assert {field.name for field in fields(Labels)} == set(LABEL_TYPES)
    without = replace(CONTRACT, labels=replace(CONTRACT.labels, correction=None))
    (found,) = [f for f in open_cache(bags, without).findings if "corrections are not told" in f.what]
    assert "z_corrected" in found.figures and "correction: label/correction" in found.do
    topics = contents(bags / "z_corrected", lambda _: None).topics
    assert "\n  correction: label/correction\n" in suggest(topics)


def test_a_chunk_is_imitated_up_to_where_control_is_given_back(bags: Path) -> None:
    cache = open_cache(bags, CONTRACT)
    _, mask = targets(cache, 16)
    mine = np.flatnonzero(np.array(cache.bags)[cache.episode] == "z_corrected")
    for frame in range(TAKEN, GIVEN):
        assert mask[mine[frame]].sum() == GIVEN - frame
    assert mask[: mine[0]].all()


def test_who_was_in_control_survives_in_lerobots_format(bags: Path, tmp_path: Path) -> None:
    convert(bags, tmp_path / "set", CONTRACT)
    before, after = open_cache(bags, CONTRACT), open_cache(tmp_path / "set", CONTRACT)
    np.testing.assert_array_equal(before.imitated, after.imitated)
    assert not before.imitated.all()


def test_a_person_drives_through_the_safety_monitor_and_gives_back(tmp_path: Path) -> None:
    """Also in one leap: the arm goes there at the speed of its limits, and the policy begins anew where it was left."""
    tiny.write_model(tmp_path / "model", ramp=0.0)
    world = load("tabletop")()
    world.reset(np.random.default_rng(0))
    loop = SimulatedLoop(world, Session(tmp_path / "model"), seed=0)
    loop.instruct("open the drawer")
    for _ in range(10):
        loop.step()
    goal, limits, before = loop.command.astype(float), world.contract().limits, loop.command.copy()
    goal[0] += 0.6
    for _ in range(30):
        last = loop.command.copy()
        loop.drive(goal)
        assert (np.abs(loop.command - last) <= 1.5 * limits.velocity * 0.05 + 1e-6).all()
    assert abs(loop.command[0] - goal[0]) < 1e-3 and abs(loop.command[0] - before[0]) > 0.5
    inferences = loop.loop.inferences
    loop.give_back()
    assert not loop.scheduled
    loop.step()
    assert loop.loop.inferences == inferences + 1
    for _ in range(10):
        loop.step()
    assert abs(loop.command[0] - goal[0]) < 0.05, "the policy goes on from there"


@pytest.mark.slow
def test_a_scripted_operator_corrects_a_policy_that_does_nothing(tmp_path: Path) -> None:
    """The command: bags that training takes, in which the policy acts first and the expert ends with success."""
    tiny.write_model(tmp_path / "model", ramp=0.0)
    out = tmp_path / "corrections"
    options = ["--tasks", "lamp_on", "--corrections", "3", "--processes", "2", "--out", str(out)]
    command = [sys.executable, "-m", "sim.correct", str(tmp_path / "model"), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    with folders.claimed(out):
        beside = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert beside.returncode == 2 and f"another command is writing to {out}" in beside.stderr, "it would delete these"
    cache = open_cache(out, CONTRACT)
    assert {demo_bag.custom(bag)["start"] for bag in find_bags(out)} == {"home", "other"}, "as in evaluations"
    assert len(cache.instructions) >= 3 and not [f for f in cache.findings if f.severity == "error"]
    for episode, (first, end) in enumerate(zip(cache.bounds[:-1], cache.bounds[1:], strict=True)):
        imitated = cache.imitated[first:end]
        assert 20 < np.argmax(imitated) < len(imitated) - 10 and imitated[np.argmax(imitated) :].all()
        still, moved = (np.ptp(cache.actions[first:end][chosen], axis=0).max() for chosen in (~imitated, imitated))
        assert still < 0.1 < moved and still < 0.5 * moved, cache.bags[episode]  # after others the arm settles
    again = subprocess.run(
        [*command, "--corrections", "3", "--out", str(out)], cwd=ROOT, capture_output=True, text=True
    )
    assert again.returncode == 0 and "corrections in" in again.stdout
    assert len(find_bags(out)) == 3, "as many as are asked for, however many are played at a time"
    tiny.write_model(tmp_path / "other", ramp=0.001)
    command[3] = str(tmp_path / "other")
    other = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert other.returncode == 2 and "is not a correction of this policy" in other.stderr
