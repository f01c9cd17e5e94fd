"""Which task a taught sentence names, however often and in whatever case it was recorded."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from policy.errors import InputError
from policy.learning import instruction_classifier
from policy.learning.sentence_variants import Variants
from policy.running.known_instructions import FILE, KnownInstructions
from policy.running.text import WIDTH
from tests import tiny


@pytest.mark.parametrize(
    ("taught", "tasks"),
    [
        ([(None, "Open the drawer."), (None, "open the drawer")], ["open the drawer"] * 2),
        ([(None, "Open the drawer"), ("open", "open the drawer!")], ["open"] * 2),
        ([("open", "open the drawer"), (None, "open the drawer")], ["open"]),
        ([("", "don\u2019t stop"), (None, "Don't stop")], ["don't stop"] * 2),
        ([("open", "Open the drawer"), ("open", "open the drawer"), ("shut", "shut it")], ["open", "open", "shut"]),
    ],
)
def test_the_same_words_are_one_task(taught: list[tuple[str | None, str]], tasks: list[str]) -> None:
    pairs = instruction_classifier.merged(taught)
    assert [task for task, _ in pairs] == tasks
    assert {sentence for _, sentence in pairs} == {sentence for _, sentence in taught}
    assert {task for task in Variants(pairs, lambda *_: False).sentences.values() if task} == set(tasks)


def test_the_same_words_cannot_be_two_tasks() -> None:
    with pytest.raises(InputError, match=r"'Open the drawer' is taught as the task 'a' and as 'b', and can name only"):
        instruction_classifier.merged([("b", "Open the drawer"), ("a", "open the drawer.")])


def test_what_is_written_is_merged_and_finite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.teach(tmp_path, [("open", "open the drawer")])
    networks = load_file(tmp_path / FILE)
    monkeypatch.setattr(instruction_classifier, "train", lambda *_: networks)
    instruction_classifier.write(tmp_path, [(None, "Open the drawer"), ("open", "open the drawer")])
    with safe_open(tmp_path / FILE, "numpy") as file:
        assert json.loads(file.metadata()["sentences"]) == [["open", "Open the drawer"], ["open", "open the drawer"]]
    before = (tmp_path / FILE).read_bytes()
    networks["position"][0, 0] = np.nan
    with pytest.raises(RuntimeError, match="not finite: position"):
        instruction_classifier.write(tmp_path, [("open", "open the drawer")])
    assert (tmp_path / FILE).read_bytes() == before


def test_a_file_with_what_is_no_number_is_refused(tmp_path: Path) -> None:
    """By it every sentence would be taken for the first task."""
    tiny.teach(tmp_path, [("open", "open the drawer")])
    KnownInstructions(tmp_path, WIDTH, 0.53)
    tensors = load_file(tmp_path / FILE)
    tensors["hidden.bias"][0, 0] = np.nan
    save_file(tensors, tmp_path / FILE, {"sentences": '[["open", "open the drawer"]]'})
    with pytest.raises(InputError, match=r"not finite \(hidden\.bias\); export the model again"):
        KnownInstructions(tmp_path, WIDTH, 0.53)
