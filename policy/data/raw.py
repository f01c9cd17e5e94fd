"""A message as it lies in a bag's file, and the reasons for those that are not there."""

import re
from typing import NamedTuple

from rosbags.typesys import Stores, get_typestore

from policy.data.zstd import zstd

TYPES = get_typestore(Stores.ROS2_JAZZY)
CUT_OFF = "message in a part of the bag that is cut off"
DAMAGED = "message in a damaged part of the bag"
UNCOUNTED = "message that the bag's own count promises and that is not in it"
LATEST = 2**63 - 1  # ns: a later time is damaged, or stands for none in what some writers write
ZSTD = b"\x28\xb5\x2f\xfd"  # how a message begins that was compressed alone; CDR begins with a zero


class Definition(NamedTuple):
    """How a bag describes a type."""

    format: str  # ros2msg or ros2idl
    text: str  # of the type and of all that it holds


NO_DEFINITION = Definition("", "")


class Raw(NamedTuple):
    """A message as it lies in the file."""

    topic: str
    type: str  # package/msg/Name
    data: bytes
    stamp: int  # ns, when it was received
    encoding: str = "cdr"
    definition: Definition = NO_DEFINITION


def full_type(name: str) -> str:
    """A type's full name: old ROS 2 and some writers leave the msg out, as in sensor_msgs/Image."""
    return re.sub(r"^(\w+)/(\w+)$", r"\1/msg/\2", name)


def unpacked(data: bytes) -> bytes | None:
    """A message's bytes, None where they are damaged; rosbag2 may have compressed each message by itself."""
    try:
        return zstd.decompress(data) if data[:4] == ZSTD else data
    except zstd.ZstdError:
        return None
