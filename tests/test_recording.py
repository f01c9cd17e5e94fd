"""The recorder's bags are what training reads; they outlive a full disk, a deleted folder, a second recorder."""

import errno
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import Reader

from policy.data.bag_files import find_bags
from policy.data.bag_notes import notes
from policy.data.bag_writer import channels
from policy.data.episodes import read_episodes
from policy.data.raw import TYPES
from policy.errors import InputError
from ros_nodes.episode_bag import EpisodeBag
from ros_nodes.recording import Recorder
from tests.demo_bag import CONTRACT, START, STEP, Item, custom, demonstration, make, write

ROOT = Path(__file__).parents[1]
KINDS = {c.topic: c.type for c in channels(CONTRACT)}


def cdr(item: Item) -> bytes:
    return bytes(TYPES.serialize_cdr(item.message, KINDS[item.topic]))


def feed(recorder: Recorder, items: Iterable[Item]) -> None:
    for item in items:
        recorder.push(item.topic, cdr(item), item.receive)


def raises(error: Exception) -> None:
    raise error


def after(steps: int) -> int:
    return START + steps * STEP


def test_its_bags_are_those_that_training_reads(tmp_path: Path) -> None:
    recorder = Recorder(CONTRACT, tmp_path / "live")
    assert "waiting for an instruction" in recorder.start(START)
    feed(recorder, demonstration(30))
    recorder.flush()
    answer = recorder.stop()
    assert answer.startswith("saved") and "no message" not in answer
    (bag,) = find_bags(tmp_path / "live")
    (got,) = read_episodes(bag, CONTRACT)
    (expected,) = read_episodes(write(tmp_path / "written", demonstration(30)), CONTRACT)
    assert (got.instruction, got.task, got.dropped) == (expected.instruction, expected.task, 0)
    for name in ("stamps", "state", "actions", "contact"):
        assert np.array_equal(getattr(got, name), getattr(expected, name))
    assert np.array_equal(got.images["wrist"], expected.images["wrist"])
    assert bag.name.endswith("open_the_drawer")


def test_a_new_instruction_ends_a_bag_and_begins_another_and_the_same_one_does_not(tmp_path: Path) -> None:
    recorder = Recorder(CONTRACT, tmp_path)
    feed(recorder, demonstration(2, text="seen before the start"))
    assert recorder.start(after(2)).startswith("recording")  # the latched instruction counts
    feed(recorder, demonstration(20, start=after(2), text="first"))
    feed(recorder, demonstration(20, start=after(22), text="first"))
    feed(recorder, demonstration(20, start=after(42), text="second"))
    recorder.stop()
    episodes = {e.instruction: len(e.stamps) for b in find_bags(tmp_path) for e in read_episodes(b, CONTRACT)}
    assert episodes == {"first": 40, "second": 20}  # "seen before" was corrected at once: too short to keep
    assert recorder.saved == 2


def test_discard_and_mark(tmp_path: Path) -> None:
    recorder = Recorder(CONTRACT, tmp_path)
    for act in (recorder.stop, recorder.discard, lambda: recorder.mark(True)):
        with pytest.raises(InputError, match=r"recorded|recording"):
            act()
    with pytest.raises(InputError, match="no clock yet"):
        recorder.start(0)
    recorder.start(START)
    feed(recorder, demonstration(20, text="bad"))
    recorder.discard()
    assert list(tmp_path.iterdir()) == [] and recorder.active
    feed(recorder, demonstration(20, start=after(20), text="good"))
    recorder.mark(False)
    recorder.mark(True)
    with pytest.raises(InputError, match="stop it first"):
        recorder.start(after(40))
    recorder.stop()
    (bag,) = find_bags(tmp_path)
    assert custom(bag) == {"instruction": "good", "success": "true"}
    assert sorted(file.suffix for file in bag.iterdir()) == [".mcap", ".yaml"]


def test_after_a_discard_the_same_instruction_is_an_episode_again(tmp_path: Path) -> None:
    recorder = Recorder(CONTRACT, tmp_path)
    recorder.start(START)
    for start in (START, after(20)):
        feed(recorder, demonstration(20, start=start, text="once more"))
        if start == START:
            recorder.discard()
    assert recorder.stop().startswith("saved")


def test_a_mark_outlives_a_recorder_that_is_killed(tmp_path: Path) -> None:
    recorder = Recorder(CONTRACT, tmp_path)
    recorder.start(START)
    feed(recorder, demonstration(20))
    recorder.mark(False)
    recorder.flush()
    assert recorder.bag is not None
    recorder.bag.abandon()  # without index and metadata, as it is left then
    (bag,) = find_bags(tmp_path)
    assert notes(bag).success is False


def test_no_bag_begins_where_the_one_before_could_not_be_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(CONTRACT, tmp_path)
    recorder.start(START)
    feed(recorder, demonstration(20))
    monkeypatch.setattr(EpisodeBag, "close", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    feed(recorder, demonstration(20, start=after(20), text="another"))
    assert not recorder.active and recorder.bag is None and len(list(tmp_path.iterdir())) == 1


def test_a_bag_whose_end_the_disk_does_not_take_is_not_called_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(CONTRACT, tmp_path)
    recorder.start(after(0))
    feed(recorder, demonstration(20))
    monkeypatch.setattr(EpisodeBag, "close", lambda _: raises(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(InputError, match="No space left on device"):
        recorder.stop()
    assert not recorder.active and not recorder.saved


def test_a_silent_topic_is_named(tmp_path: Path) -> None:
    recorder = Recorder(CONTRACT, tmp_path)
    recorder.start(START)
    feed(recorder, (i for i in demonstration(20) if not i.topic.startswith("gripper")))
    assert "no message came on gripper_controller/joint_trajectory" in recorder.stop()


def test_an_instruction_that_is_no_text_begins_no_bag(tmp_path: Path) -> None:
    recorder = Recorder(CONTRACT, tmp_path)
    recorder.start(START)
    feed(recorder, demonstration(20, text="good"))
    damaged = cdr(Item("instruction", make("String", "????"), 0)).replace(b"????", b"\xff\xfe\xff\xfe")
    recorder.push("instruction", damaged, after(20))
    feed(recorder, (i for i in demonstration(5, start=after(20)) if i.topic != "instruction"))
    recorder.stop()
    (bag,) = find_bags(tmp_path)
    assert read_episodes(bag, CONTRACT)[0].instruction == "good"


def test_continue_records_the_instruction_that_it_resumes(tmp_path: Path) -> None:
    """As live: what was superseded before it succeeded; with nothing to resume the same episode goes on."""
    recorder = Recorder(CONTRACT, tmp_path)
    recorder.start(START)
    for i, (text, succeeded) in enumerate(
        (("first", False), ("continue", False), ("second", True), ("Continue.", True), ("third", False))
    ):
        feed(recorder, demonstration(20, start=after(20 * i), text=text))
        if succeeded:
            recorder.mark(True)
    recorder.stop()
    episodes = sorted((read_episodes(b, CONTRACT)[0] for b in find_bags(tmp_path)), key=lambda e: e.stamps[0])
    expected = [("first", 40), ("second", 20), ("first", 20), ("third", 20)]
    assert [(e.instruction, len(e.stamps)) for e in episodes] == expected


def test_stop_ends_a_bag_and_continue_records_the_rest(tmp_path: Path) -> None:
    recorder = Recorder(CONTRACT, tmp_path)
    recorder.start(START)
    for i, text in enumerate(("first", "stop!", "continue")):
        feed(recorder, demonstration(20, start=after(20 * i), text=text))
    recorder.stop()
    episodes = sorted((read_episodes(b, CONTRACT)[0] for b in find_bags(tmp_path)), key=lambda e: e.stamps[0])
    assert [(e.instruction, len(e.stamps)) for e in episodes] == [("first", 20)] * 2
    assert episodes[1].stamps[0] > after(39)


def test_recorders_that_begin_in_one_second_get_a_bag_each(tmp_path: Path) -> None:
    """They find the same name free, and only one can make it."""
    barrier = threading.Barrier(8)
    paths: list[Path] = []

    def record() -> None:
        recorder = Recorder(CONTRACT, tmp_path)
        feed(recorder, demonstration(1, text="open the drawer"))
        barrier.wait()
        recorder.start(START)
        assert recorder.bag is not None
        paths.append(recorder.bag.path)

    threads = [threading.Thread(target=record) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(paths)) == 8 and set(paths) == set(tmp_path.iterdir())


def test_a_folder_deleted_while_recording_ends_it_and_is_no_crash(tmp_path: Path) -> None:
    for discarded in (False, True):
        recorder = Recorder(CONTRACT, tmp_path / "bags")
        recorder.start(START)
        feed(recorder, demonstration(20))
        shutil.rmtree(tmp_path / "bags")
        if discarded:
            assert recorder.discard().startswith("discarded")
        else:
            with pytest.raises(InputError, match="No such file"):
                recorder.stop()
    assert not (tmp_path / "bags").exists()


def test_what_was_received_before_a_bag_began_is_not_in_it_and_a_late_topic_sets_no_clock_back(tmp_path: Path) -> None:
    recorder = Recorder(CONTRACT, tmp_path)
    recorder.start(START)
    items = list(demonstration(60))
    feed(recorder, (i for i in items if i.topic != "joint_states"))
    early = [i._replace(receive=i.receive - 3 * STEP) for i in items if i.topic == "joint_states"]
    feed(recorder, early)  # their callbacks come three seconds late
    recorder.stop()
    (bag,) = find_bags(tmp_path)
    with Reader(bag) as reader:
        stamps = [ns for c, ns, _ in reader.messages() if c.topic == "/joint_states"]
    assert stamps and stamps == [i.receive for i in early if i.receive >= START] and len(stamps) < len(early)


def test_a_label_that_is_taken_after_the_instruction_it_came_before_is_in_its_bag(tmp_path: Path) -> None:
    recorder = Recorder(CONTRACT, tmp_path)
    recorder.start(START)
    feed(recorder, demonstration(20, text="open the drawer"))
    second = list(demonstration(20, start=after(30), text="put it in the bowl"))
    label = next(item for item in second if item.topic == "label/task")
    label = label._replace(message=make("String", "bowl"), receive=after(30) - STEP)
    said = next(item for item in second if item.topic == "instruction")
    rest = (item for item in second if item.topic not in ("instruction", "label/task"))
    feed(recorder, [said, label, *rest])
    recorder.stop()
    assert [read_episodes(bag, CONTRACT)[0].task for bag in find_bags(tmp_path)][1] == "bowl"


def test_a_simulation_set_back_leaves_no_bag_without_sensors(tmp_path: Path) -> None:
    recorder = Recorder(CONTRACT, tmp_path)
    recorder.start(START)
    feed(recorder, demonstration(1000, text="open the drawer"))
    again = sorted(demonstration(20, text="close it"), key=lambda item: item.topic != "instruction")
    feed(recorder, again)
    recorder.stop()
    assert [len(read_episodes(bag, CONTRACT)[0].stamps) for bag in find_bags(tmp_path)] == [1000, 20]


def test_a_clock_set_back_begins_a_new_bag(tmp_path: Path) -> None:
    recorder = Recorder(CONTRACT, tmp_path)
    recorder.start(after(1000))
    feed(recorder, demonstration(20, start=after(1000), text="go"))
    feed(recorder, (i for i in demonstration(20) if i.topic not in ("instruction", "label/task")))
    recorder.stop()
    first, second = (read_episodes(b, CONTRACT)[0] for b in find_bags(tmp_path))
    assert (first.stamps[0], second.stamps[0]) == (after(1000), START)
    assert first.instruction == second.instruction == "go" and len(first.stamps) == len(second.stamps) == 20


def test_a_full_disk_ends_it_and_keeps_what_was_flushed(tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk; lifted, recording starts again."""
    script = f"""
import resource, signal
from pathlib import Path
from ros_nodes.recording import Recorder
from tests.demo_bag import CONTRACT, demonstration
from tests.test_recording import after, feed
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, resource.RLIM_INFINITY))
recorder = Recorder(CONTRACT, Path({str(tmp_path)!r}))
recorder.start(after(0))
for t in range(4):
    feed(recorder, demonstration(10, start=after(10 * t)))
    recorder.flush()
assert not recorder.active and "File too large" in recorder.fault and "free space" in recorder.fault
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
recorder.start(after(40))
assert recorder.fault == ""
feed(recorder, demonstration(20, start=after(40)))
print(recorder.stop())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    cut, whole = find_bags(tmp_path)
    (kept,) = read_episodes(cut, CONTRACT)
    assert len(kept.stamps) >= 19 and kept.dropped >= 1
    assert len(read_episodes(whole, CONTRACT)[0].stamps) == 20
