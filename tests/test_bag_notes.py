"""Instruction and success of bags that hold none: bags.yaml beside them, their metadata, the contract."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from rosbags.rosbag2 import Writer

from policy import check
from policy.data.bag_check import check_bag
from policy.data.bag_notes import notes
from policy.data.cache import open_cache
from policy.data.episodes import read_episodes
from policy.data.recording import FAILED
from policy.data.rosbag2 import Bag
from policy.errors import InputError
from policy.looking.recording import look_at
from policy.robot.contract import Contract
from tests import small_robot as robot

SILENT = robot.moving(3.0, text="")


def record(path: Path, text: str = "", **custom: str) -> Path:
    """A bag, with the metadata that a recorder adds to it."""
    robot.record(path, robot.moving(3.0, text=text))
    if custom:
        about = yaml.safe_load((path / "metadata.yaml").read_text())
        about["rosbag2_bagfile_information"]["custom_data"] = custom
        (path / "metadata.yaml").write_text(yaml.safe_dump(about))
    return path


def instructions(path: Path, contract: Contract | None = None) -> list[str]:
    return [e.instruction for e in read_episodes(path, contract or robot.contract())]


def test_a_bag_without_an_instruction_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no message on instruction.*bags\.yaml beside the bag.*default_instruction"):
        instructions(record(tmp_path / "run"))


def test_whose_instruction_counts(tmp_path: Path) -> None:
    """Its own, else that of bags.yaml, else its metadata's, else the contract's."""
    contract = robot.contract(default_instruction="by the contract")
    bag, told = record(tmp_path / "run"), record(tmp_path / "told", "its own")
    assert instructions(bag, contract) == ["by the contract"]
    noted = record(tmp_path / "noted", instruction="by the recorder")
    assert instructions(noted, contract) == ["by the recorder"]
    (tmp_path / "bags.yaml").write_text(
        "run: {instruction: by hand}\nnoted/: {instruction: by hand, success: true}\ntold: {instruction: by hand}\n"
    )
    assert [instructions(b, contract) for b in (bag, noted, told)] == [["by hand"], ["by hand"], ["its own"]]
    (episode,) = read_episodes(bag, contract)
    assert len(episode.stamps) == 60 and np.isfinite(episode.actions).all()  # all frames: it holds from the beginning


def test_a_single_file_is_named_with_or_without_its_suffix(tmp_path: Path) -> None:
    for name in ("run", "run.mcap"):
        robot.record_mcap(tmp_path / "run.mcap", SILENT)
        (tmp_path / "bags.yaml").write_text(f"{name}: {{instruction: by hand}}\n")
        assert instructions(tmp_path / "run.mcap") == ["by hand"]
        (tmp_path / "bags.yaml").unlink()


def test_a_recording_that_failed_is_not_learned_and_is_reported(tmp_path: Path) -> None:
    record(tmp_path / "good", "pick", success="true")
    record(tmp_path / "bad", "pick", success="false")
    record(tmp_path / "mended", "pick", success="false")
    (tmp_path / "bags.yaml").write_text("mended: {success: true}\n")
    cache = open_cache(tmp_path, robot.contract(), processes=1)
    assert cache.bags == ["good", "mended"]
    assert any("a recording that failed is not used: bad: " in str(f) for f in cache.findings)
    cache = open_cache(tmp_path, robot.contract(), processes=1, failures=True)  # as a recipe with return_to_go does
    assert cache.bags == ["bad", "good", "mended"] and cache.returns.tolist() == [0, 1, 1]


def test_the_check_and_the_page_say_of_a_failed_recording_what_training_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path / "bags" / "good", "pick", success="true")
    bad = record(tmp_path / "bags" / "bad", "pick", success="false")
    check.check(tmp_path / "bags", robot.contract())
    printed = capsys.readouterr().out
    assert "60 frames in 1 episode" in printed and "bad: it is marked with success: false" in printed
    checked = check_bag(Bag("bad", bad), robot.contract(), lambda *_: None)
    assert checked.findings == [FAILED] and not checked.frames
    assert look_at(Bag("bad", bad), robot.contract()).findings[0] == FAILED


def test_an_instruction_beside_a_bag_that_has_another_is_reported(tmp_path: Path) -> None:
    for name, text in (("told", "its own"), ("same", "by hand"), ("silent", "")):
        record(tmp_path / name, text)
    beside = "".join(f"{name}: {{instruction: by hand}}\n" for name in ("told", "same", "silent"))
    (tmp_path / "bags.yaml").write_text(beside)
    cache = open_cache(tmp_path, robot.contract(), processes=1)
    said = [str(f) for f in cache.findings if "an instruction of its own" in str(f)]
    assert len(said) == 1 and "told: 'by hand' in bags.yaml, 'its own' on its topic, which is used" in said[0]


def test_where_all_have_failed_the_refusal_says_so(tmp_path: Path) -> None:
    record(tmp_path / "bad", "pick", success="false")
    with pytest.raises(InputError, match=r"a recording that failed is not used.*bags\.yaml"):
        open_cache(tmp_path, robot.contract(), processes=1)


def test_a_change_of_bags_yaml_decodes_that_bag_again(tmp_path: Path) -> None:
    record(tmp_path / "a", "pick")
    record(tmp_path / "b")
    beside = tmp_path / "bags.yaml"
    beside.write_text("b: {instruction: first}\n")
    contract = robot.contract()
    assert open_cache(tmp_path, contract, processes=1).instructions == ["pick", "first"]
    written = {p.parent.name: p.stat().st_mtime_ns for p in (tmp_path / ".cache").glob("*/*/bag.json")}
    beside.write_text("b: {instruction: second}\n")
    assert open_cache(tmp_path, contract, processes=1).instructions == ["pick", "second"]
    again = {p.parent.name: p.stat().st_mtime_ns for p in (tmp_path / ".cache").glob("*/*/bag.json")}
    assert sum(written[name] != again[name] for name in written) == 1


def test_another_contract_decodes_again(tmp_path: Path) -> None:
    """Also where only a joint's direction differs."""
    record(tmp_path / "a", "pick")
    first = open_cache(tmp_path, robot.contract(), processes=1)
    state = [{"topic": "joint_states", "joints": list(robot.JOINTS), "scale": [1, 1, -1]}]
    second = open_cache(tmp_path, robot.contract(state=state), processes=1)
    assert np.array_equal(first.state[:, 2], -second.state[:, 2]) and np.array_equal(
        first.state[:, 0], second.state[:, 0]
    )


def test_a_name_that_is_not_there_is_reported(tmp_path: Path) -> None:
    record(tmp_path / "run", "pick")
    (tmp_path / "bags.yaml").write_text("rum: {success: true}\n")
    findings = open_cache(tmp_path, robot.contract(), processes=1).findings
    assert any("bags.yaml names rum, and no such bag is there" in str(f) for f in findings)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("run: {instructoin: pick}\n", "did you mean 'instruction'"),
        ("run: {success: 'yes please'}\n", "expected bool"),
        ("- run\n", "expected names of bags"),
        ("run: [\n", "is not YAML"),
    ],
)
def test_a_bags_yaml_that_is_wrong_is_refused(tmp_path: Path, text: str, words: str) -> None:
    bag = record(tmp_path / "run", "pick")
    (tmp_path / "bags.yaml").write_text(text)
    with pytest.raises(InputError, match=words) as error:
        instructions(bag)
    assert "bags.yaml" in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("    success:", "   success:", r"metadata\.yaml is not YAML: .*correct it"),
        ("success: 'false'", "success: no wrong", r"success: got 'no wrong', expected true or false"),
        ("success: 'false'", "success: 'false", "is not YAML"),  # its last words
        ("custom_data:", "custom_data: failed\n  other:", "custom_data: got 'failed', expected a mapping"),
        ("rosbag2_bagfile_information:", "rosbag2_information:", "expected rosbag2_bagfile_information"),
    ],
)
def test_a_failure_whose_metadata_is_damaged_is_no_demonstration(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    """By the check and by training alike, also where it was decoded before."""
    record(tmp_path / "good", "pick", success="true")
    path = record(tmp_path / "bad", "pick", instruction="pick", success="false") / "metadata.yaml"
    text = path.read_text()
    open_cache(tmp_path, robot.contract(), processes=1)
    assert old in text
    path.write_text(text.replace(old, new))
    (finding,) = check_bag(Bag("bad", path.parent), robot.contract(), lambda *_: None).findings
    assert finding.severity == "error" and re.search(words, str(finding))
    with pytest.raises(InputError, match=words):
        open_cache(tmp_path, robot.contract(), processes=1)
    cache = open_cache(tmp_path, robot.contract(), processes=1, skip_bad=True)
    assert cache.bags == ["good"] and any("bags are left out: bad: " in str(f) for f in cache.findings)


@pytest.mark.parametrize("end", ["custom_data:", "compression_mode:", "_bagfile"])
def test_metadata_that_was_cut_off_before_its_notes_is_as_none(tmp_path: Path, end: str) -> None:
    path = record(tmp_path / "run", "pick", success="false") / "metadata.yaml"
    whole = path.read_text()
    kept = whole[: whole.index(end)]
    for text in (kept, kept + "\0\0", kept.rstrip(), kept + end[:4]):
        path.write_text(text)
        assert notes(path.parent).success is None
    path.write_text(whole[: whole.index("'false'") + 3])
    with pytest.raises(InputError, match="is not YAML"):
        notes(path.parent)


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "got None"), ("- false", "expected a mapping"), ("success: 'no'", "expected bool"), ("a: b", "unknown key")],
)
def test_a_mark_that_is_none_is_refused(tmp_path: Path, text: str, words: str) -> None:
    bag = record(tmp_path / "run", "pick")
    (bag / "metadata.yaml").unlink()
    (bag / "marked.yaml").write_text(text)
    with pytest.raises(InputError, match=words):
        instructions(bag)


def test_the_metadata_of_rosbags_own_writer_is_read(tmp_path: Path) -> None:
    with Writer(tmp_path / "run", version=9) as writer:
        writer.set_custom_data("instruction", "by rosbags")
        kinds = {topic: message.__msgtype__ for topic, message, _ in SILENT}
        connections = {t: writer.add_connection(t, kind, typestore=robot.TYPES) for t, kind in kinds.items()}
        for topic, message, ns in SILENT:
            writer.write(connections[topic], ns, robot.TYPES.serialize_cdr(message, kinds[topic]))
    assert instructions(tmp_path / "run") == ["by rosbags"]
