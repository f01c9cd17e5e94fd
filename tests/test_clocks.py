"""Headers on the robot's clock, reception on the recorder's: measured, aligned where constant, else refused."""

from pathlib import Path

import numpy as np
import pytest

from policy.data import recording
from policy.data.cache import open_cache
from policy.data.episodes import read_episodes
from policy.errors import InputError
from policy.robot.contract import Contract
from tests import small_robot as small
from tests.test_any_message import CASES, Case, independent, recorded, wave, with_state

S = small.SECOND
ARRAY = {"topic": "arm/commands", "type": "std_msgs/msg/Float64MultiArray"}
ARM, GRIP = (
    {"topic": "arm/joint_trajectory", "joints": ["j1", "j2"], "position_min": [-3.2] * 2, "position_max": [3.2] * 2},
    {"topic": "arm/joint_trajectory", "joints": ["grip"], "position_min": [0], "position_max": [0.05]},
)


def arrays() -> Contract:
    """Commands that have no header."""
    arm = ARM | {"velocity_max": [3, 3], "demonstration": ARRAY | {"indices": [0, 1], "names": ["j1", "j2"]}}
    grip = GRIP | {"velocity_max": [1], "gripper": True, "demonstration": ARRAY | {"indices": [2], "names": ["grip"]}}
    return small.contract(action=[arm, grip])


def received(items: list[small.Message], by: float, *topics: str) -> list[small.Message]:
    """The same messages, received `by` seconds later (all topics, or some)."""
    moved = [(t, m, ns + round(by * S) if not topics or t in topics else ns) for t, m, ns in items]
    return sorted(moved, key=lambda item: item[2])


def two_instructions() -> list[small.Message]:
    said = [
        ("/instruction", small.string(text), small.START + at * S - 1) for text, at in (("first", 0), ("second", 4))
    ]
    return sorted([*small.moving(8, text=""), *said], key=lambda item: item[2])


@pytest.mark.parametrize("by", [0, -30, -1, -0.3, 0.4, 30, 1e7])
def test_an_instruction_is_of_the_frames_that_were_recorded_under_it(tmp_path: Path, by: float) -> None:
    """It has no header: its reception is moved onto the clock in the headers, 10^7 s for a simulation's."""
    small.record(tmp_path / "bags" / "a", received(two_instructions(), by))
    cache = open_cache(tmp_path / "bags", small.contract())
    assert list(zip(cache.instructions, np.diff(cache.bounds).tolist(), strict=True)) == [("first", 80), ("second", 80)]
    assert cache.stamps[0] == small.START  # headers are kept
    assert [f.severity for f in cache.findings] == (["warning"] if by else [])
    if by:
        assert f"{-by:+.3f} s" in cache.findings[0].figures and "stamp: receive" in cache.findings[0].do


@pytest.mark.parametrize("by", [0, 0.5, -0.5])
def test_commands_without_a_header_are_of_the_frames_of_their_time(tmp_path: Path, by: float) -> None:
    items = [item for item in small.moving(8) if "traj" not in item[0]]
    sent = [small.START + k * S // 20 - S // 100 for k in range(160)]  # between two frames
    items += [("/arm/commands", small.array(small.position(np.array(k / 20))), ns) for k, ns in enumerate(sent)]
    small.record(tmp_path / "a", received(sorted(items, key=lambda item: item[2]), by))
    (episode,) = read_episodes(tmp_path / "a", arrays())
    t = (episode.stamps - small.START) * 1e-9
    assert np.abs(episode.actions - small.position(np.minimum(t + 0.05, 7.95))).max() < 1e-6


@pytest.mark.parametrize("by", [5, -5, 0.2, -0.2])
def test_one_topic_on_a_clock_of_its_own_is_aligned_with_the_camera(tmp_path: Path, by: float) -> None:
    """The arm's computer is ahead of the camera's and the recorder's."""
    moved = round(by * S)
    items = [
        (t, small.joints(ns + moved, m.position) if t == "/joint_states" else m, ns) for t, m, ns in small.moving(4)
    ]
    small.record(tmp_path / "bags" / "a", items)
    cache = open_cache(tmp_path / "bags", small.contract())
    t = (cache.stamps - small.START) * 1e-9
    assert len(t) == 80 and np.abs(cache.state - small.position(t)).max() < 0.01
    (finding,) = cache.findings
    assert f"joint_states {by:+.3f} s" in finding.figures and "cam/image_raw" not in finding.figures


def test_a_camera_whose_clock_is_a_little_ahead(tmp_path: Path) -> None:
    """By 0.2 s, which is no delay: nothing is received before it was sent."""
    ahead = S // 5
    items = [
        (t, small.image(ns + ahead, m.data.reshape(48, 64, 3)) if t == "/cam/image_raw" else m, ns)
        for t, m, ns in small.moving(4)
    ]
    small.record(tmp_path / "a", items)
    (episode,) = read_episodes(tmp_path / "a", small.contract())
    t = (episode.stamps - ahead - small.START) * 1e-9
    assert len(t) == 80 and np.abs(episode.state - small.position(t)).max() < 0.006
    assert np.abs(episode.actions - small.position(t + 0.05)).max() < 1e-5


def test_trajectories_take_the_clock_of_the_joints(tmp_path: Path) -> None:
    def ahead(message: object, ns: int) -> object:
        if hasattr(message, "points"):
            point = message.points[0]
            return small.trajectory(ns + 5 * S, (point.time_from_start.nanosec * 1e-9, point.positions))
        return small.joints(ns + 5 * S, message.position)

    items = [(t, m if "cam" in t or "inst" in t else ahead(m, ns), ns) for t, m, ns in small.moving(4)]
    small.record(tmp_path / "a", items)
    (episode,) = read_episodes(tmp_path / "a", small.contract())
    t = (episode.stamps - small.START) * 1e-9
    assert len(t) == 80 and np.abs(episode.actions - small.position(t + 0.05)).max() < 1e-5


def test_a_delay_is_no_other_clock(tmp_path: Path) -> None:
    """An image that is received 150 ms after its header was late; its header is right."""
    small.record(tmp_path / "bags" / "a", received(small.moving(4), 0.15, "/cam/image_raw"))
    cache = open_cache(tmp_path / "bags", small.contract())
    t = (cache.stamps - small.START) * 1e-9
    assert not cache.findings and np.abs(cache.state - small.position(t)).max() < 0.006


@pytest.mark.parametrize("how", ["drift", "step"])
def test_an_offset_that_changes_is_refused_with_the_figures(tmp_path: Path, how: str) -> None:
    items = small.moving(20)
    end = items[-1][2] - small.START
    late = [(ns - small.START) / end if how == "drift" else float(ns - small.START > end / 2) for *_, ns in items]
    moved = [(t, m, ns + round(0.5 * S * by)) for (t, m, ns), by in zip(items, late, strict=True)]
    small.record(tmp_path / "bags" / "a", moved)
    with pytest.raises(InputError, match=r"drift apart: reception is 0\.0\d\d to 0\.\d+ s after .*stamp: receive"):
        open_cache(tmp_path / "bags", small.contract())


def test_a_recorder_that_is_late_for_a_while_has_no_other_clock(tmp_path: Path) -> None:
    items = small.moving(20)
    late = [(t, m, ns + 3 * S // 10 * (5 < (ns - small.START) / S < 9)) for t, m, ns in items]
    small.record(tmp_path / "bags" / "a", sorted(late, key=lambda item: item[2]))
    cache = open_cache(tmp_path / "bags", small.contract())
    t = (cache.stamps - small.START) * 1e-9
    assert not cache.findings and np.abs(cache.state - small.position(t)).max() < 0.006


def test_headers_of_any_type_are_brought_onto_one_clock(tmp_path: Path) -> None:
    """A force sensor on a computer whose clock is an hour ahead."""
    one = CASES[1].values[0]
    ahead = 3600 * S
    recorded(tmp_path / "bag", Case({}, lambda ns, t: one.made(ns + ahead, t), one.read))
    (episode,) = read_episodes(tmp_path / "bag", with_state(one.source))
    for k in (0, 30):
        expected = independent(tmp_path / "bag", one, int(episode.stamps[k]) + ahead)
        np.testing.assert_allclose(episode.state[k, 3:], expected, atol=1e-5)


def test_what_is_worked_out_may_be_late(tmp_path: Path) -> None:
    """A pose that is found in pictures comes 0.12 s after them: that is a delay, and no other clock."""
    one, late = CASES[0].values[0], 120_000_000
    path = tmp_path / "bag"
    recorded(path, Case({}, lambda ns, t: one.made(ns - late, t - late / 1e9), one.read))
    contract = with_state(one.source)
    found = recording.read(path, contract, lambda most: lambda pictures: None)
    assert not any("another clock" in str(f) for f in found.findings)
    run = found.runs[0]
    for k in (10, 30):  # what a frame holds had come by then
        t = (int(run.stamps[k]) - small.START) / S
        assert np.abs(run.state[k, 3] - wave(t - 0.1, 0)) < 0.03
