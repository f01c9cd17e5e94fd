"""The past that training draws: previous instruction, contact, origin, and what is to be told."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from policy.errors import InputError
from policy.learning.context_labels import AGE, DONE, KEPT, OPENING, OTHER, WRONG, ContextLabels
from policy.spec import MODES
from policy.switching.demonstration import ADVANCE, FORWARD, ROLLBACK

DRAWS = 4000


class Part(NamedTuple):
    """One instruction's frames in a bag: the ranges in contact, and the mode from a frame on."""

    steps: int
    touching: Sequence[tuple[int, int]] = ()
    modes: Sequence[tuple[int, int]] = ((0, FORWARD),)


def cached(*bags: Sequence[Part], broken: Sequence[bool] | None = None) -> SimpleNamespace:
    """Frames of several bags as policy.data.cache.Cache has them; the state of frame i is i."""
    parts = [part for bag in bags for part in bag]
    bounds = np.cumsum([0] + [part.steps for part in parts])
    contact, mode = np.zeros(bounds[-1], bool), np.zeros(bounds[-1], np.uint8)
    for first, part in zip(bounds, parts, strict=False):
        for a, b in part.touching:
            contact[first + a : first + b] = True
        for at, which in part.modes:
            mode[first + at : first + part.steps] = which
    last = [i == len(bag) - 1 for bag in bags for i in range(len(bag))]
    return SimpleNamespace(
        state=np.arange(bounds[-1], dtype=np.float32)[:, None],
        contact=contact,
        mode=mode,
        bounds=bounds,
        episode=np.repeat(np.arange(len(parts)), np.diff(bounds)),
        broken=~np.array(last) if broken is None else np.array(broken),
        bags=[f"bag{i}" for i, bag in enumerate(bags) for _ in bag],
    )


SWITCH = (Part(40, [(20, 40)]), Part(100, [(0, 15), (80, 90)], [(0, ROLLBACK), (25, ADVANCE), (40, FORWARD)]))
PLAIN = (Part(100, [(50, 60)]),)


def drawn(history: ContextLabels, frame: int) -> dict[str, np.ndarray]:
    return history.draw(np.full(DRAWS, frame), np.random.default_rng(0))


def test_told_is_contact_done_and_one_mode() -> None:
    cache = cached(SWITCH, PLAIN)
    told = ContextLabels(cache).execution_targets
    assert told.shape == (240, 2 + len(MODES)) and told.dtype == np.float32
    assert np.array_equal(told[:, 0], cache.contact) and (told[:, 2:].sum(1) == 1).all()
    assert told[:, 2:].argmax(1).tolist() == cache.mode.tolist()
    assert np.flatnonzero(told[:, 1]).tolist() == [*range(140 - DONE, 140), *range(240 - DONE, 240)]


def test_what_is_broken_off_or_ends_on_the_way_is_never_done() -> None:
    assert not ContextLabels(cached(SWITCH, broken=[True, True])).execution_targets[:, 1].any()


def test_contact_is_filled_within_a_bag_and_not_beyond() -> None:
    history = ContextLabels(cached((Part(20, [(15, 17), (19, 20)]), Part(20, [(2, 10)])), (Part(20, [(0, 5)]),)))
    assert np.flatnonzero(history.contact).tolist() == [*range(15, 30), *range(40, 45)]
    assert history.onset[29] == 15 and history.onset[42] == 40 and history.onset[35] == -1


def test_contact_told_is_some_steps_old_and_now_and_then_wrong() -> None:
    history = ContextLabels(cached(PLAIN))
    share = {frame: drawn(history, frame)["contact"].mean() for frame in (30, 50, 51, 54, 59, 61, 70)}
    assert drawn(history, 30)["contact"].shape == (DRAWS, 1)
    spread = 4 * np.sqrt(WRONG / DRAWS)
    for frame in (30, 50, 70):  # at the onset itself it was not told yet
        assert share[frame] == pytest.approx(WRONG, abs=spread)
    assert share[59] == pytest.approx(1 - WRONG, abs=spread)
    for frame, right in ((51, 1 / AGE), (54, 4 / AGE), (61, 1 - 1 / AGE)):  # and not let go at once
        assert share[frame] == pytest.approx(right + WRONG * (1 - 2 * right), abs=0.05)


def test_nothing_is_told_at_the_beginning_of_a_bag() -> None:
    history = ContextLabels(cached(SWITCH, (Part(50, [(0, 50)]),)))
    first = drawn(history, 140)
    assert first["contact"].mean() == pytest.approx(WRONG, abs=4 * np.sqrt(WRONG / DRAWS))
    assert set(first["contact_origin"][:, 0]) == {140.0}


def test_the_origin_is_where_the_contact_began_or_the_present_state() -> None:
    history = ContextLabels(cached(SWITCH, PLAIN))
    held = drawn(history, 50)  # ten steps into B: A's contact goes on
    assert held["contact_origin"].shape == (DRAWS, 1)
    assert set(held["contact_origin"][:, 0]) == set(range(20, 20 + AGE))
    over = drawn(history, 70)
    wrong = over["contact"][:, 0] == 1
    assert set(over["contact_origin"][~wrong, 0]) == {70.0} and set(over["contact_origin"][wrong, 0]) == set(range(71))
    barely = drawn(history, 22)
    wrong = barely["contact"][:, 0] == 0
    assert (barely["contact_origin"][:, 0] <= 22).all()
    assert (
        np.isin(barely["contact_origin"][~wrong, 0], [20, 21, 22]).mean() > 0.6
    )  # the others are told a contact wrongly


def test_after_a_switch_the_previous_is_the_one_before_until_nothing_of_it_is_left() -> None:
    history = ContextLabels(cached(SWITCH, PLAIN))
    share = [(drawn(history, frame)["previous_instruction"] == 0).mean() for frame in range(40, 140)]
    free = 40  # forward and free from this frame of B on: three inferences later it is let go
    assert min(share[: free + KEPT[0]]) == 1.0
    assert np.all(np.diff(share[free + KEPT[0] : free + KEPT[1]]) <= 0) and share[free + KEPT[1]] == 0.0
    assert set(drawn(history, 139)["previous_instruction"]) == {1}


def test_a_new_contact_lets_the_previous_go_at_once() -> None:
    soon = (SWITCH[0], Part(100, [(0, 15), (45, 60)], SWITCH[1].modes))
    history = ContextLabels(cached(soon))
    share = [(drawn(history, 40 + frame)["previous_instruction"] == 0).mean() for frame in range(100)]
    assert share[45] == 1.0 and 0 < share[46 + AGE // 2] < 1 and share[45 + AGE] == 0.0


def test_on_the_way_back_it_is_never_let_go() -> None:
    back = (SWITCH[0], Part(60, [(0, 15)], [(0, ROLLBACK), (25, ADVANCE)]))
    history = ContextLabels(cached(back, broken=[True, True]))
    assert set(drawn(history, 99)["previous_instruction"]) == {0}


def test_at_the_very_beginning_there_may_be_any_previous_instruction() -> None:
    history = ContextLabels(cached(PLAIN, *[(Part(10),)] * 9))
    seen = drawn(history, 5)["previous_instruction"]
    assert set(seen) == set(range(10))
    assert (seen != 0).mean() == pytest.approx(OTHER * 0.9, abs=0.04)
    for frame in (OPENING, 55, 99):
        assert set(drawn(history, frame)["previous_instruction"]) == {0}
    early = ContextLabels(cached((Part(100, [(10, 30)]),), PLAIN))
    assert set(drawn(early, 9)["previous_instruction"]) == {0, 1} and set(drawn(early, 10)["previous_instruction"]) == {
        0
    }


def test_what_is_broken_off_has_only_its_own_instruction() -> None:
    assert set(drawn(ContextLabels(cached(SWITCH, PLAIN)), 3)["previous_instruction"]) == {0}


def test_a_draw_is_a_function_of_its_generator() -> None:
    history, frames = ContextLabels(cached(SWITCH, PLAIN)), np.arange(240)
    first, again = (history.draw(frames, np.random.default_rng(7)) for _ in range(2))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert set(first) == {"previous_instruction", "contact", "contact_origin"} and first["contact"].dtype == np.float32


def test_bags_that_do_not_tell_contact_are_refused() -> None:
    cache = cached(PLAIN)
    cache.contact = None
    with pytest.raises(InputError, match="some bags do not tell contact"):
        ContextLabels(cache)
