"""The messages of a bag, whatever its storage, in the order of their reception."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from policy.data import mcap_file, sqlite_file
from policy.data.bag_files import data_files, decompressed, metadata
from policy.data.raw import CUT_OFF, DAMAGED, UNCOUNTED, Raw
from policy.errors import InputError


def messages(bag: Path, wanted: Mapping[str, str] | None, dropped: Counter[str]) -> Iterator[Raw]:
    """The messages of some topics (without leading slash -> type), or of all, in the order of their reception.

    `dropped` counts what the bag promises and does not hold. `InputError` if a topic has another type or the bag
    cannot be read; what is whole in a bag that was cut off is given.
    """
    promised = metadata(bag).get("message_count")
    got = 0
    own: Counter[str] = Counter()
    for path in data_files(bag):
        try:
            with decompressed(path) as file:
                read = sqlite_file.messages if file.suffix == ".db3" else mcap_file.messages
                for raw in read(file, own):
                    got += 1
                    if wanted is None:
                        yield raw
                    elif raw.topic.lstrip("/") in wanted:
                        _check_type(bag, raw, wanted)
                        yield raw
        except OSError as error:
            raise InputError(
                f"{path} cannot be read ({error.strerror or error}); mend its permissions or its disk, or take it away"
            ) from error
    missing = promised - got - own[DAMAGED] - own[UNCOUNTED] if isinstance(promised, int) else 0
    if missing > 0:
        own[CUT_OFF if own[CUT_OFF] else UNCOUNTED] += missing - bool(own[CUT_OFF])
    dropped.update(+own)


def summary(dropped: Counter[str]) -> str:
    """Counts by reason as one line, the largest first."""
    return "; ".join(f"{n} x {reason}" for reason, n in dropped.most_common(6))


def _check_type(bag: Path, raw: Raw, wanted: Mapping[str, str]) -> None:
    expected = wanted[raw.topic.lstrip("/")]
    if raw.type != expected:
        raise InputError(f"{bag} has {raw.topic} as {raw.type}, the contract expects {expected}; correct the contract")
    if raw.encoding not in ("cdr", ""):
        raise InputError(
            f"{bag} has {raw.topic} in the encoding {raw.encoding}, expected cdr, as ROS 2 records it; "
            "convert the bag, for ROS 1 with rosbags-convert"
        )
