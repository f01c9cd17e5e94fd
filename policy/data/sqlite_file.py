"""One .db3 file of rosbag2's sqlite3 storage: all its messages in the order of their times.

It needs no metadata.yaml: the file names its topics itself. Where the clock was set back, which the order of the rows
tells, what came before is given first.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from policy.data.raw import CUT_OFF, DAMAGED, NO_DEFINITION, Definition, Raw, full_type, unpacked
from policy.data.storage_order import StorageOrder
from policy.errors import InputError

FIRST, END = -(2**63), 2**63 - 1  # of all rows
STORED = "SELECT rowid, topic_id, timestamp FROM messages ORDER BY rowid"
QUERY = (  # with the +, rows are not chosen by their number, but in the order of the index of times: nothing is sorted
    "SELECT topics.name, topics.type, topics.serialization_format, messages.timestamp, messages.data "
    "FROM messages JOIN topics ON messages.topic_id = topics.id "
    "WHERE +messages.rowid >= ? AND +messages.rowid < ? ORDER BY messages.timestamp"
)


def messages(path: Path, dropped: Counter[str]) -> Iterator[Raw]:
    """All messages, with those that a killed recorder left in a write-ahead log beside the file.

    `dropped` counts what could not be read; `InputError` if nothing could.
    """
    got = 0
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            definitions = _definitions(connection)
            for rows in pairwise([FIRST, *_set_back(connection), END]):
                for topic, kind, encoding, stamp, data in connection.execute(QUERY, rows):
                    got += 1
                    whole = unpacked(data) if isinstance(data, bytes) and isinstance(stamp, int) else None
                    if whole is None:  # sqlite keeps a value of any type in any column
                        dropped[DAMAGED] += 1
                    else:
                        yield Raw(topic, full_type(kind), whole, stamp, encoding, definitions.get(kind, NO_DEFINITION))
        finally:
            connection.close()
    except sqlite3.Error as error:
        if not got:
            raise InputError(
                f"{path} cannot be read as a sqlite3 database ({error}); copy it with the files beside it to a "
                "folder that can be written and try `ros2 bag reindex`, or take it away"
            ) from None
        dropped[CUT_OFF] += 1


def _set_back(connection: sqlite3.Connection) -> list[int]:
    """The rows from which on the clock had been set back."""
    order = StorageOrder()
    with suppress(sqlite3.DatabaseError):  # damaged from there on, as whoever reads the messages finds, too
        for row, topic, stamp in connection.execute(STORED):
            if isinstance(stamp, int):
                order.take(topic, stamp, (row, 0))
    return [row for row, _ in order.begins]


def _definitions(connection: sqlite3.Connection) -> dict[str, Definition]:
    """Type -> its definition, where the bag's version has them."""
    query = "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions"
    try:
        return {kind: Definition(form, text) for kind, form, text in connection.execute(query)}
    except sqlite3.OperationalError:  # before ROS 2 Iron
        return {}
