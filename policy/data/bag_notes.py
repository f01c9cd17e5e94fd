"""What a bag does not hold itself: its instruction, and whether the recording succeeded.

    bags/
      bags.yaml      pick_up_03: {instruction: pick up the cup, success: false}
      pick_up_03/    metadata.yaml: custom_data: {instruction: pick up the cup, success: "false"}

`bags.yaml` is written by hand, the bag's own metadata by our recorder; the file beside the bag has precedence. A bag
that was marked and got no end has `marked.yaml` in place of its metadata.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from policy import strict_yaml
from policy.data.bag_files import METADATA, NOTES, SUFFIXES, bag_name, custom_data
from policy.data.findings import Finding
from policy.errors import InputError

FILE, MARKED = "bags.yaml", "marked.yaml"
SUCCESS = {"true": True, "false": False, "": None}


@dataclass(frozen=True)
class BagNotes:
    """What is known of one bag beside its messages; None where it is not."""

    instruction: str | None = None
    success: bool | None = None


def notes(bag: Path) -> BagNotes:
    """Of bags.yaml beside the bag, else of its metadata; `InputError` where the file is not as it should be."""
    custom = custom_data(bag)
    noted = _noted(bag, custom) if custom else _marked(bag)
    written = written_beside(bag.absolute().parent).get(bag_name(bag), BagNotes())
    return BagNotes(
        written.instruction or noted.instruction,
        noted.success if written.success is None else written.success,
    )


def _noted(bag: Path, custom: dict[str, Any]) -> BagNotes:
    """Of its metadata, in which all is text."""
    success = str(custom.get("success", "")).lower()
    if success not in SUCCESS:
        raise InputError(
            f"{bag / METADATA}: {NOTES}: success: got {custom['success']!r}, expected true or false; correct it"
        )
    return BagNotes(str(custom.get("instruction") or "").strip() or None, SUCCESS[success])


def mark(bag: Path, success: bool) -> None:
    """Write into a bag's folder whether it succeeded; OSError where that is not possible."""
    aside = bag / f".{MARKED}.part"
    aside.write_text(f"success: {str(success).lower()}\n")
    aside.replace(bag / MARKED)


def _marked(bag: Path) -> BagNotes:
    path = bag / MARKED
    return strict_yaml.build(BagNotes, strict_yaml.read(path), str(path)) if path.is_file() else BagNotes()


def written_beside(folder: Path) -> dict[str, BagNotes]:
    """The bags that bags.yaml of a folder names; empty without one."""
    path = folder / FILE
    if not path.is_file():
        return {}
    return _read(path, path.stat().st_mtime_ns)


@lru_cache(16)
def _read(path: Path, changed: int) -> dict[str, BagNotes]:
    """A bags.yaml that was changed at some time [ns]."""
    raw = strict_yaml.read(path) or {}
    if not isinstance(raw, dict):
        raise InputError(f"{path}: got {raw!r}, expected names of bags, each with an instruction or a success")
    found = {}
    for name, about in raw.items():
        bag = str(name).removesuffix("/")
        for suffix in sorted(SUFFIXES, key=len, reverse=True):
            bag = bag.removesuffix(suffix)
        found[bag] = strict_yaml.build(BagNotes, about, f"{path}: {name}")
    return found


def told_otherwise(bag: Path, said: Sequence[tuple[int, str]]) -> Finding | None:
    """Where bags.yaml gives an instruction that is none of those in the bag, as (time, text): these count."""
    written = written_beside(bag.absolute().parent).get(bag_name(bag), BagNotes()).instruction
    texts = [text.strip() for _, text in said]
    if not written or written.strip() in texts:
        return None
    heard = ", ".join(repr(text[:40]) for text in dict.fromkeys(texts))
    figures = f"{written[:80]!r} in {FILE}, {heard} on its topic, which is used"
    return Finding("warning", "has an instruction of its own", figures, "take it out there, or record the bag anew")


def unmatched(bags: Iterable[Path]) -> list[Finding]:
    """What bags.yaml names beside some bags and is not there."""
    there: dict[Path, set[str]] = {}
    for bag in bags:
        there.setdefault(bag.absolute().parent, set()).add(bag_name(bag))
    return [
        Finding("warning", "not read", f"{folder / FILE} names {name}, and no such bag is there", "correct the name")
        for folder, names in there.items()
        for name in written_beside(folder).keys() - names
    ]
