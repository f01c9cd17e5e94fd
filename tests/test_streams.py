"""Streams: which frames come out of which messages, however these arrive, and what happens to bad ones."""

import array
import logging
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from policy.errors import InputError
from policy.robot.message_types import ARRAY, COMPRESSED, JOINT_STATE
from policy.robot.motors import Motors
from policy.robot.sources import Source
from policy.robot.streams import RESTART, Streams
from policy.spec import Frame
from tests.demo_bag import (
    ARM,
    CONTRACT,
    START,
    STEP,
    Item,
    demonstration,
    header,
    image,
    joints,
    make,
    qpos,
    trajectory,
)

MS = 1_000_000
FRONT, WRIST = "camera/front/image_raw", "camera/wrist/image_raw"


def play(items, contract=CONTRACT, streams=None) -> tuple[list[Frame], Streams]:
    """Push messages as a live node does and take each frame as soon as it is there."""
    streams = streams or Streams(contract)
    frames = []
    for item in items:
        if streams.reads(item.topic):
            streams.push("/" + item.topic, item.message, item.receive)
            while (frame := streams.frame()) is not None:
                frames.append(frame)
    return frames, streams


def assert_equal(frames: list[Frame], others: list[Frame]) -> None:
    assert [f.stamp for f in frames] == [f.stamp for f in others]
    for a, b in zip(frames, others, strict=True):
        assert np.array_equal(a.state, b.state) and a.images.keys() == b.images.keys()
        assert all(np.array_equal(a.images[name], b.images[name]) for name in a.images)


def plain(shade: int) -> np.ndarray:
    return np.full((96, 96, 3), shade, np.uint8)


def camera_items(times, topic, late=0):
    return [Item(topic, image(t, plain(i)), t + late) for i, t in enumerate(times)]


def joint_items(first, last, every=10 * MS):
    return [Item("joint_states", joints(t, qpos(0)), t) for t in range(first, last + 1, every)]


def by_arrival(*groups):
    return sorted((item for group in groups for item in group), key=lambda item: item.receive)


def test_a_frame_for_every_step_with_its_images_and_joints():
    frames, streams = play(demonstration(10))
    assert [f.stamp for f in frames] == [START + t * STEP for t in range(10)]
    np.testing.assert_allclose(
        [f.state for f in frames], [np.append(qpos(t)[:7], 2 * qpos(t)[7]) for t in range(10)], atol=1e-6
    )
    pixels = [i.message.data for i in demonstration(10) if i.topic == WRIST]
    assert np.array_equal(frames[3].images["wrist"].reshape(-1), pixels[3])
    assert frames[0].state.dtype == np.float32 and not streams.dropped


@pytest.mark.parametrize("seed", range(5))
def test_order_of_arrival_does_not_matter(seed):
    """Each topic is late by some milliseconds of its own, and jitters."""
    rng = np.random.default_rng(seed)
    items = [i for i in demonstration(20) if i.topic in CONTRACT.observed]
    late = {topic: int(rng.integers(0, 8 * MS)) for topic in CONTRACT.observed}
    moved = [i._replace(receive=i.receive + late[i.topic] + int(rng.integers(0, MS))) for i in items]
    expected, _ = play(items)
    frames, streams = play(by_arrival(moved))
    streams.flush()
    last = streams.frame()
    assert_equal(frames + ([last] if last else []), expected)


def test_cameras_a_little_apart_are_matched_and_the_newest_gives_the_stamp():
    times = range(START, START + 5 * STEP, STEP)
    items = by_arrival(
        camera_items(times, FRONT),
        camera_items([t + 6 * MS for t in times], WRIST),
        joint_items(START - 10 * MS, START + 6 * STEP),
    )
    frames, _ = play(items)
    assert [f.stamp for f in frames] == [t + 6 * MS for t in times]
    assert [(int(f.images["front"][0, 0, 0]), int(f.images["wrist"][0, 0, 0])) for f in frames] == [
        (i, i) for i in range(5)
    ]


def test_slower_camera_is_taken_as_of_the_frame():
    times = range(START, START + 6 * STEP, STEP)
    items = by_arrival(
        camera_items(times, FRONT), camera_items(times[::2], WRIST), joint_items(START, START + 7 * STEP)
    )
    frames, streams = play(items)
    streams.flush()
    frames.append(streams.frame())
    assert [int(f.images["wrist"][0, 0, 0]) for f in frames] == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(("hertz", "expected"), [(20, 20), (30, 20), (60, 20), (19.9, 19.9), (20.1, 20.1), (10, 10)])
def test_rate(hertz, expected):
    """Over ten seconds with 3 ms of jitter."""
    rng = np.random.default_rng(0)
    times = [START + round(i * 1e9 / hertz) + int(rng.integers(-3 * MS, 3 * MS)) for i in range(round(10 * hertz))]
    tiny = replace(CONTRACT, cameras={"front": replace(CONTRACT.cameras["front"], height=2, width=2)})
    items = by_arrival(
        [Item(FRONT, image(t, plain(0)[:2, :2]), t) for t in times], joint_items(START - 50 * MS, times[-1] + 20 * MS)
    )
    frames, _ = play(items, tiny)
    assert len(frames) == pytest.approx(10 * expected, abs=1.5)


def test_stale_or_absent_streams_give_no_frame_and_are_counted():
    times = range(START, START + 12 * STEP, STEP)
    items = by_arrival(
        camera_items(times, FRONT), camera_items(times[:4], WRIST), joint_items(START, START + 12 * STEP)
    )
    frames, streams = play(items)
    assert [f.stamp for f in frames] == list(times[:8])  # the wrist's last image is 200 ms old at the eighth
    assert streams.dropped == {f"frame without camera wrist ({WRIST}): older than 0.2 s": 3}
    frames, streams = play(by_arrival(camera_items(times, FRONT), camera_items(times, WRIST)))
    assert not frames and all("nothing yet" in reason for reason in streams.dropped)
    assert streams.dropped.total() == 11  # the twelfth still waits


def bad_joints(change):
    message = joints(START + 2 * STEP - 5 * MS, qpos(1))
    change(message)
    return Item("joint_states", message, START + 2 * STEP - 5 * MS)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (
            Item(FRONT, image(START + 70 * MS, plain(1)[:64]), START + 70 * MS),
            "got an image of 96x64 rgb8, expected 96x96",
        ),
        (Item(FRONT, image(START + 70 * MS, plain(1), "bgr8"), START + 70 * MS), "96x96 bgr8, expected 96x96 rgb8"),
        (bad_joints(lambda m: m.position.__setitem__(3, np.nan)), "not a finite number among panda_joint1"),
        (bad_joints(lambda m: m.name.__setitem__(3, "elbow")), "got no joint panda_joint4, only panda_joint1"),
        (bad_joints(lambda m: setattr(m, "position", m.position[:5])), "got 5 values of position, expected at least 7"),
    ],
    ids=["size", "encoding", "nan", "missing", "short"],
)
def test_bad_message_is_dropped_counted_and_warned_about_once(bad, words, caplog):
    items = list(demonstration(6))
    at = next(i for i, item in enumerate(items) if item.receive > bad.receive)
    with caplog.at_level(logging.WARNING):
        of_bag, _ = play([*items[:at], bad, bad, *items[at:]])
        assert not caplog.records, "a check says at its end what was dropped"
        frames, streams = play([*items[:at], bad, bad, *items[at:]], streams=Streams(CONTRACT, live=True))
    expected, _ = play(items)
    assert_equal(frames, expected)
    assert_equal(of_bag, expected)
    assert [n for reason, n in streams.dropped.items() if words in reason] == [2]
    warned = [r.getMessage() for r in caplog.records if words in r.getMessage()]
    recovered = [r.getMessage() for r in caplog.records if "right again after 2 dropped" in r.getMessage()]
    assert len(warned) == 1 and len(recovered) >= 1


def test_truncated_image_data_is_dropped():
    message = image(START, plain(0))
    message.data = message.data[:-1]
    _, streams = play([Item(FRONT, message, START)])
    assert streams.dropped.total() == 1


def test_times_that_run_backwards_are_dropped_and_counted():
    items = list(demonstration(6))
    late = [i for i in items if i.topic == FRONT][1]
    frames, streams = play([*items[:-4], late, *items[-4:]])
    assert_equal(frames, play(items)[0])
    assert streams.dropped == {f"camera front ({FRONT}): times run backwards": 1}


def test_a_clock_that_is_set_back_begins_anew():
    after = list(demonstration(60))
    frames, streams = play([*demonstration(10, start=START + 3600 * 10**9), *after])
    assert streams.restarts == 1
    assert frames[10].stamp < START + RESTART * STEP  # one second at most until it is believed
    assert frames[-1].stamp == START + 59 * STEP


def test_two_publishers_of_one_joint_topic():
    arm, hand = [], []
    for item in demonstration(5):
        if item.topic == "joint_states":
            m = item.message
            for part, of in ((arm, slice(0, 7)), (hand, slice(7, 9))):
                part.append(item._replace(message=make("JointState", m.header, m.name[of], m.position[of], [], [])))
    images = [i for i in demonstration(5) if i.topic in (FRONT, WRIST)]
    frames, streams = play(by_arrival(arm, hand, images))
    assert_equal(frames, play(demonstration(5))[0])
    assert not streams.dropped


def test_messages_as_rclpy_gives_them():
    """array.array instead of numpy arrays."""

    def live(item):
        m = item.message
        if item.topic == "joint_states":
            m = SimpleNamespace(header=m.header, name=list(m.name), position=array.array("d", m.position))
        elif item.topic in (FRONT, WRIST):
            m = SimpleNamespace(
                header=m.header,
                height=m.height,
                width=m.width,
                encoding=m.encoding,
                step=m.step,
                data=array.array("B", m.data.tobytes()),
            )
        return item._replace(message=m)

    assert_equal(play([live(i) for i in demonstration(5)])[0], play(demonstration(5))[0])


def test_a_joint_message_is_converted_once_for_all_that_read_it():
    """Arm, gripper, motors and a leader's action: four readers of one topic."""
    leader = replace(CONTRACT.action[0], demonstration=Source("joint_states", JOINT_STATE, joints=ARM))
    contract = replace(CONTRACT, action=(leader, CONTRACT.action[1]))
    motors = Motors(contract)
    streams, read = Streams(contract, motors), Counter()

    class Message:
        header, name = header(START), joints(START, qpos(0)).name

        def __getattr__(self, field):
            read[field] += 1
            return np.arange(9.0)

    streams.push("joint_states", Message(), START)
    assert read == {"position": 1, "velocity": 1, "effort": 1}
    assert motors.at(START)[:, 0].tolist() == list(range(7))
    assert [len(s.values) for s in streams._state] == [1, 1] and streams.setpoints()[0].positions.tolist() == [
        [*range(7)]
    ]


def test_image_encodings_all_give_rgb():
    rgb = np.zeros((96, 96, 3), np.uint8)
    rgb[:, :48] = (200, 30, 10)
    camera = CONTRACT.cameras["front"]

    def seen(message, **change):
        contract = replace(CONTRACT, cameras={"front": replace(camera, **change)})
        (frame,), _ = play([Item(FRONT, message, START), *joint_items(START - 10 * MS, START)], contract)
        return frame.images["front"]

    padded = np.zeros((96, 300), np.uint8)
    padded[:, :288] = rgb.reshape(96, 288)
    assert np.array_equal(seen(make("Image", header(START), 96, 96, "rgb8", 0, 300, padded.reshape(-1))), rgb)
    assert np.array_equal(seen(image(START, rgb[..., ::-1], "bgr8"), encoding="bgr8"), rgb)
    for encoding, tolerance in (("png", 0), ("jpeg", 12)):
        data = cv2.imencode(f".{encoding}", rgb[..., ::-1])[1].reshape(-1)
        message = make("CompressedImage", header(START), f"rgb8; {encoding} compressed bgr8", data)
        got = seen(message, type=COMPRESSED, encoding=encoding)
        assert np.abs(got[:, :40].astype(int) - rgb[:, :40]).max() <= tolerance


def test_setpoint_of_a_trajectory_counts_from_its_stamp_and_an_unset_stamp_from_reception():
    streams = Streams(CONTRACT)
    arm, gripper = (c.topic for c in CONTRACT.action)
    streams.push(arm, trajectory(START, ARM, range(7)), START + 9 * MS)
    streams.push(gripper, trajectory(0, ["panda_finger_joint1"], [0.02], 0), START + STEP)
    assert streams.setpoint_at(START + STEP - 1) is None
    assert streams.setpoint_at(START + STEP).tolist() == pytest.approx([0, 1, 2, 3, 4, 5, 6, 0.04])
    # a chunk replaces what the last one had still to do
    chunk = trajectory(START + 2 * STEP, ARM, [1] * 7)
    chunk.points = [*chunk.points, trajectory(0, ARM, [2] * 7, 2 * STEP).points[0]]
    streams.push(arm, chunk, START + 2 * STEP)
    streams.push(arm, trajectory(START + 3 * STEP, ARM, [5] * 7, 0), START + 3 * STEP)
    assert [streams.setpoint_at(START + i * STEP)[0] for i in (2, 3, 4)] == [0, 5, 5]


def test_setpoints_of_a_leader_arm_and_of_an_array():
    names = CONTRACT.spec.action
    leader = Source("leader/joint_states", JOINT_STATE, joints=ARM, scale=-1.0, offset=0.5)
    hand = Source("leader/gripper", ARRAY, indices=(1,), names=names[7:])
    contract = replace(
        CONTRACT,
        action=(replace(CONTRACT.action[0], demonstration=leader), replace(CONTRACT.action[1], demonstration=hand)),
    )
    streams = Streams(contract)
    led = make("JointState", header(START), list(ARM[::-1]), np.arange(7.0), [], [])
    streams.push("/leader/joint_states", led, 0)
    layout = make("MultiArrayLayout", [], 0)
    streams.push("/leader/gripper", make("Float64MultiArray", layout, np.array([9.0, 0.07])), START + MS)
    assert streams.setpoint_at(START) is None
    expected = [-5.5, -4.5, -3.5, -2.5, -1.5, -0.5, 0.5, 0.07]
    assert streams.setpoint_at(START + MS).tolist() == pytest.approx(expected)
    streams.push("/leader/gripper", make("Float64MultiArray", layout, np.array([9.0])), START + 2 * MS)
    assert streams.dropped.total() == 1


def test_unknown_topic_is_named():
    with pytest.raises(InputError, match="did you mean 'joint_states'"):
        Streams(CONTRACT).push("joint_state", None, 0)
