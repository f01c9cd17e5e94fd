"""The planned path of the hand in a picture: where it is drawn, the hand is."""

from collections.abc import Callable

import numpy as np
import pytest

from sim.worlds.tabletop.poses import TabletopPoses
from sim.worlds.tabletop.projection import project
from sim.worlds.tabletop.world import Tabletop

SIZE = 96


@pytest.fixture(scope="module", params=[Tabletop, TabletopPoses])
def world(request: pytest.FixtureRequest) -> Tabletop:
    made: Callable[[], Tabletop] = request.param
    world = made()
    world.reset(np.random.default_rng(3))
    return world


@pytest.mark.parametrize("colour, channel", [("red", 0), ("blue", 2)])
@pytest.mark.parametrize("width", [SIZE, 2 * SIZE])
def test_a_block_is_seen_where_it_is_projected(world: Tabletop, colour: str, channel: int, width: int) -> None:
    picture = world.render("front", SIZE, width).astype(int)
    others = np.delete(picture, channel, axis=2).max(axis=2)
    rows, columns = np.nonzero((picture[..., channel] > 90) & (others < picture[..., channel] / 2))
    assert len(rows) > 5, "the block is seen"
    seen = (columns.mean() + 0.5) / width, (rows.mean() + 0.5) / SIZE
    at = project(world.model, world.data, "front", world.position(colour)[None], width / SIZE)
    np.testing.assert_allclose(at[0], seen, atol=0.02)


@pytest.mark.parametrize("camera", ["front", "wrist"])
def test_set_points_are_drawn_where_they_bring_the_hand(world: Tabletop, camera: str) -> None:
    """Those that are in force now: at the finger tips, as the physics has them."""
    here = np.asarray(world.state(), float)[None]
    path = world.hand_path(camera, np.repeat(here, 3, axis=0))
    assert path.shape == (3, 2)
    tips = project(world.model, world.data, camera, world.tcp[None])
    np.testing.assert_allclose(path, np.repeat(tips, 3, axis=0), atol=0.01)


def test_nothing_is_drawn_for_what_is_behind_the_camera(world: Tabletop) -> None:
    behind = world.data.camera("front").xpos + np.array([0.5, 0.0, 0.5])
    assert np.isnan(project(world.model, world.data, "front", behind[None])).all()
    assert world.hand_path("front", np.empty((0, len(world.home)))).shape == (0, 2)
