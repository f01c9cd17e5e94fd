"""One .db3 file of rosbag2's sqlite3 storage: all its messages in the order of their times.

It needs no metadata.yaml: the file names its topics itself.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from policy.data.raw import CUT_OFF, DAMAGED, NO_DEFINITION, Definition, Raw, full_type, unpacked
from policy.errors import InputError

QUERY = (
    "SELECT topics.name, topics.type, topics.serialization_format, messages.timestamp, messages.data "
    "FROM messages JOIN topics ON messages.topic_id = topics.id ORDER BY messages.timestamp"
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
            for topic, kind, encoding, stamp, data in connection.execute(QUERY):
                got += 1
                if (whole := unpacked(data)) is None:
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


def _definitions(connection: sqlite3.Connection) -> dict[str, Definition]:
    """Type -> its definition, where the bag's version has them."""
    query = "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions"
    try:
        return {kind: Definition(form, text) for kind, form, text in connection.execute(query)}
    except sqlite3.OperationalError:  # before ROS 2 Iron
        return {}
