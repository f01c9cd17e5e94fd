"""The tracker inputs that training draws, previous instruction, contact and origin, and the targets of the estimate."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from policy.errors import InputError
from policy.learning.context_labels import (
    HIDDEN_PROBABILITY,
    OTHER_PROBABILITY,
    WRONG_PROBABILITY,
    ContextLabels,
    execution_targets,
)
from policy.robot.contract import load
from policy.spec import MODES, RuntimeSettings
from policy.switching.demonstration import ADVANCE, FORWARD, ROLLBACK

DRAWS = 4000
CONTRACT = load("tabletop")  # 20 Hz, and the default runtime settings:
INTERVAL, KEPT, START, DONE = 8, (16, 33), 32, 12  # steps


class Part(NamedTuple):
    """One instruction's frames in a bag: the ranges in contact, and the mode from a frame on."""

    steps: int
    touching: Sequence[tuple[int, int]] = ()
    modes: Sequence[tuple[int, int]] = ((0, FORWARD),)


RUNTIME = RuntimeSettings()


def cached(*bags: Sequence[Part], incomplete: Sequence[bool] | None = None) -> SimpleNamespace:
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
        contract=CONTRACT,
        state=np.arange(bounds[-1], dtype=np.float32)[:, None],
        contact=contact,
        mode=mode,
        bounds=bounds,
        episode=np.repeat(np.arange(len(parts)), np.diff(bounds)),
        incomplete=~np.array(last) if incomplete is None else np.array(incomplete),
        bags=[f"bag{i}" for i, bag in enumerate(bags) for _ in bag],
    )


SWITCH = (Part(40, [(20, 40)]), Part(100, [(0, 15), (80, 90)], [(0, ROLLBACK), (25, ADVANCE), (40, FORWARD)]))
PLAIN = (Part(100, [(50, 60)]),)


def drawn(labels: ContextLabels, frame: int) -> dict[str, np.ndarray]:
    return labels.draw(np.full(DRAWS, frame), np.arange(DRAWS), np.random.default_rng(0))


def test_the_targets_are_contact_done_and_one_mode() -> None:
    cache = cached(SWITCH, PLAIN)
    targets = execution_targets(cache)
    assert targets.shape == (240, 2 + len(MODES)) and targets.dtype == np.float32
    assert np.array_equal(targets[:, 0], cache.contact) and (targets[:, 2:].sum(1) == 1).all()
    assert targets[:, 2:].argmax(1).tolist() == cache.mode.tolist()
    assert np.flatnonzero(targets[:, 1]).tolist() == [*range(140 - DONE, 140), *range(240 - DONE, 240)]


def test_a_truncated_episode_is_never_done() -> None:
    assert not execution_targets(cached(SWITCH, incomplete=[True, True]))[:, 1].any()


def test_gaps_of_contact_are_filled_within_a_bag_only() -> None:
    labels = ContextLabels(
        cached((Part(20, [(15, 17), (19, 20)]), Part(20, [(2, 10)])), (Part(20, [(0, 5)]),)), RUNTIME
    )
    assert np.flatnonzero(labels.contact).tolist() == [*range(15, 30), *range(40, 45)]
    assert labels.onset[29] == 15 and labels.onset[42] == 40 and labels.onset[35] == -1


def test_contact_is_up_to_one_interval_old_and_sometimes_wrong() -> None:
    labels = ContextLabels(cached(PLAIN), RUNTIME)
    share = {frame: drawn(labels, frame)["contact"].mean() for frame in (30, 50, 51, 54, 59, 61, 70)}
    assert drawn(labels, 30)["contact"].shape == (DRAWS, 1)
    spread = 4 * np.sqrt(WRONG_PROBABILITY / DRAWS)
    for frame in (30, 50, 70):  # at the onset itself it is not estimated yet
        assert share[frame] == pytest.approx(WRONG_PROBABILITY, abs=spread)
    assert share[59] == pytest.approx(1 - WRONG_PROBABILITY, abs=spread)
    for frame, right in (
        (51, 1 / INTERVAL),
        (54, 4 / INTERVAL),
        (61, 1 - 1 / INTERVAL),
    ):  # and it lasts a little after its end
        assert share[frame] == pytest.approx(right + WRONG_PROBABILITY * (1 - 2 * right), abs=0.05)


def test_there_is_no_contact_at_the_beginning_of_a_bag() -> None:
    labels = ContextLabels(cached(SWITCH, (Part(50, [(0, 50)]),)), RUNTIME)
    first = drawn(labels, 140)
    assert first["contact"].mean() == pytest.approx(WRONG_PROBABILITY, abs=4 * np.sqrt(WRONG_PROBABILITY / DRAWS))
    assert set(first["contact_origin"][:, 0]) == {140.0}


def test_the_origin_is_where_the_contact_began_or_the_current_state() -> None:
    labels = ContextLabels(cached(SWITCH, PLAIN), RUNTIME)
    held = drawn(labels, 50)  # ten steps into B: A's contact goes on
    assert held["contact_origin"].shape == (DRAWS, 1)
    assert set(held["contact_origin"][:, 0]) == set(range(20, 20 + INTERVAL))
    over = drawn(labels, 70)
    wrong = over["contact"][:, 0] == 1
    assert set(over["contact_origin"][~wrong, 0]) == {70.0} and set(over["contact_origin"][wrong, 0]) == set(range(71))
    barely = drawn(labels, 22)
    wrong = barely["contact"][:, 0] == 0
    assert (barely["contact_origin"][:, 0] <= 22).all()
    # the others have a wrong contact
    assert np.isin(barely["contact_origin"][~wrong, 0], [20, 21, 22]).mean() > 0.6


def test_after_a_switch_the_previous_instruction_stays_until_it_is_undone() -> None:
    labels = ContextLabels(cached(SWITCH, PLAIN), RUNTIME)
    share = [(drawn(labels, frame)["previous_instruction"] == 0).mean() for frame in range(40, 140)]
    free = 40  # forward and free from this frame of B on: dropped once the estimates confirm it
    known = np.array(share[: free + KEPT[0]])  # hidden in a tenth of the samples
    assert np.allclose(known, 1 - HIDDEN_PROBABILITY, atol=0.05) and known.max() < 1
    assert share[free + KEPT[0]] > share[free + KEPT[1] - 1] and share[free + KEPT[1]] == 0.0
    assert set(drawn(labels, 139)["previous_instruction"]) == {1}


def test_a_new_contact_drops_the_previous_instruction() -> None:
    soon = (SWITCH[0], Part(100, [(0, 15), (45, 60)], SWITCH[1].modes))
    labels = ContextLabels(cached(soon), RUNTIME)
    share = [(drawn(labels, 40 + frame)["previous_instruction"] == 0).mean() for frame in range(100)]
    assert share[45] > 0.8 and 0 < share[46 + INTERVAL // 2] < 1 and share[45 + INTERVAL] == 0.0


def test_during_rollback_the_previous_instruction_stays() -> None:
    rollback = (SWITCH[0], Part(60, [(0, 15)], [(0, ROLLBACK), (25, ADVANCE)]))
    labels = ContextLabels(cached(rollback, incomplete=[True, True]), RUNTIME)
    shown = drawn(labels, 99)["previous_instruction"]
    assert set(shown) == {0, 1} and (shown == 1).mean() == pytest.approx(HIDDEN_PROBABILITY, abs=0.02)


def test_at_the_start_there_may_be_any_previous_instruction() -> None:
    labels = ContextLabels(cached(PLAIN, *[(Part(10),)] * 9), RUNTIME)
    seen = drawn(labels, 5)["previous_instruction"]
    assert set(seen) == set(range(10))
    assert (seen != 0).mean() == pytest.approx(OTHER_PROBABILITY * 0.9, abs=0.04)
    for frame in (START, 55, 99):
        assert set(drawn(labels, frame)["previous_instruction"]) == {0}
    early = ContextLabels(cached((Part(100, [(10, 30)]),), PLAIN), RUNTIME)
    assert set(drawn(early, 9)["previous_instruction"]) == {0, 1} and set(drawn(early, 10)["previous_instruction"]) == {
        0
    }


def test_a_truncated_episode_has_only_its_own_instruction() -> None:
    assert set(drawn(ContextLabels(cached(SWITCH, PLAIN), RUNTIME), 3)["previous_instruction"]) == {0}


def test_a_draw_depends_on_its_generator_alone() -> None:
    labels, frames = ContextLabels(cached(SWITCH, PLAIN), RUNTIME), np.arange(240)
    first, again = (labels.draw(frames, frames, np.random.default_rng(7)) for _ in range(2))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert set(first) == {"previous_instruction", "contact", "contact_origin"} and first["contact"].dtype == np.float32


def in_windows(frames: Sequence[int]) -> dict[str, np.ndarray]:
    """What is drawn for many windows, each of these frames: (DRAWS, frames, ...)."""
    labels, rows = ContextLabels(cached(SWITCH, PLAIN), RUNTIME), np.tile(frames, DRAWS)
    draw = labels.draw(rows, np.arange(len(rows)) // len(frames), np.random.default_rng(0))
    return {name: value.reshape(DRAWS, len(frames), *value.shape[1:]) for name, value in draw.items()}


def test_in_a_window_a_tracker_is_wrong_about_a_contact_in_all_frames_of_an_instruction_or_in_none() -> None:
    free = in_windows([70, 74, 78, 140, 144, 148])  # of two recordings
    contact, origin = free["contact"][..., 0], free["contact_origin"][..., 0]
    for part, first in ((slice(0, 3), 70), (slice(3, 6), 140)):
        wrong = contact[:, part] == 1
        assert (wrong == wrong[:, :1]).all() and wrong[:, 0].mean() == pytest.approx(WRONG_PROBABILITY, abs=0.03)
        assert (origin[:, part] == origin[:, part][:, :1])[wrong].all() and origin[:, part][wrong].max() <= first
    assert (contact[:, 0] != contact[:, 3]).any(), "each instruction has its own draw"
    held = in_windows([45, 48, 51, 54])
    assert (held["contact_origin"] == held["contact_origin"][:, :1]).all(), "and a contact begins once"
    assert set(held["contact_origin"][:, 0, 0]) == set(range(20, 20 + INTERVAL))


def test_in_a_window_the_previous_instruction_is_dropped_once_and_is_one_all_along() -> None:
    switched = in_windows(range(60, 120, 6))["previous_instruction"]
    assert (np.diff(switched, axis=1) >= 0).all(), "the earlier one, then the own"
    assert (switched[:, 0] == 0).mean() == pytest.approx(1 - HIDDEN_PROBABILITY, abs=0.03)
    start = in_windows(range(140, 140 + START, 8))["previous_instruction"]
    assert (start == start[:, :1]).all() and set(start[:, 0]) == {0, 1, 2}


def test_for_single_frames_all_is_drawn_as_published_policies_learnt_it() -> None:
    labels, frames = ContextLabels(cached(SWITCH, PLAIN, SWITCH), RUNTIME), np.tile(np.arange(380), 5)
    draw = labels.draw(frames, np.arange(len(frames)), np.random.default_rng(0))
    content = b"".join(draw[name].astype(np.float32).tobytes() for name in sorted(draw))
    assert hashlib.sha256(content).hexdigest()[:12] == "c969ec1043c6"


def test_bags_without_contact_are_refused() -> None:
    cache = cached(PLAIN)
    cache.contact = None
    with pytest.raises(InputError, match="some bags give no contact"):
        ContextLabels(cache, RUNTIME)
    with pytest.raises(InputError, match="some bags give no contact"):
        execution_targets(cache)


def test_times_are_seconds_at_any_rate() -> None:
    cache = cached(SWITCH, PLAIN)
    cache.contract = replace(CONTRACT, rate=CONTRACT.rate / 2)
    slow, usual = ContextLabels(cache, RUNTIME), ContextLabels(cached(SWITCH, PLAIN), RUNTIME)
    assert (slow.interval, slow.kept, slow.start_steps) == (4, (8, 17), 16)
    assert (usual.interval, usual.kept, usual.start_steps) == (INTERVAL, KEPT, START)
    assert execution_targets(cache)[:, 1].sum() == DONE  # in each of two episodes half as many steps


def test_a_policy_that_looks_more_often_learns_from_inputs_that_are_as_new() -> None:
    often = ContextLabels(cached(PLAIN), replace(RUNTIME, replan_s=0.1))
    assert often.interval == 2 and often.kept == (16, 21)
    assert ContextLabels(cached(PLAIN), replace(RUNTIME, confirm_s=1.5)).kept == (32, 49)
    spread = 4 * np.sqrt(WRONG_PROBABILITY / DRAWS)
    for frame, contact in ((52, 1 - WRONG_PROBABILITY), (62, WRONG_PROBABILITY)):  # two steps after its on- and offset
        assert drawn(often, frame)["contact"].mean() == pytest.approx(contact, abs=spread)
