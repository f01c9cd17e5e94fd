"""Switches stitched from two demonstrations: what is reversed, where B begins, how fast the arm moves."""

from dataclasses import replace

import numpy as np
import pytest

from policy.robot.contract import load
from policy.switching.demonstration import (
    ADVANCE,
    APPROACH_STEPS,
    CONTACT_GAP,
    FORWARD,
    RETREAT_STEPS,
    ROLLBACK,
    fill_gaps,
)
from policy.switching.gripper import GRIPPER_STEPS, has_released
from policy.switching.motion import BLEND_STEPS, PACE, STANDSTILL, VELOCITY_MARGIN, full_speed, straight_line
from policy.switching.stitching import WAIT_STEPS, SwitchStitcher
from tests.demo_bag import CONTRACT, LAG, REACHED, RELEASED, TAKEN, grasp
from tests.demo_bag import PACE as TRAVEL

OPEN, SHUT = 0.08, 0.0
STEP = PACE * float(full_speed(CONTRACT)[0])  # rad, of the first joint
STITCHER = SwitchStitcher(CONTRACT, LAG)


def test_contacts_are_filled_across_short_gaps_only() -> None:
    contact = np.zeros(60, bool)
    contact[[10, 11, 11 + CONTACT_GAP, 40]] = True
    assert np.flatnonzero(fill_gaps(contact)).tolist() == [*range(10, 12 + CONTACT_GAP), 40]
    demo = replace(grasp(steps=60), contact=contact)
    assert demo.contacts() == [(10, 12 + CONTACT_GAP), (40, 41)]
    assert (demo.onset(14), demo.onset(30), demo.onset(40)) == (10, None, 40)


def test_rollback_goes_through_the_recorded_states_in_reverse() -> None:
    a = grasp()
    path = np.array(STITCHER.reverse_states(a, 60, 20))
    assert path[:, 0].max() == a.state[60, 0] and path[-1, 0] == a.state[20, 0]
    held = np.flatnonzero(path[:, 7] == SHUT)
    back = np.diff(path[:, 0])
    assert set(np.round(back[held[:-1]].astype(float), 6).tolist()) <= {0.0, -TRAVEL}  # at the recorded pace
    assert all(np.abs(a.state[:, 0] - row[0]).min() < 1e-9 for row in path[held])  # only recorded positions


def test_the_free_hand_goes_back_the_same_way_at_pace() -> None:
    a = grasp()
    turned = replace(a, state=a.state.copy())
    turned.state[20:31, 1] += np.linspace(0.4, 0, 11)  # a corner of the approach
    path = np.array(STITCHER.reverse_states(turned, 60, 10))
    free = path[np.flatnonzero(path[:, 7] == OPEN)[GRIPPER_STEPS - 1] :]
    pace = np.abs(np.diff(free, axis=0))[:, :7].max(1)
    assert pace.min() > STEP / 2 and pace.max() <= STEP + 1e-6
    assert len(free) < REACHED - 10  # sooner than the approach took
    passed = [np.abs(free - turned.state[k])[:, :2].max(1).min() for k in (30, 25, 20, 10)]
    assert max(passed) < STEP and np.abs(free[-1] - turned.state[10]).max() < 1e-6


def test_the_gripper_opens_where_it_had_closed_and_the_arm_waits_for_it() -> None:
    a = grasp()
    path = np.array(STITCHER.reverse_states(a, 60, 20))
    opened = np.flatnonzero(path[:, 7] == OPEN)
    assert (path[: opened[0], 7] == SHUT).all() and (path[opened[0] :, 7] == OPEN).all()
    closed_at = a.state[REACHED, 0]
    still = np.flatnonzero(path[:, 0] == closed_at)
    # one row of the path, the lag in which the arm arrives, and the time that a gripper takes
    assert np.isin(np.arange(opened[0] - LAG, opened[0] + GRIPPER_STEPS), still).all()


def test_pauses_are_left_out() -> None:
    a = grasp(closes=False)
    path = np.array(STITCHER.reverse_states(a, 60, 20))
    assert (np.abs(np.diff(path[:, 0])) > STANDSTILL / PACE * STEP).all()  # without the ten steps in which it stood
    assert path[0, 0] == a.state[60, 0] and path[-1, 0] == a.state[20, 0]


def test_a_straight_line_moves_at_pace_and_ends_at_its_goal() -> None:
    start, goal, gripper = np.zeros(8), np.array([0.5, -0.2, 0, 0, 0, 0, 0, 0.01]), np.full(8, OPEN)
    line = np.array(straight_line(CONTRACT, start, goal, gripper))
    assert len(line) == int(np.ceil(0.5 / STEP)) and np.abs(np.diff([start, *line], axis=0))[:, :7].max() <= STEP + 1e-9
    np.testing.assert_allclose(line[-1], np.where(CONTRACT.grippers, gripper, goal))
    assert set(line[:, 7]) == {OPEN} and straight_line(CONTRACT, start, start, start) == []


def test_a_pose_moves_as_far_in_a_step_as_the_hand_can() -> None:
    """Metres and radians have limits of their own: what is a pause or a pace in one says nothing of the other."""
    contract = load("libero_goal")
    fastest = full_speed(contract)
    start = np.array([0, 0, 1.1, 0, 0, 0, OPEN])
    for axis, distance in ((0, 0.2), (4, 0.6)):
        goal = start + distance * np.eye(7)[axis]
        line = np.array(straight_line(contract, start, goal, goal))
        moved = np.abs(np.diff([start, *line], axis=0))[:, axis]
        assert moved.max() <= PACE * fastest[axis] + 1e-6 and moved.min() > 0.8 * PACE * fastest[axis]


@pytest.mark.parametrize(
    ("t", "modes"),
    [(10, [ADVANCE, FORWARD]), (38, [ADVANCE, FORWARD]), (60, [ROLLBACK, ADVANCE, FORWARD]), (75, [ADVANCE, FORWARD])],
)
def test_the_contact_at_the_switch_decides_the_modes(t: int, modes: list[int]) -> None:
    switch = STITCHER.stitch(grasp(), t, grasp(joint=1))
    changes = np.flatnonzero(np.diff(switch.mode.astype(int), prepend=-1))
    assert switch.mode[changes].tolist() == modes
    assert len(switch.actions) == len(switch.mode)
    at = int(np.argmax(switch.mode == FORWARD))
    expected = grasp(joint=1).actions[switch.join_step :]
    np.testing.assert_allclose(switch.actions[at:][BLEND_STEPS:], expected[BLEND_STEPS:], atol=1e-6)


def test_rollback_ends_where_the_hand_was_free() -> None:
    switch = STITCHER.stitch(grasp(), 60, grasp(joint=1))
    rollback = np.flatnonzero(switch.mode == ROLLBACK)
    path = STITCHER.reverse_states(grasp(), 60, TAKEN - APPROACH_STEPS)
    assert rollback.tolist() == list(range(WAIT_STEPS + len(path)))
    assert path[-1][0] == (TAKEN - APPROACH_STEPS) * TRAVEL
    # the commands run the lag ahead of the rows
    np.testing.assert_allclose(
        switch.actions[BLEND_STEPS + 4, 0], path[BLEND_STEPS + 4 - WAIT_STEPS + LAG][0], atol=1e-6
    )


def test_b_is_joined_where_it_ends_soonest() -> None:
    b = grasp(at=0.0)
    a = grasp(joint=0, at=0.5)  # at step 10 its hand is where b's is at step 35
    joined = STITCHER.stitch(a, 5, b).join_step
    assert joined == TAKEN - APPROACH_STEPS  # the last free step before the contact
    far = grasp(joint=1)  # the straight line is as long to every step, so the latest step is best
    assert 0 < STITCHER.stitch(a, 5, far).join_step <= TAKEN - APPROACH_STEPS
    assert SwitchStitcher(CONTRACT, LAG, shared_grasp=False).stitch(a, 5, b).join_step == 0


def test_a_released_object_is_not_grasped_again() -> None:
    opened = replace(grasp(), contact=grasp(contact=(TAKEN, RELEASED + 4)).contact)  # the open fingers still touch it
    for t in (RELEASED + 1, RELEASED + 3):
        assert opened.onset(t) == TAKEN and has_released(CONTRACT, opened, t)
        switch = STITCHER.stitch(opened, t, grasp(joint=1))
        assert set(switch.mode) == {ADVANCE, FORWARD} and (switch.actions[:RETREAT_STEPS, 7] == OPEN).all()
        np.testing.assert_array_equal(
            switch.actions[: RELEASED + 4 + RETREAT_STEPS - t],  # first A's own retreat
            opened.actions[t : RELEASED + 4 + RETREAT_STEPS],
        )
    assert not has_released(CONTRACT, opened, RELEASED - 1) and not has_released(CONTRACT, opened, RELEASED + 5)
    # the approach to the next contact is reversed no further than the release
    switch = STITCHER.stitch(
        replace(opened, contact=opened.contact | (np.arange(100) == RELEASED + 12)), RELEASED + 8, grasp(joint=1)
    )
    assert (switch.actions[switch.mode != FORWARD, 7] == OPEN).all()


def test_a_demonstration_that_begins_in_contact_gives_no_switch() -> None:
    assert STITCHER.stitch(grasp(), 60, grasp(joint=1, contact=(5, RELEASED))) is None


def test_a_shared_grasp_is_kept() -> None:
    a, b = grasp(), grasp(steps=120)
    switch = STITCHER.stitch(a, 60, b)
    assert not (switch.mode == ROLLBACK).any() and switch.join_step >= TAKEN
    assert (switch.actions[: len(switch.mode) - 120 + RELEASED, 7] == SHUT).all()  # the gripper stays closed
    assert switch.join_step < RELEASED - APPROACH_STEPS  # placing is B's own motion, not the end of a straight line
    elsewhere = grasp(steps=120, at=0.2)
    empty = replace(
        b, state=np.where(CONTRACT.grippers, b.actions, b.state)
    )  # a gripper that closes fully holds nothing
    for other in (elsewhere, empty, grasp(steps=120, closes=False)):
        assert STITCHER.shared_grasp_step(a, 60, other) is None
        assert (STITCHER.stitch(a, 60, other).mode == ROLLBACK).any()
    assert (SwitchStitcher(CONTRACT, LAG, shared_grasp=False).stitch(a, 60, b).mode == ROLLBACK).any()


def test_an_approach_to_the_same_grasp_goes_on() -> None:
    a, b = grasp(), grasp(steps=120)
    switch = STITCHER.stitch(a, 38, b)
    assert TAKEN - APPROACH_STEPS < switch.join_step < TAKEN and set(switch.mode) == {ADVANCE, FORWARD}
    assert np.diff(switch.actions[:, 0]).min() > -0.01  # it does not go back
    for other in (grasp(at=0.2), grasp(joint=1)):
        assert np.diff(STITCHER.stitch(a, 38, other).actions[:, 0]).min() < -0.01
    assert SwitchStitcher(CONTRACT, LAG, shared_grasp=False).stitch(a, 38, b).join_step == 0


@pytest.mark.parametrize("t", [5, 38, 60, 72, 95])
@pytest.mark.parametrize("fast", [0.4, 2.175])  # rad/s: A and B travel with 0.36
def test_no_set_point_is_faster_than_the_velocity_limit(t: int, fast: float) -> None:
    arm = replace(CONTRACT.action[0], velocity_max=(fast,) * 7)
    contract = replace(CONTRACT, action=(arm, CONTRACT.action[1]))
    a, b = grasp(), grasp(joint=1, at=-0.8)
    switch = SwitchStitcher(contract, LAG).stitch(a, t, b)
    steps = np.abs(np.diff(np.concatenate([a.actions[t - 1 : t], switch.actions]), axis=0))[:, :7]
    assert steps.max() <= VELOCITY_MARGIN * fast / contract.rate + 1e-6
    assert np.abs(switch.actions[-1] - b.actions[-1]).max() < 1e-6  # and the arm catches up


def test_the_motion_of_a_blends_into_the_new_one_without_a_jump() -> None:
    a = grasp()
    switch = STITCHER.stitch(a, 60, grasp(joint=1))
    commands = np.concatenate([a.actions[50:60], switch.actions])[: 10 + WAIT_STEPS + BLEND_STEPS, 0]
    bare = np.concatenate([a.actions[50:60, 0], np.array(STITCHER.reverse_states(a, 60, 20))[:, 0]])
    assert np.abs(np.diff(commands)).max() <= 2 * TRAVEL
    assert np.abs(np.diff(commands, 2)).max() < 0.7 * np.abs(np.diff(bare, 2)).max()
