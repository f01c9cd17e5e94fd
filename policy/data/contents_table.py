"""What bags hold, as text: a table of topics, and one line for each further bag of the same layout."""

from collections.abc import Sequence

from policy.data.contents import Contents, Topic
from policy.robot.message_types import ARRAY

LISTED = 8  # joints or sentences that a row names
WIDE = 1.75  # times the usual interval: a message is missing
HEAD = ("topic", "type", "messages", "rate", "longest gap", "header", "holds")


def summary(found: Contents) -> str:
    """Length, messages and size of a bag, and what it does not hold."""
    count, size = sum(t.count for t in found.topics.values()), sum(t.bytes for t in found.topics.values())
    missing = "".join(f"; missing: {n} x {reason}" for reason, n in found.missing.items())
    return f"{found.seconds:.1f} s, {count} messages, {size / 1e6:.1f} MB{missing}"


def table(found: Contents) -> str:
    """One row a topic."""
    rows = [HEAD, *(_row(topic, found.begin) for _, topic in sorted(found.topics.items()))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD) - 1)]
    return "\n".join(
        "  " + "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    )


def layout(found: Contents) -> tuple[object, ...]:
    """What is equal where two bags need one table only."""
    return tuple(
        (name, t.type, tuple(sorted(t.pictures)), t.values.names if t.values else ())
        for name, t in sorted(found.topics.items())
    )


def texts(found: Contents) -> str:
    """The sentences of a bag."""
    return _listed([repr(text) for topic in found.topics.values() for text in topic.texts])


def _row(topic: Topic, begin: int) -> Sequence[str]:
    rate = f"{topic.hertz:.1f} Hz" if topic.hertz else "-"
    wide = topic.longest * 1e-9 * topic.hertz > WIDE
    gap = f"{topic.longest * 1e-9:.2f} s at {(topic.longest_at - begin) * 1e-9:.1f} s" if wide else "-"
    return f"/{topic.name}", topic.type, str(topic.count), rate, gap, _header(topic), _holds(topic)


def _header(topic: Topic) -> str:
    """How long after the time in the header a message is received: its delay, or another clock."""
    if not topic.stamped:
        return "-"
    if topic.offset is None:
        return "no time"
    early = f", {topic.count - topic.headers} without" if topic.headers < topic.count else ""
    return (f"{topic.offset * 1e3:+.0f} ms" if abs(topic.offset) < 10 else f"{topic.offset:+.3g} s") + early


def _holds(topic: Topic) -> str:
    if topic.unread:
        return f"not readable: {next(iter(topic.unread))}"
    if topic.encoding not in ("cdr", ""):
        return f"encoding {topic.encoding}"
    if topic.pictures:
        return ", ".join(f"{form}" for form, _ in topic.pictures.most_common())
    if topic.values is not None:
        count = len(topic.values.names)
        if topic.type == ARRAY or topic.values.nameless:
            return f"{count} values"
        return f"{count} joints: {_listed(topic.values.names)}"
    return _listed([f"{text!r}" + (f" ({n} times)" if n > 1 else "") for text, n in topic.texts.items()])


def _listed(names: Sequence[str]) -> str:
    more = f", and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
