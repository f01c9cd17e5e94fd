"""`python -m policy.check` on many bags, odd ones among them: what is read, left out, shown, and its exit codes."""

import json
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mcap.writer import IndexType
from rosbags.rosbag2 import StoragePlugin

from policy import check
from policy.data.cache import open_cache
from policy.data.findings import errors
from policy.errors import InputError
from tests import small_robot as robot
from tests.test_check import (
    SMALL,
    START,
    Printed,
    S,
    _actions,
    commanded,
    edited,
    encoder,  # noqa: F401  # fixtures
    found,
    loaded_once,  # noqa: F401
    stated,
)
from tests.test_clocks import received

# -- bags that are read though they look odd, and files that are none


def test_whole_bags_of_odd_kinds_are_read_without_a_finding(tmp_path: Path, capsys: Printed) -> None:
    """No message index, a foreign channel, no profile, short type names, another QoS, no metadata."""
    items = robot.moving(4)
    bags = tmp_path / "bags"
    robot.record_mcap(bags / "no_index" / "x.mcap", items, index_types=IndexType.CHUNK)
    robot.record_mcap(bags / "foreign" / "x.mcap", items, foreign=True)
    robot.record_mcap(bags / "profile" / "x.mcap", items, profile="")
    robot.record_mcap(bags / "short" / "x.mcap", items, short=True)
    late = [items[i] for i in np.argsort(np.arange(len(items)) + np.random.default_rng(0).uniform(0, 9, len(items)))]
    robot.record_mcap(bags / "order" / "x.mcap", late, use_chunking=False)
    power = robot.record(bags / "power", items)
    (power / "metadata.yaml").write_text("")
    for plugin in (StoragePlugin.MCAP, StoragePlugin.SQLITE3):
        bag = robot.record(bags / f"qos_{plugin.name}", items, plugin, 8)
        about = yaml.safe_load((bag / "metadata.yaml").read_text())
        for topic in about["rosbag2_bagfile_information"]["topics_with_message_count"]:
            topic["topic_metadata"]["offered_qos_profiles"] = "- history: 3\n  depth: 0"
        (bag / "metadata.yaml").write_text(yaml.safe_dump(about))
    printed = found(capsys, bags)
    assert printed.count("80 frames, 1 episode; nothing found") == 8 and "0 errors, 0 warnings" in printed


def test_what_lies_beside_bags_and_is_not_read_is_named(tmp_path: Path, capsys: Printed) -> None:
    robot.record(tmp_path / "bags" / "good", robot.moving(1))
    db3 = next(robot.record(tmp_path / "db", robot.moving(1), StoragePlugin.SQLITE3).glob("*.db3"))
    (tmp_path / "bags" / "killed").mkdir()
    shutil.copy(db3, tmp_path / "bags" / "killed" / "killed_0.db3")
    (tmp_path / "bags" / "linked").symlink_to(robot.record(tmp_path / "other", robot.moving(1)))
    (tmp_path / "bags" / "old.bag").write_bytes(b"#ROSBAG V2.0\n")
    (tmp_path / "bags" / "packed.mcap.gz").write_bytes(b"\x1f\x8b")
    printed = found(capsys, tmp_path / "bags")
    assert "3 bags, 60 frames" in printed
    assert "old.bag: a ROS 1 bag\n    -> convert it" in printed and "packed.mcap.gz\n    -> decompress it" in printed


def test_a_bag_that_is_cut_off(tmp_path: Path, capsys: Printed) -> None:
    bag = robot.record(tmp_path / "a", robot.moving(4))
    data = next(bag.glob("*.mcap"))
    data.write_bytes(data.read_bytes()[:-2000])
    assert "a bag is not whole" in found(capsys, tmp_path)


def said(text: str, at: float) -> list[robot.Message]:
    """A recording with one instruction, at so many seconds."""
    items = [*robot.moving(2, text=""), ("/instruction", robot.string(text), START + round(at * S))]
    return sorted(items, key=lambda item: item[2])


@pytest.mark.parametrize(
    ("items", "do"),
    [
        (said("pick the cup", 3), "give the instruction before the robot moves"),
        (said("  ", 0), "say what is done"),
        (stated(lambda t: [np.nan, 0, 0.02], robot.moving(2)), "mend the driver: NaN is no measurement"),
    ],
)
def test_where_nothing_fits_what_to_do_is_that_of_most_of_it(
    tmp_path: Path, capsys: Printed, items: list[robot.Message], do: str
) -> None:
    """The contract is right in each."""
    robot.record(tmp_path / "a", items)
    printed = found(capsys, tmp_path, refused="would be learned wrongly")
    assert f"; {do}" in printed and "correct the contract" not in printed


# -- many bags


def test_a_horizon_that_was_raised_as_told_is_judged_anew(tmp_path: Path) -> None:
    """Of bags that are decoded already."""
    robot.record(tmp_path / "a", robot.moving(8, camera=2))
    (error,) = errors(open_cache(tmp_path, SMALL).findings)
    assert "too slow" in error.what and "raise `horizon`" in error.do
    assert not errors(open_cache(tmp_path, robot.contract(horizon=12)).findings)


def test_bags_that_cannot_be_used_are_left_out_by_name(tmp_path: Path, capsys: Printed) -> None:
    """By the check and by training alike: one of another type, one in degrees."""
    bags = tmp_path / "bags"
    robot.record(bags / "good", robot.moving(4))
    robot.record(bags / "nothing", [item for item in robot.moving(1) if "cam" not in item[0]])
    degrees = commanded(lambda t: np.rad2deg(robot.position(np.array(t))), robot.moving(4))
    robot.record(bags / "degrees", degrees)
    printed = found(capsys, bags, refused=r"2 of 3 bags would be learned wrongly \(degrees, nothing\)")
    assert "nothing: 0 frames" in printed and "command of j1 is in another unit" in printed
    check.check(bags, SMALL, skip_bad=True)
    printed = capsys.readouterr().out
    assert "left out: degrees, nothing" in printed and "1 bag, 80 frames" in printed
    with pytest.raises(InputError, match="no message on cam/image_raw"):
        open_cache(bags, SMALL)
    cache = open_cache(bags, SMALL, skip_bad=True)
    assert set(cache.bags) == {"good"} and not errors(cache.findings)
    left_out = [f for f in cache.findings if "left out" in f.what]
    assert len(left_out) == 1 and "degrees" in left_out[0].figures and "nothing" in left_out[0].figures


def test_nothing_is_left_where_all_are_left_out(tmp_path: Path, capsys: Printed) -> None:
    robot.record(tmp_path / "a", [item for item in robot.moving(1) if "cam" not in item[0]])
    with pytest.raises(InputError, match=r"none of 1 bags is left; .* --contract"):
        check.check(tmp_path, SMALL, skip_bad=True)
    with pytest.raises(InputError, match="no message on cam/image_raw"):
        open_cache(tmp_path, SMALL, skip_bad=True)


# -- the command


def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "policy.check", *map(str, words)],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_exit_codes(tmp_path: Path) -> None:
    """2 where training would be wrong, 0 with warnings, 2 for what is no bag."""
    contract = tmp_path / "small.yaml"
    contract.write_text(json.dumps(_raw()))
    robot.record(tmp_path / "late" / "a", received(robot.moving(2), 30))
    done = command(tmp_path / "late", "--contract", contract)
    assert (done.returncode, done.stderr) == (0, "") and "1 warning" in done.stdout
    robot.record(tmp_path / "wrong" / "a", stated(lambda t: np.rad2deg([1, 1, 0.02]), robot.moving(2)))
    done = command(tmp_path / "wrong", "--contract", contract)
    assert done.returncode == 2 and "error: 1 of 1 bags would be learned wrongly (a)" in done.stderr
    assert command(tmp_path / "no").returncode == 2


def _raw() -> dict[str, Any]:
    camera = {"topic": "cam/image_raw", "type": "sensor_msgs/msg/Image", "encoding": "rgb8", "height": 48, "width": 64}
    return {
        "rate": 20,
        "horizon": 8,
        "cameras": {"front": camera},
        "state": [{"topic": "joint_states", "joints": list(robot.JOINTS)}],
        "action": _actions(),
        "instruction": "instruction",
    }


def test_what_a_bag_holds(tmp_path: Path) -> None:
    robot.record(tmp_path / "a", edited("/cam/image_raw", lambda m, t: None if 1 < t < 2 else m, robot.moving(4)))
    robot.record(tmp_path / "b", robot.moving(2, text="place it"))
    robot.record(tmp_path / "d", [("/robot_description", robot.string("<robot>" * 100), START)])
    (tmp_path / "c.mcap").write_bytes(b"nothing")
    done = command(tmp_path)
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip().startswith("/")}
    assert "sensor_msgs/msg/Image" in rows["/cam/image_raw"] and "rgb8 64x48" in rows["/cam/image_raw"]
    assert "1.00 s at 1.0 s" in rows["/cam/image_raw"] and "20.0 Hz" in rows["/cam/image_raw"]
    assert "100.0 Hz" in rows["/joint_states"] and "3 joints: j1, j2, grip" in rows["/joint_states"]
    assert "'pick the cup'" in rows["/instruction"] and "+0 ms" in rows["/joint_states"]
    assert "b: as a; 2.0 s" in done.stdout and "'place it'" in done.stdout
    assert "c.mcap: cannot be read" in done.stdout
    assert "<robot>" in rows["/robot_description"] and len(rows["/robot_description"]) < 200


@pytest.mark.slow
def test_memory_does_not_grow_with_a_bag(tmp_path: Path, capsys: Printed) -> None:
    """Of pictures, which are most of it: two bags of one length, the one with pictures 16 times as large."""
    peaks = []
    for name, side in (("small", 1), ("large", 4)):
        camera = {"topic": "cam/image_raw", "type": "sensor_msgs/msg/Image", "encoding": "rgb8"}
        contract = robot.contract(cameras={"front": camera | {"height": 48 * side, "width": 64 * side}})

        def larger(message: Any, t: float, side: int = side) -> Any:
            pixels = np.full((48 * side, 64 * side, 3), round(t * 20) % 256, np.uint8)
            return robot.image(START + round(t * S), pixels)

        robot.record_mcap(
            tmp_path / name / "x.mcap", edited("/cam/image_raw", larger, robot.moving(20)), chunk_size=10**5
        )
        tracemalloc.start()
        check.check(tmp_path / name, contract)
        check.describe(tmp_path / name)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 20 * 48 * 64 * 16 * 3, peaks  # 20 of its 400 pictures
