"""`policy.train --compile`: the same training with fewer passes over memory."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from policy.errors import InputError
from policy.learning.compiled import compiled
from tests import small

ROOT = Path(__file__).parent.parent
EVERY_STEP = (
    "import sys; from policy import train; from policy.learning import trainer; trainer.LOG_STEPS = 1; train.main()"
)


def test_without_a_compiler_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InputError, match=r"needs the C\+\+ compiler no-such-compiler.*apt install g\+\+"):
        compiled(nn.Linear(2, 2), torch.device("cpu"))


@pytest.mark.heavy
def test_a_compiled_training_has_the_losses_of_an_ordinary_one(tmp_path: Path) -> None:
    bags = small.bags(tmp_path / "bags")
    recipe = small.write(tmp_path / "small.yaml", small.shrink("chunk"))
    losses = []
    for option in ([], ["--compile"]):
        out = tmp_path / f"run{len(option)}"
        command = [
            sys.executable,
            "-c",
            EVERY_STEP,
            "--recipe",
            recipe,
            "--bags",
            bags,
            "--samples",
            "64",
            "--out",
            out,
        ]
        done = subprocess.run(
            [*command, *option], cwd=ROOT, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        assert done.returncode == 0, done.stderr[-2000:]
        losses.append([float(row["loss"]) for row in csv.DictReader((out / "losses.csv").open())])
    assert len(losses[0]) == len(losses[1]) >= 8
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.03)  # bfloat16 where the processor has it
