"""Simulated robots: worlds, recording of demonstrations, evaluation of policies."""

from gymnasium.envs.registration import register

import sim.headless  # noqa: F401  first: it chooses how MuJoCo renders

register(
    id="midstream/Tabletop-v0", entry_point="sim.env:Environment", kwargs={"world": "tabletop"}, max_episode_steps=200
)
