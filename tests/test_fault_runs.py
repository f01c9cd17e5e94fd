"""Random faults of a driver against the real stack: one seed in `make test`, a hundred in `make test-all`."""

from pathlib import Path

import pytest

from tests.fault_runs import run  # skips the file where there is no ROS
from tests.tiny import write_model


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.heavy) for seed in range(1, 100))])
def test_whatever_a_driver_does_the_limits_hold(tmp_path: Path, seed: int) -> None:
    write_model(tmp_path / "tiny", ramp=0.01)
    worst, happened, judged = run(tmp_path / "tiny", seed)
    assert len(happened) > 2 and judged > 1.0
    assert worst.beyond < 1e-6, "beyond a position limit"
    assert worst.instant < 1.5 and worst.mean < 1.05, "faster than the velocity limits"
