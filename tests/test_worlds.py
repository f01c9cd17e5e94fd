"""Every world keeps to the seam that sim.record, sim.evaluate and the nodes use; each one registered is tested."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from policy.errors import InputError
from sim import record
from sim.initial_states import start
from sim.worlds import WORLDS, installed, load
from sim.worlds.interface import STEP_NS, World

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module", params=installed())
def world(request: pytest.FixtureRequest) -> World:
    return load(request.param)()


def test_it_is_what_its_name_says(world: World) -> None:
    assert WORLDS[world.name].startswith("sim.worlds.")
    assert all(task.name == name for name, task in world.tasks.items()) and world.tasks


def test_it_shows_and_takes_what_its_contract_names(world: World) -> None:
    world.reset(np.random.default_rng(0))
    contract, frame = world.contract(), world.frame()
    spec = contract.spec
    assert {name: image.shape for name, image in frame.images.items()} == {
        name: (*size, 3) for name, size in spec.cameras.items()
    }
    assert all(image.dtype == np.uint8 and image.std() > 5 for image in frame.images.values())
    assert frame.state.shape == (len(spec.state),) and frame.state.dtype == np.float32
    assert world.setpoint().shape == world.home.shape == (len(spec.action),)
    np.testing.assert_allclose(world.home, np.clip(world.home, contract.limits.low, contract.limits.high), rtol=1e-6)
    assert all(set(s.joints) <= set(world.joint_topics[s.topic]) for s in contract.state if s.joints)
    assert world.render(world.show_camera, 60, 80).shape == (60, 80, 3)


def test_its_clock_counts_control_steps_and_begins_anew_with_a_layout(world: World) -> None:
    world.reset(np.random.default_rng(0))
    for steps in range(3):
        assert world.time_ns == steps * STEP_NS
        world.step(world.setpoint())
    stamps = [reading.stamp for reading in world.joints]
    assert stamps == sorted(set(stamps)) and stamps[-1] == world.time_ns
    assert all(reading.position.shape == (sum(map(len, world.joint_topics.values())),) for reading in world.joints)
    world.reset(np.random.default_rng(0))
    assert world.time_ns == 0


def test_one_seed_gives_one_layout_and_another_seed_another(world: World) -> None:
    layouts = []
    for seed in (0, 1, 0):
        world.reset(np.random.default_rng(seed))
        layouts.append(world.layout())
    np.testing.assert_array_equal(layouts[0], layouts[2])
    assert not np.array_equal(layouts[0], layouts[1])


def test_its_tasks_begin_possible_and_not_done_with_every_body_in_bounds(world: World) -> None:
    low, high = np.array(world.bounds).T
    for i, task in enumerate(world.tasks.values()):
        start(world, task, i, "home")
        assert task.possible(world) and not task.success(world) and not world.contact
        assert not any(world.touched(body) for body in world.loose_bodies)
        for body in world.loose_bodies:
            assert np.all((world.position(body) >= low) & (world.position(body) <= high))
            assert abs(world.fall_speed(body)) < 0.1


def test_its_expert_gives_set_points_within_the_limits(world: World) -> None:
    limits = world.contract().limits
    for task in world.tasks.values():
        start(world, task, 0, "home")
        for _, action in zip(range(20), task.expert(world), strict=False):
            assert action.shape == world.home.shape and np.all((action >= limits.low) & (action <= limits.high))
            world.step(action)


def test_an_unknown_world_lists_the_valid_ones() -> None:
    with pytest.raises(InputError, match=r"unknown world 'tabletopp'.*did you mean 'tabletop'.*Valid: "):
        load("tabletopp")


@pytest.mark.parametrize("command", ["sim.record", "sim.switches", "sim.evaluate", "sim.demo"])
def test_every_command_takes_a_world_and_writes_nothing_for_an_unknown_one(command: str, tmp_path: Path) -> None:
    arguments = {
        "sim.record": ["--tasks", "lamp_on"],
        "sim.switches": [str(tmp_path)],
        "sim.evaluate": ["models/tabletop"],
        "sim.demo": ["--model", "models/tabletop"],
    }[command]
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-m", command, *arguments, "--world", "kitchen", "--out", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2 and "unknown world 'kitchen'. Valid: " in done.stderr and ", tabletop, " in done.stderr
    assert not out.exists()


def test_a_world_is_named_in_every_recording_job(tmp_path: Path) -> None:
    assert {job.world for job in record.plan(["lamp_on"], 3, tmp_path)} == {"tabletop"}
