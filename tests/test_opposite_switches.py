"""Switches to the opposite of what is shown: from a layout with the object in the same place, or by experts."""

from pathlib import Path

import numpy as np
import pytest

from policy.data.bag_files import find_bags
from policy.data.episodes import read_episodes
from sim import switches
from sim.initial_states import start
from sim.record import RecordingJob, record
from sim.switch_candidates import SAME_PLACE
from sim.switches import LayoutJob
from sim.worlds.tabletop.tasks import TASKS
from sim.worlds.tabletop.world import Tabletop
from tests.demo_bag import CONTRACT, custom

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lamps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, int, Path]]:
    """lamp_on in one layout; lamp_off in another with the lamp in the same place, and in a third with it elsewhere."""
    world, places = Tabletop(), {}
    for task in ("lamp_on", "lamp_off"):
        for seed in range(20):
            start(world, TASKS[task], seed, "home")
            places[task, seed] = world.position("button")
    away = {seed: np.linalg.norm(places["lamp_off", seed] - places["lamp_on", 0]) for seed in range(1, 20)}
    near = min(away, key=away.__getitem__)
    far = max(away, key=away.__getitem__)
    assert away[near] < SAME_PLACE < away[far]
    out, recorded = tmp_path_factory.mktemp("lamps"), {}
    for name, task, seed in (("on", "lamp_on", 0), ("near", "lamp_off", near), ("far", "lamp_off", far)):
        assert record(RecordingJob(task, seed, "home", False, out / name)) == 1
        recorded[name] = (task, seed, out / name)
    return recorded


def test_an_opposite_is_done_as_in_the_layout_with_the_object_in_the_same_place(
    lamps: dict[str, tuple[str, int, Path]], tmp_path: Path
) -> None:
    (a, seed, bag), near, far = lamps.values()
    counts = switches.make(LayoutJob(seed, ((a, bag),), (far, near), tmp_path, True))
    kept, world = [bag for bag in find_bags(tmp_path) if not bag.name.endswith("experts")], Tabletop()
    assert counts["late: kept"] + counts["mid: kept"] == len(kept) > 0
    (other,) = read_episodes(near[2], CONTRACT)
    for made in kept:
        episodes = read_episodes(made, CONTRACT)
        assert [episode.task for episode in episodes] == ["lamp_on", "lamp_off"]
        assert episodes[1].instruction == other.instruction and (episodes[1].actions[-10:] == other.actions[-10:]).all()
        if custom(made)["pushed"] == "True":
            continue
        (shown,) = read_episodes(bag, CONTRACT)
        start(world, TASKS[a], seed, "home")
        for action in shown.actions[: int(np.abs(shown.state - episodes[0].state[0]).sum(1).argmin())]:
            world.step(action)
        lit = []
        for action in np.concatenate([episode.actions for episode in episodes]):
            lit.append(world.lamp)
            world.step(action)
        assert any(lit) and not world.lamp


def test_where_no_layout_has_the_object_in_the_same_place_the_experts_do_the_opposite(
    lamps: dict[str, tuple[str, int, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (a, seed, bag), _, far = lamps.values()
    job = LayoutJob(seed, ((a, bag),), (far,), tmp_path, True)
    monkeypatch.setattr(switches, "PROBABILITY", 0.0)
    assert not switches.make(job) and not any(tmp_path.iterdir())
    monkeypatch.setattr(switches, "PROBABILITY", 1.0)
    assert switches.make(job) == {"late: kept by experts": 1}
    assert [bag.name for bag in find_bags(tmp_path)] == [f"lamp_on_to_lamp_off_{seed:06d}_late_experts"]


def test_the_experts_do_late_switches_until_there_are_as_many_as_mid_ones(
    lamps: dict[str, tuple[str, int, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is replayed and performed is told here: of four pairs three can be replayed mid-way, none late."""
    (a, seed, bag), performed = lamps["on"], list[tuple[str, str]]()
    pairs = [(a, b, None) for b in ("put_red", "put_blue", "open_drawer", "lamp_off")]

    def keep(world: Tabletop, contract: object, out: Path, phase: str, *_: object) -> str:
        return "kept" if phase == "mid" and "lamp_off" not in out.name else "B failed"

    def perform(world: Tabletop, contract: object, out: Path, pair: tuple[str, str], *_: object) -> str:
        performed.append(pair)
        return "B failed" if len(performed) == 1 else "kept by experts"

    monkeypatch.setattr(switches, "PROBABILITY", 0.0)
    monkeypatch.setattr(switches, "_pairs", lambda *_: pairs)
    monkeypatch.setattr(switches, "candidates", lambda *_: [("mid0", None), ("late0", None)])
    monkeypatch.setattr(switches, "keep", keep)
    monkeypatch.setattr(switches, "keep_by_experts", perform)
    counts = switches.make(LayoutJob(seed, ((a, bag),), (), tmp_path, True))
    assert counts["mid: kept"] == counts["late: kept by experts"] == 3 and len(set(performed)) == 4
