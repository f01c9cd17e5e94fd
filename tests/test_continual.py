"""Figures of tasks learnt one after the other."""

import numpy as np
import pytest

from benchmarks.continual import ORDERS, TASKS, figures, rows


def test_forward_transfer_forgetting_and_area_are_those_of_libero() -> None:
    nan = np.nan
    success = np.array([[0.8, nan, nan], [0.6, 0.9, nan], [0.2, 0.7, 1.0]])
    forward, forgetting, area = figures(success)
    assert forward == pytest.approx((0.8 + 0.9 + 1.0) / 3)
    assert forgetting == pytest.approx(((0.2 + 0.6) / 2 + 0.2) / 2)
    assert area == pytest.approx(((0.8 + 0.6 + 0.2) / 3 + (0.9 + 0.7) / 2 + 1.0) / 3)
    anew = np.full((4, 4), nan)
    anew[3] = [0.2, 0.4, 0.6, 0.8]  # of TASKS
    last = np.mean([anew[3, TASKS.index(order[-1])] for order in ORDERS])
    assert rows({("keep", 0): success, ("anew", 0): anew})[2:] == [
        f"| keep | 90.0 | {100 * forgetting:.1f} | {100 * area:.1f} | 63.3 | 100.0 |",
        f"| anew |  |  |  | 50.0 | {100 * last:.1f} |",
    ]
    assert last == pytest.approx((0.8 + 0.2 + 0.4) / 3)
