"""Switches made of two demonstrations: what is undone and how, where the other begins, and how fast it may go."""

from dataclasses import replace

import numpy as np
import pytest

from policy.switching.stitching import (
    ADVANCE,
    BLEND,
    CLEAR,
    FORWARD,
    GAP,
    LEFT,
    OPENING,
    PACE,
    ROLLBACK,
    SLOWER,
    STILL,
    TURN,
    Synthesis,
    filled,
)
from tests.demo_bag import CONTRACT, LAG, REACHED, RELEASED, TAKEN, grasp
from tests.demo_bag import PACE as TRAVEL

OPEN, SHUT = 0.08, 0.0
SYNTHESIS = Synthesis(CONTRACT, LAG)


def test_contacts_are_filled_across_short_gaps_only() -> None:
    contact = np.zeros(60, bool)
    contact[[10, 11, 11 + GAP, 40]] = True
    assert np.flatnonzero(filled(contact)).tolist() == [*range(10, 12 + GAP), 40]
    demo = replace(grasp(steps=60), contact=contact)
    assert demo.contacts() == [(10, 12 + GAP), (40, 41)]
    assert (demo.onset(14), demo.onset(30), demo.onset(40)) == (10, None, 40)


def test_what_is_undone_are_the_states_backwards() -> None:
    a = grasp()
    way = np.array(SYNTHESIS.undo(a, 60, 20))
    assert way[:, 0].max() == a.state[60, 0] and way[-1, 0] == a.state[20, 0]
    held = np.flatnonzero(way[:, 7] == SHUT)
    back = np.diff(way[:, 0])
    assert set(np.round(back[held[:-1]].astype(float), 6).tolist()) <= {0.0, -TRAVEL}  # as it came
    assert all(np.abs(a.state[:, 0] - row[0]).min() < 1e-9 for row in way[held])  # nowhere it had not been


def test_the_free_hand_goes_back_the_way_it_came_but_does_not_dawdle() -> None:
    a = grasp()
    turned = replace(a, state=a.state.copy())
    turned.state[20:31, 1] += np.linspace(0.4, 0, 11)  # a corner on its way there
    way = np.array(SYNTHESIS.undo(turned, 60, 10))
    free = way[np.flatnonzero(way[:, 7] == OPEN)[OPENING - 1] :]
    pace = np.abs(np.diff(free, axis=0))[:, :7].max(1)
    assert pace.min() > PACE / 2 and pace.max() <= PACE + 1e-6
    assert len(free) < REACHED - 10  # sooner than it came
    passed = [np.abs(free - turned.state[k])[:, :2].max(1).min() for k in (30, 25, 20, 10)]
    assert max(passed) < PACE and np.abs(free[-1] - turned.state[10]).max() < 1e-6


def test_the_gripper_opens_where_it_had_closed_and_the_arm_waits_for_it() -> None:
    a = grasp()
    way = np.array(SYNTHESIS.undo(a, 60, 20))
    opened = np.flatnonzero(way[:, 7] == OPEN)
    assert (way[: opened[0], 7] == SHUT).all() and (way[opened[0] :, 7] == OPEN).all()
    closed_at = a.state[REACHED, 0]
    still = np.flatnonzero(way[:, 0] == closed_at)
    # one row on the way, the arm's lag to arrive in, and the time that a gripper takes
    assert np.isin(np.arange(opened[0] - LAG, opened[0] + OPENING), still).all()


def test_waiting_is_not_repeated_backwards() -> None:
    a = grasp(closes=False)
    way = np.array(SYNTHESIS.undo(a, 60, 20))
    assert (np.abs(np.diff(way[:, 0])) > STILL).all()  # but for the ten steps in which it stood
    assert way[0, 0] == a.state[60, 0] and way[-1, 0] == a.state[20, 0]


def test_a_line_is_paced_and_ends_where_it_should() -> None:
    start, goal, gripper = np.zeros(8), np.array([0.5, -0.2, 0, 0, 0, 0, 0, 0.01]), np.full(8, OPEN)
    line = np.array(SYNTHESIS.line(start, goal, gripper))
    assert len(line) == int(np.ceil(0.5 / PACE)) and np.abs(np.diff([start, *line], axis=0))[:, :7].max() <= PACE + 1e-9
    np.testing.assert_allclose(line[-1], np.where(SYNTHESIS.grippers, gripper, goal))
    assert set(line[:, 7]) == {OPEN} and SYNTHESIS.line(start, start, start) == []


@pytest.mark.parametrize(
    ("t", "modes"),
    [(10, [ADVANCE, FORWARD]), (38, [ADVANCE, FORWARD]), (60, [ROLLBACK, ADVANCE, FORWARD]), (75, [ADVANCE, FORWARD])],
)
def test_what_is_in_front_of_the_hand_decides(t: int, modes: list[int]) -> None:
    switch = SYNTHESIS.switch(grasp(), t, grasp(joint=1))
    changes = np.flatnonzero(np.diff(switch.mode.astype(int), prepend=-1))
    assert switch.mode[changes].tolist() == modes
    assert len(switch.actions) == len(switch.mode)
    at = int(np.argmax(switch.mode == FORWARD))
    expected = grasp(joint=1).actions[switch.joined :]
    np.testing.assert_allclose(switch.actions[at:][BLEND:], expected[BLEND:], atol=1e-6)


def test_undoing_ends_where_the_hand_was_free() -> None:
    switch = SYNTHESIS.switch(grasp(), 60, grasp(joint=1))
    undone = np.flatnonzero(switch.mode == ROLLBACK)
    way = SYNTHESIS.undo(grasp(), 60, TAKEN - CLEAR)
    assert undone.tolist() == list(range(TURN + len(way)))
    assert way[-1][0] == (TAKEN - CLEAR) * TRAVEL
    # the commands run the lag ahead of the rows
    np.testing.assert_allclose(switch.actions[BLEND + 4, 0], way[BLEND + 4 - TURN + LAG][0], atol=1e-6)


def test_b_is_joined_where_it_is_done_soonest() -> None:
    b = grasp(at=0.0)
    a = grasp(joint=0, at=0.5)  # at step 10 its hand is where b's is at step 35
    joined = SYNTHESIS.switch(a, 5, b).joined
    assert joined == TAKEN - CLEAR  # as near the contact as a hand that is free may be
    far = grasp(joint=1)  # there the straight way is as long wherever it ends, so the later the better
    assert 0 < SYNTHESIS.switch(a, 5, far).joined <= TAKEN - CLEAR
    assert Synthesis(CONTRACT, LAG, links=False).switch(a, 5, b).joined == 0


def test_what_has_been_let_go_is_not_taken_again() -> None:
    opened = replace(grasp(), contact=grasp(contact=(TAKEN, RELEASED + 4)).contact)  # it still touches the fingers
    for t in (RELEASED + 1, RELEASED + 3):
        assert opened.onset(t) == TAKEN and SYNTHESIS.let_go(opened, t)
        switch = SYNTHESIS.switch(opened, t, grasp(joint=1))
        assert set(switch.mode) == {ADVANCE, FORWARD} and (switch.actions[:LEFT, 7] == OPEN).all()
        np.testing.assert_array_equal(
            switch.actions[: RELEASED + 4 + LEFT - t],  # first it leaves as A does
            opened.actions[t : RELEASED + 4 + LEFT],
        )
    assert not SYNTHESIS.let_go(opened, RELEASED - 1) and not SYNTHESIS.let_go(opened, RELEASED + 5)
    # a hand that goes for what comes next goes back no further than what it has let go
    switch = SYNTHESIS.switch(
        replace(opened, contact=opened.contact | (np.arange(100) == RELEASED + 12)), RELEASED + 8, grasp(joint=1)
    )
    assert (switch.actions[switch.mode != FORWARD, 7] == OPEN).all()


def test_a_demonstration_that_begins_in_contact_is_not_joined() -> None:
    assert SYNTHESIS.switch(grasp(), 60, grasp(joint=1, contact=(5, RELEASED))) is None


def test_a_hand_that_holds_what_b_grasps_just_so_goes_on_with_it() -> None:
    a, b = grasp(), grasp(steps=120)
    switch = SYNTHESIS.switch(a, 60, b)
    assert not (switch.mode == ROLLBACK).any() and switch.joined >= TAKEN
    assert (switch.actions[: len(switch.mode) - 120 + RELEASED, 7] == SHUT).all()  # it does not let go on the way
    assert switch.joined < RELEASED - CLEAR  # where it is put is B's own doing, not the end of the straight way
    elsewhere = grasp(steps=120, at=0.2)
    empty = replace(b, state=np.where(SYNTHESIS.grippers, b.actions, b.state))  # what closes whole holds nothing
    for other in (elsewhere, empty, grasp(steps=120, closes=False)):
        assert SYNTHESIS.linked(a, 60, other) is None
        assert (SYNTHESIS.switch(a, 60, other).mode == ROLLBACK).any()
    assert (Synthesis(CONTRACT, LAG, links=False).switch(a, 60, b).mode == ROLLBACK).any()


def test_a_hand_that_goes_for_what_b_takes_just_so_goes_on() -> None:
    a, b = grasp(), grasp(steps=120)
    switch = SYNTHESIS.switch(a, 38, b)
    assert TAKEN - CLEAR < switch.joined < TAKEN and set(switch.mode) == {ADVANCE, FORWARD}
    assert np.diff(switch.actions[:, 0]).min() > -0.01  # not back
    for other in (grasp(at=0.2), grasp(joint=1)):
        assert np.diff(SYNTHESIS.switch(a, 38, other).actions[:, 0]).min() < -0.01
    assert Synthesis(CONTRACT, LAG, links=False).switch(a, 38, b).joined == 0


@pytest.mark.parametrize("t", [5, 38, 60, 72, 95])
@pytest.mark.parametrize("fast", [0.4, 2.175])  # rad/s: A and B travel with 0.36
def test_no_command_is_faster_than_the_arm_may(t: int, fast: float) -> None:
    arm = replace(CONTRACT.action[0], velocity_max=(fast,) * 7)
    contract = replace(CONTRACT, action=(arm, CONTRACT.action[1]))
    a, b = grasp(), grasp(joint=1, at=-0.8)
    switch = Synthesis(contract, LAG).switch(a, t, b)
    steps = np.abs(np.diff(np.concatenate([a.actions[t - 1 : t], switch.actions]), axis=0))[:, :7]
    assert steps.max() <= SLOWER * fast / contract.rate + 1e-6
    assert np.abs(switch.actions[-1] - b.actions[-1]).max() < 1e-6  # and yet it catches up


def test_the_motion_of_a_turns_into_the_new_one_without_a_jump() -> None:
    a = grasp()
    switch = SYNTHESIS.switch(a, 60, grasp(joint=1))
    commands = np.concatenate([a.actions[50:60], switch.actions])[: 10 + TURN + BLEND, 0]
    bare = np.concatenate([a.actions[50:60, 0], np.array(SYNTHESIS.undo(a, 60, 20))[:, 0]])
    assert np.abs(np.diff(commands)).max() <= 2 * TRAVEL
    assert np.abs(np.diff(commands, 2)).max() < 0.7 * np.abs(np.diff(bare, 2)).max()
