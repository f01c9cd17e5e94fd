"""YAML that people write: what is not as they meant it is refused, with its place."""

import errno
from pathlib import Path
from typing import Any

import pytest

from policy import strict_yaml
from policy.data.bag_files import metadata
from policy.data.bag_notes import written_beside
from policy.errors import InputError
from policy.learning import recipe
from policy.robot.contract import FOLDER, load
from policy.spec import Spec
from tests import small_robot


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rate: 20\nhorizon: 8\nrate: 30\n", r"a\.yaml: line 3: got the key 'rate' again, after line 1"),
        ("a: {b: 1, b: 2}\n", "line 1: got the key 'b' again"),
        ("a:\n  - b: 1\n    c: &x {d: 1,\n     d: 2}\n", "line 4: got the key 'd' again, after line 3"),
        ("1: {success: true}\n", "line 1: got the key 1, expected text; put it in quotes"),
        ("{a: 1}: 2\n", "got the key that is a list or a mapping, expected text"),
        ("when: 2026-13-45\n", "is not YAML: month must be"),
        ("a: [\n", "is not YAML.*line 2"),
        ("a: !!bool x\n", r"a\.yaml is not YAML: a value that is not of its tag"),
        ("a: !!int ''\n", "is not YAML: a value that is not of its tag"),
        ("a: !!timestamp x\n", "is not YAML: a value that is not of its tag"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(InputError, match=words):
        strict_yaml.read(tmp_path / "a.yaml")


def test_a_key_that_is_merged_may_be_written_anew(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: &a {b: 1, c: 2}\nd: &d {<<: *a, b: 3}\ne: *d\nf: &f [*f]\n")
    read = strict_yaml.read(tmp_path / "a.yaml")
    assert read["d"] == read["e"] == {"b": 3, "c": 2}
    (tmp_path / "a.yaml").write_text("")
    assert strict_yaml.read(tmp_path / "a.yaml") is None


def test_a_file_that_may_not_be_read_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those that root wrote in a container; whoever runs this may be root, who may read all."""
    bag = small_robot.record(tmp_path / "bag", small_robot.moving(0.1))

    def refused(path: Path, *_: Any, **__: Any) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", refused)
    monkeypatch.setattr(Path, "read_bytes", refused)
    for path, read in (
        (FOLDER / "tabletop.yaml", lambda path: load("tabletop")),
        (recipe.FOLDER / "chunk.yaml", recipe.load),
        (tmp_path / "spec.json", Spec.load),
        (bag / "metadata.yaml", lambda path: metadata(path.parent)),
    ):
        with pytest.raises(InputError, match=rf"{path} cannot be read \(Permission denied\).*; mend its permissions"):
            read(path)


def test_a_number_beyond_all_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text((FOLDER / "tabletop.yaml").read_text().replace("rate: 20", f"rate: 1{'0' * 400}"))
    with pytest.raises(InputError, match=r"rate: got 10+, expected a finite number"):
        load(path)


def test_contracts_recipes_and_notes_are_read_so(tmp_path: Path) -> None:
    """Of two cameras of one name the first was lost."""
    path = tmp_path / "bags.yaml"
    contract = (FOLDER / "tabletop.yaml").read_text()
    for text, read in (
        (contract.replace("  wrist:", "  front:"), load),
        ((recipe.FOLDER / "chunk.yaml").read_text() + "\nwidth: 64\n", recipe.load),
        ("a: {success: true}\na: {success: false}\n", lambda path: written_beside(path.parent)),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match="again, after line"):
            read(path)
