"""Where bags are: rosbag2 directories and single files, whole or left by a recorder that was killed.

run/metadata.yaml, run/run_0.mcap, ...     a directory, its files in the order of recording
run/run_0.mcap, run/run_1.mcap             the same without metadata: its recorder was killed
anything.mcap, .db3, .mcap.zstd, .db3.zstd a file by itself
"""

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from policy import strict_yaml
from policy.data.findings import Finding
from policy.data.zstd import zstd
from policy.errors import InputError

SUFFIXES = (".mcap", ".db3", ".mcap.zstd", ".db3.zstd")
PACKED = tuple(f"{kind}.{packer}" for kind in (".mcap", ".db3") for packer in ("lz4", "gz", "bz2", "zst"))
METADATA, INFORMATION, NOTES = "metadata.yaml", "rosbag2_bagfile_information", "custom_data"
HELP = "expected rosbag2 directories, or .mcap or .db3 files"


def find_bags(folder: Path) -> list[Path]:
    """All bags at or below a folder, sorted; `InputError` if there is none."""
    if found := bags_in(folder):
        return found
    raise nothing_found(folder, HELP)


def nothing_found(folder: Path, expected: str) -> InputError:
    """Why a folder gives no recording, and what to do."""
    if not folder.exists():
        return InputError(f"no such folder: {folder}; give the folder that holds the recordings")
    if folder.is_file():
        return InputError(f"{folder} is no bag: {expected}, or a folder of them")
    return InputError(
        f"no bag in {folder}: {expected}; record some with `python -m sim.record` or `ros2 bag record -s mcap`"
    )


def bags_in(folder: Path) -> list[Path]:
    """All bags at or below a folder, sorted; none where there is none."""
    if folder.is_file():
        if folder.name == METADATA:
            return [folder.parent]
        return [folder] if folder.name.endswith(SUFFIXES) else []
    found: set[Path] = set()
    for directory, files in walk(folder):
        recorded = [f for f in files if f.endswith(SUFFIXES) and (directory / f).exists()]
        if METADATA in files and recorded:
            found.add(directory)
            continue
        # rosbag2 names its files after the bag, which may be given as "." or through a link
        names = {os.path.basename(at(directory)) for at in (os.path.abspath, os.path.realpath)}
        found |= {directory if names & {_stem(f), re.sub(r"_\d+$", "", _stem(f))} else directory / f for f in recorded}
    return sorted(found)


def passed_over(folder: Path) -> list[Finding]:
    """What lies among the bags of a folder and is not read, with what to do."""
    found: list[tuple[str, str]] = []  # figures, what to do

    def unreadable(error: OSError) -> None:
        found.append((f"{error.filename}: {error.strerror}", "mend its permissions or its disk, or take it away"))

    for directory, files in walk(folder, unreadable) if folder.is_dir() else ():
        if METADATA in files and not any(f.endswith(SUFFIXES) for f in files):
            figures = f"{directory}: {METADATA} and no .mcap or .db3 file"
            found.append((figures, "put its files back, or take it away"))
        found += [why for name in files if (why := _not_read(directory / name)) is not None]
    return [Finding("warning", "not read", figures, do) for figures, do in found]


def bag_name(bag: Path) -> str:
    """What a bag is called in bags.yaml: its directory's name, or its file's without .mcap, .db3 and .zstd."""
    return _stem(bag.name) if bag.is_file() else bag.absolute().name


def _stem(name: str) -> str:
    """A file's name without .mcap, .db3 and .zstd."""
    return name.removesuffix(".zstd").rpartition(".")[0]


def _not_read(path: Path) -> tuple[str, str] | None:
    """Why a file is not read, and what to do; None where it is read or is no recording."""
    if path.is_symlink() and not path.exists():
        return f"{path}: a link to nothing", "mend it or take it away"
    if path.name.endswith((".bag", ".bag.active")):
        return f"{path}: a ROS 1 bag", "convert it with rosbags-convert"
    if path.name.endswith(PACKED):
        return str(path), "decompress it"
    return None


def data_files(bag: Path) -> list[Path]:
    """The files of a bag in the order in which they were recorded (_2 before _10); `InputError` if it has none."""
    files = [bag] if bag.is_file() else [p for p in bag.iterdir() if p.name.endswith(SUFFIXES) and p.is_file()]
    whole = {p.with_suffix("") for p in files if p.suffix == ".zstd"} & set(files)  # compressed, and not taken away yet
    files = [p for p in files if p.suffix != ".zstd" or p.with_suffix("") not in whole]
    if not files:
        raise InputError(f"{bag} holds no recording: expected .mcap or .db3 files in it; take it away")
    return sorted(files, key=lambda p: [int(s) if s.isdigit() else s for s in re.split(r"(\d+)", p.name)])


def metadata(bag: Path) -> dict[str, Any]:
    """What metadata.yaml holds; empty where it is not there or was not written to its end, else `InputError`."""
    path = bag / METADATA
    if not path.is_file():
        return {}
    try:
        data = path.read_bytes().rstrip(b"\0")  # with which a power cut may fill a file
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror or error}); mend its permissions or its disk, or take it away"
        ) from None
    text = data.decode(errors="ignore")
    try:
        found = strict_yaml.parse(data.decode(), path)
    except (yaml.YAMLError, ValueError) as error:
        if _cut_off(text, error):
            return {}
        raise strict_yaml.not_yaml(path, error) from None
    about = found.get(INFORMATION, found) if isinstance(found, dict) else found
    if about is None or isinstance(about, str):  # of the first words of it
        return {}
    if about is found or not isinstance(about, dict):
        raise InputError(f"{path}: got {found!r:.200}, expected {INFORMATION} and what it holds; correct it")
    return about


def custom_data(bag: Path) -> dict[str, Any]:
    """What a recorder noted in metadata.yaml, empty where it noted nothing; `InputError` where it is no mapping."""
    found = metadata(bag).get(NOTES) or {}
    if not isinstance(found, dict):
        raise InputError(f"{bag / METADATA}: {NOTES}: got {found!r:.200}, expected a mapping of names; correct it")
    return found


def _cut_off(text: str, error: Exception) -> bool:
    """Whether a text is no YAML because its end is missing, and that before it notes anything of the recording."""
    mark = getattr(error, "problem_mark", None)
    at_end = isinstance(error, UnicodeDecodeError) or (mark is not None and mark.index >= len(text.rstrip()))
    return at_end and not text.endswith("\n") and NOTES not in text


@contextmanager
def decompressed(path: Path) -> Iterator[Path]:
    """The file itself, or a decompressed copy of a .zstd, as far as that goes, for as long as it is needed."""
    if path.suffix != ".zstd":
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="midstream-") as folder:
        copy, decoder = Path(folder) / path.stem, zstd.ZstdDecompressor()
        with path.open("rb") as source, copy.open("wb") as target:
            try:
                while block := source.read(1 << 20):
                    _write(target, decoder.decompress(block), path)
            except (zstd.ZstdError, EOFError):
                pass  # cut off; the copy's own reader counts what is missing
        if not copy.stat().st_size:
            raise InputError(f"{path} is not zstd, or nothing of it is whole; take it away")
        yield copy


def _write(target: BinaryIO, data: bytes, path: Path) -> None:
    try:
        target.write(data)
    except OSError as error:
        raise InputError(
            f"{path} cannot be decompressed in {tempfile.gettempdir()} ({error.strerror or error}); free space there, "
            "or set TMPDIR to a folder with more"
        ) from error


def walk(folder: Path, unreadable: Callable[[OSError], None] | None = None) -> Iterator[tuple[Path, list[str]]]:
    """Directories and their files, links followed, none twice, hidden ones left out."""
    seen: set[str] = set()
    for directory, below, files in os.walk(folder, onerror=unreadable, followlinks=True):
        real = os.path.realpath(directory)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        below[:] = sorted(d for d in below if not d.startswith("."))
        yield Path(directory), sorted(f for f in files if not f.startswith("."))
