"""From nothing to the figures of a model: the steps in their order, and the recipes of LIBERO-Goal."""

import sys
from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks import flagship, libero
from benchmarks.steps import Step, run_until
from policy.errors import InputError
from policy.learning import recipe
from policy.learning.model import Policy
from policy.robot.contract import load


def test_each_step_is_a_command_and_what_is_made_is_not_made_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made = tmp_path / "made"
    made.touch()
    steps = [
        Step("first", ["calendar", "2026", "11"]),
        Step("second", ["no.such.module"], made),
        Step("third", ["no.such.module"]),
    ]
    run_until(steps, "second")
    said = capfd.readouterr().out
    assert "first: -m calendar 2026 11" in said and "November 2026" in said and "second: done already" in said
    with pytest.raises(InputError, match=r"third failed; .* the same command again"):
        run_until(steps, "")
    with pytest.raises(InputError, match="--until last: expected one of first, second, third"):
        run_until(steps, "last")


def test_libero_is_simulated_in_its_own_environment_and_trained_in_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    monkeypatch.setenv("MIDSTREAM_LIBERO", str(python))
    with pytest.raises(InputError, match="make libero"):
        libero.simulator()
    python.touch()
    args = Namespace(data=tmp_path, out=tmp_path, recordings=1, samples=1, episodes=50, processes=1)
    steps = list(libero.steps(args, libero.simulator()))
    for step in steps:
        assert (step.python == python) == step.arguments[0].startswith("sim."), step
        assert step.python in (python, Path(sys.executable))
    assert len({step.name for step in steps}) == len(steps)
    assert libero.SEED % 50 == 0 and libero.SEED >= 2_000_000, "each official state once, never trained on"


@pytest.mark.parametrize("name", libero.recipes())
def test_its_recipes_are_complete(name: str) -> None:
    read = recipe.parse(libero.recipes()[name])
    assert ("execution_state" in read.encoders) == (name == "policy")
    Policy.describe(read, load("libero_goal").spec)


@pytest.mark.parametrize("name", ["switch", "sequence"])
def test_the_plain_policy_of_the_flagship_differs_in_what_switches_teach_alone(name: str) -> None:
    whole, plain = recipe.load(name), recipe.parse(flagship.plain_of(name))
    assert set(whole.encoders) - set(plain.encoders) <= {"execution_state", "committed"}
    assert set(whole.objectives) - set(plain.objectives) == {"execution_estimate"}
    assert (plain.width, plain.mixer, plain.head, plain.training) == (
        whole.width,
        whole.mixer,
        whole.head,
        whole.training,
    )
    spec = Policy.describe(plain, load("tabletop").spec)
    assert not spec.switches and not any("previous" in read for read in spec.reads)
