"""A bag whose clock was set back between two of its files: the words of each run are its own."""

from pathlib import Path

from policy.data.recording import read
from tests import small_robot as robot
from tests.small_robot import SECOND, START


def told(folder: Path, second: str | None) -> list[list[tuple[str, float, float]]]:
    """Of each run its instructions, with the first and the last of their frames in s of the clock."""
    first = robot.moving(8, start=START + 2 * SECOND, text="task A")
    first.append(("/instruction", robot.string("task B"), START + 6 * SECOND))
    robot.record_mcap(folder / "bag_0.mcap", sorted(first, key=lambda item: item[2]))
    again = robot.moving(8, start=START, text=second or "task A")
    robot.record_mcap(folder / "bag_1.mcap", [item for item in again if second or item[0] != "/instruction"])
    recording = read(folder, robot.contract(), lambda most: lambda pictures: None)
    return [
        [
            (part.instruction, *(round((int(run.stamps[i]) - START) / SECOND, 1) for i in (part.first, part.end - 1)))
            for part in run.parts
        ]
        for run in recording.runs
    ]


def test_each_run_has_its_own_instructions(tmp_path: Path) -> None:
    before, after = told(tmp_path, "task C")
    assert [words for words, *_ in before] == ["task A", "task B"] and [words for words, *_ in after] == ["task C"]
    assert before[0][2] <= 6.0 <= before[1][1] + 0.1 and before[1][2] > 9 and after[0][1] < 0.3 and after[0][2] > 7.5


def test_an_instruction_outlives_a_clock_that_is_set_back(tmp_path: Path) -> None:
    """A simulation that begins anew is given its instruction by a latched topic, once."""
    before, after = told(tmp_path, None)
    assert [words for words, *_ in before] == ["task A", "task B"]
    assert [words for words, *_ in after] == ["task B"] and after[0][2] > 7.5
