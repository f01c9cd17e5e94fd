"""Bags: others can read them, they are read as the robot sees them, and what a damaged one still gives."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from rosbags.interfaces import QosDurability, QosReliability
from rosbags.rosbag2 import Reader, StoragePlugin, Writer

from policy.data.bag_files import find_bags
from policy.data.bag_writer import Channel, EpisodeWriter, channels
from policy.data.episodes import read_episodes
from policy.data.raw import TYPES
from policy.errors import InputError
from policy.robot.streams import Streams
from tests.demo_bag import CONTRACT, START, STEP, Item, action, demonstration, image, make, qpos, write


def same(a, b) -> bool:
    """Whether two episodes hold the same data."""
    return (a.instruction, a.task) == (b.instruction, b.task) and all(
        np.array_equal(x, y)
        for x, y in [
            (a.stamps, b.stamps),
            (a.state, b.state),
            (a.actions, b.actions),
            (a.contact, b.contact),
            (a.mode, b.mode),
            *((a.images[n], b.images[n]) for n in a.images),
        ]
    )


@pytest.fixture(scope="module")
def bag(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("bags") / "episode", demonstration(40))


def test_bag_holds_states_actions_and_labels(bag):
    (episode,) = read_episodes(bag, CONTRACT)
    assert (episode.instruction, episode.task, episode.dropped) == ("open the drawer", "open_drawer", 0)
    assert episode.stamps.tolist() == [START + t * STEP for t in range(40)]
    np.testing.assert_allclose(episode.actions, [action(t) for t in range(40)], atol=1e-6)
    np.testing.assert_allclose(episode.state[:, :7], [qpos(t)[:7] for t in range(40)], atol=1e-6)
    assert episode.contact.tolist() == [t >= 20 for t in range(40)]
    assert episode.images["front"].shape == (40, 96, 96, 3) and episode.state.dtype == np.float32


def test_frames_of_a_bag_are_those_of_its_messages_played_live(bag):
    (episode,) = read_episodes(bag, CONTRACT)
    live = Streams(CONTRACT)
    rng = np.random.default_rng(0)
    observed = [i for i in demonstration(40) if i.topic in CONTRACT.observed]
    frames = []
    for item in sorted(observed, key=lambda i: i.receive + rng.integers(4_000_000)):  # in another order
        live.push(item.topic, item.message, item.receive)
        while (frame := live.frame()) is not None:
            frames.append(frame)
    live.flush()
    if (frame := live.frame()) is not None:
        frames.append(frame)
    assert [f.stamp for f in frames] == episode.stamps.tolist()
    assert np.array_equal([f.state for f in frames], episode.state)
    for name in episode.images:
        assert np.array_equal([f.images[name] for f in frames], episode.images[name])


def test_readable_with_rosbags_and_quality_of_service_is_recorded(bag):
    with Reader(bag) as reader:
        offered = {c.topic: c.ext.offered_qos_profiles[0] for c in reader.connections}
        assert reader.storage.metadata.custom == {"seed": "0"}
        assert reader.message_count == len(list(demonstration(40)))
    assert offered["/camera/front/image_raw"].reliability == QosReliability.BEST_EFFORT
    assert offered["/joint_states"].reliability == QosReliability.RELIABLE
    assert {t for t, q in offered.items() if q.durability == QosDurability.TRANSIENT_LOCAL} == {
        "/instruction",
        "/label/task",
        "/label/mode",
    }


def test_readable_with_mcap_ros2_support(bag):
    with (bag / "episode.mcap").open("rb") as file:
        read = [
            (channel.topic, message)
            for _, channel, _, message in make_reader(
                file, decoder_factories=[DecoderFactory()]
            ).iter_decoded_messages()
        ]
    items = list(demonstration(40))
    assert Counter(topic for topic, _ in read) == Counter("/" + i.topic for i in items)
    pixels = [m for topic, m in read if topic == "/camera/wrist/image_raw"]
    assert bytes(pixels[7].data) == [i for i in items if "wrist" in i.topic][7].message.data.tobytes()
    commands = [m for topic, m in read if topic == "/arm_controller/joint_trajectory"]
    assert list(commands[3].points[0].positions) == pytest.approx(action(3)[:7])


def test_failed_recording_leaves_nothing_and_nothing_is_overwritten(tmp_path):
    with pytest.raises(RuntimeError), EpisodeWriter(tmp_path / "one", channels(CONTRACT)) as out:
        out.write("instruction", make("String", "go"), START)
        raise RuntimeError("the simulator fell over")
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "one", demonstration(3))
    before = (tmp_path / "one" / "one.mcap").read_bytes()
    with pytest.raises(InputError, match="is there already"):
        write(tmp_path / "one", demonstration(5))
    assert (tmp_path / "one" / "one.mcap").read_bytes() == before


def test_of_two_that_write_one_bag_the_first_is_kept_and_neither_damages_the_other(tmp_path):
    bag = tmp_path / "one"
    with EpisodeWriter(bag, channels(CONTRACT)) as late:
        write(bag, demonstration(5))
        before = (bag / "one.mcap").read_bytes()
        late.write("instruction", make("String", "go"), START)
    assert (bag / "one.mcap").read_bytes() == before
    assert list(tmp_path.iterdir()) == [bag]


@pytest.mark.slow
def test_a_writer_that_is_killed_takes_nothing_from_another_which_clears_up(tmp_path):
    script = (
        "import os\nfrom pathlib import Path\nfrom policy.data.bag_writer import EpisodeWriter, channels\n"
        f"from tests.demo_bag import CONTRACT\nbag = EpisodeWriter(Path({str(tmp_path / 'one')!r}), channels(CONTRACT))"
        "\nbag.__enter__()\nos._exit(9)"
    )
    command = [sys.executable, "-c", script]
    assert subprocess.run(command, cwd=Path(__file__).parents[1]).returncode == 9
    with EpisodeWriter(tmp_path / "one", channels(CONTRACT)) as out:
        assert subprocess.run(command, cwd=Path(__file__).parents[1]).returncode == 9
        assert not (tmp_path / "one").exists() and len(list(tmp_path.glob(".writing/*/one/one.mcap"))) == 3
        for item in demonstration(20):
            out.write(item.topic, item.message, item.receive)
    (read,) = read_episodes(tmp_path / "one", CONTRACT)
    assert len(read.stamps) == 20 and list(tmp_path.iterdir()) == [tmp_path / "one"]


def test_a_disk_that_fills_while_recording(tmp_path):
    """A limit on the size of files stands in for a full disk."""
    script = (
        "import resource, signal\nfrom pathlib import Path\nfrom policy.errors import exit_code\n"
        "from tests.demo_bag import demonstration, write\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        f"bag = Path({str(tmp_path / 'bag')!r})\n"
        "raise SystemExit(exit_code(lambda: write(bag, demonstration(60))))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.returncode == 2 and done.stderr.startswith("error: cannot write the bag")
    assert list(tmp_path.iterdir()) == []


def test_each_instruction_begins_an_episode(tmp_path):
    items = list(demonstration(30, text="first"))
    again = START + 14 * STEP - STEP // 2
    late = [Item("instruction", make("String", "  then this "), again), Item("label/task", make("String", "b"), again)]
    path = write(tmp_path / "two", sorted([*items, *late], key=lambda i: i.receive))
    first, second = read_episodes(path, CONTRACT)
    assert [(e.instruction, e.task, len(e.stamps)) for e in (first, second)] == [
        ("first", "open_drawer", 14),
        ("then this", "b", 16),
    ]
    assert second.stamps[0] == START + 14 * STEP


def test_to_continue_is_to_do_what_came_before_the_last(tmp_path):
    said = [
        Item("instruction", make("String", text), START + t * STEP - STEP // 2)
        for t, text in ((10, "then this"), (20, " Continue. "))
    ]
    path = write(tmp_path / "three", sorted([*demonstration(30, text="first"), *said], key=lambda i: i.receive))
    assert [e.instruction for e in read_episodes(path, CONTRACT)] == ["first", "then this", "first"]
    with pytest.raises(InputError, match="20 x frame with nothing to continue"):
        read_episodes(write(tmp_path / "alone", demonstration(20, text="continue")), CONTRACT)


def test_frames_without_instruction_or_command_are_counted(tmp_path):
    items = [i for i in demonstration(20) if i.topic != "instruction"]
    items.append(Item("instruction", make("String", "go"), START + 5 * STEP))
    items = [i for i in items if not (i.topic.startswith("arm") and i.receive < START + 8 * STEP)]
    dropped = Counter()
    (episode,) = read_episodes(write(tmp_path / "late", items), CONTRACT, dropped)
    assert episode.stamps[0] == START + 8 * STEP and episode.dropped == dropped.total() == 8
    assert dropped == {"frame without a command": 8}
    items = [i for i in items if i.topic != "instruction"]
    items.append(Item("instruction", make("String", "go"), START + 10 * STEP))
    (episode,) = read_episodes(write(tmp_path / "later", items), CONTRACT, dropped := Counter())
    assert dropped["frame before the first instruction"] == 2 and len(episode.stamps) == 10


def test_empty_instruction_is_no_episode(tmp_path):
    with pytest.raises(InputError, match="20 x frame with an empty instruction"):
        read_episodes(write(tmp_path / "a", demonstration(20, text="  ")), CONTRACT)


@pytest.mark.parametrize(
    ("topic", "match"),
    [
        ("camera/wrist/image_raw", "no message on camera/wrist/image_raw"),
        ("joint_states", "no message on joint_states"),
        ("gripper_controller/joint_trajectory", "no message on gripper_controller/joint_trajectory"),
        ("instruction", "no message on instruction"),
    ],
)
def test_missing_topic_is_named(tmp_path, topic, match):
    items = [i for i in demonstration(5) if i.topic != topic]
    path = write(tmp_path / "a", items, [c for c in channels(CONTRACT) if c.topic != topic])
    with pytest.raises(InputError, match=match):
        read_episodes(path, CONTRACT)


def test_labels_may_be_missing(tmp_path):
    items = [i for i in demonstration(5) if not i.topic.startswith("label")]
    (episode,) = read_episodes(write(tmp_path / "a", items), CONTRACT)
    assert episode.task is None and episode.mode is None and len(episode.stamps) == 5
    assert episode.contact.tolist() == [False] * 5  # estimated from the gripper (tests/test_contact.py)


def test_modes_are_read_and_last_until_the_next(tmp_path):
    at = START + 3 * STEP - STEP // 2
    said = [
        Item("label/mode", make("String", mode), at + k * 4 * STEP)
        for k, mode in enumerate(("rollback", "advance", "forward"))
    ]
    items = sorted([*demonstration(15), *said], key=lambda i: i.receive)
    (episode,) = read_episodes(write(tmp_path / "a", items), CONTRACT)
    assert episode.mode.tolist() == [0] * 3 + [1] * 4 + [2] * 4 + [0] * 4 and episode.mode.dtype == np.uint8
    (episode,) = read_episodes(write(tmp_path / "b", [i for i in items if i not in said]), CONTRACT)
    assert episode.mode is None
    with pytest.raises(InputError, match=r"unknown mode on label/mode: 'rolback'; did you mean 'rollback'"):
        wrong = Item("label/mode", make("String", "rolback"), at)
        read_episodes(write(tmp_path / "c", [*demonstration(5), wrong]), CONTRACT)


def test_wrong_type_and_wrong_size_are_named(tmp_path):
    text = [Item("joint_states", make("String", "hello"), START)]
    path = write(tmp_path / "a", text, [Channel("joint_states", "std_msgs/msg/String")])
    with pytest.raises(InputError, match="joint_states as std_msgs/msg/String, the contract expects sensor"):
        read_episodes(path, CONTRACT)
    tiny = np.zeros((48, 64, 3), np.uint8)
    small = [i._replace(message=image(i.receive, tiny)) if "front" in i.topic else i for i in demonstration(5)]
    with pytest.raises(InputError, match="got an image of 64x48 rgb8, expected 96x96 rgb8"):
        read_episodes(write(tmp_path / "b", small), CONTRACT)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("metadata", [True, False])
def test_what_is_whole_in_a_bag_that_was_cut_off_is_kept(bag, tmp_path, share, metadata):
    (whole,) = read_episodes(bag, CONTRACT)
    data = (bag / "episode.mcap").read_bytes()
    cut = tmp_path / "cut"
    cut.mkdir()
    (cut / "cut_0.mcap").write_bytes(data[: int(share * len(data))])
    if metadata:
        (cut / "metadata.yaml").write_text((bag / "metadata.yaml").read_text())
    assert find_bags(tmp_path) == [cut]
    (episode,) = read_episodes(cut, CONTRACT, dropped := Counter())
    n = len(episode.stamps)
    assert n >= 40 * share - 3  # also the whole messages of a block that is not
    assert np.array_equal(episode.images["front"], whole.images["front"][:n])
    assert np.array_equal(episode.state, whole.state[:n])
    missing = dropped["message in a part of the bag that is cut off"]
    if share < 0.95 and metadata:
        assert missing == pytest.approx((1 - share) * len(list(demonstration(40))), abs=40)
    assert missing >= 1 and episode.dropped == dropped.total()


def test_nothing_but_the_beginning_of_a_bag(bag, tmp_path):
    for size in (0, 5, 8, 30, 2000):
        path = tmp_path / f"{size}.mcap"
        path.write_bytes((bag / "episode.mcap").read_bytes()[:size])
        with pytest.raises(InputError, match=rf"{size}\.mcap (is no MCAP|is cut off, and nothing of it)"):
            read_episodes(path, CONTRACT)


def test_damaged_bytes_never_give_a_traceback(bag, tmp_path):
    data = (bag / "episode.mcap").read_bytes()
    rng = np.random.default_rng(0)
    for i in range(12):
        damaged = bytearray(data if i % 2 else data[:-100])
        at = int(rng.integers(20, len(damaged) - 300)) if i < 10 else len(damaged) - 80 * (i - 9)
        damaged[at : at + 60] = rng.bytes(60)
        path = tmp_path / f"{i}.mcap"
        path.write_bytes(bytes(damaged))
        try:
            episodes = read_episodes(path, CONTRACT)
        except InputError as error:
            assert path.name in str(error)
        else:
            assert len(episodes) <= 1


def test_other_storages_and_bare_files(bag, tmp_path):
    (expected,) = read_episodes(bag, CONTRACT)
    (tmp_path / "loose.mcap").write_bytes((bag / "episode.mcap").read_bytes())
    with Writer(tmp_path / "sqlite", version=9, storage_plugin=StoragePlugin.SQLITE3) as out:
        open_topics = {c.topic: out.add_connection("/" + c.topic, c.type, typestore=TYPES) for c in channels(CONTRACT)}
        for i in demonstration(40):
            connection = open_topics[i.topic]
            out.write(connection, i.receive, TYPES.serialize_cdr(i.message, connection.msgtype))
    assert find_bags(tmp_path) == [tmp_path / "loose.mcap", tmp_path / "sqlite"]
    for path in find_bags(tmp_path):
        (episode,) = read_episodes(path, CONTRACT)
        assert same(episode, expected)


def test_no_bag_there(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        find_bags(tmp_path / "nothing")
    (tmp_path / "notes.txt").write_text("no bag")
    with pytest.raises(InputError, match="no bag in"):
        find_bags(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "metadata.yaml").write_text("rosbag2_bagfile_information:\n  version: 9\n")
    with pytest.raises(InputError, match="holds no recording"):
        read_episodes(tmp_path / "a", CONTRACT)
