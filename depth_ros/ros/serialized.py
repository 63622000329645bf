"""Serialised messages: what of them can be told without reading them whole.

Four bytes say how the rest is encoded (the second one: 1 for little endian), then follow the
fields (OMG DDS-XTypes 1.3, 7.4.1 and 7.6.2.1.2); those of a std_msgs/Header begin with the stamp.
"""

from __future__ import annotations

import struct

from depth_ros.errors import MessageError
from depth_ros.messages.stamps import NSEC

AFTER_STAMP = 12
"""Where a message that begins with a std_msgs/Header goes on behind its stamp."""


def header_stamp_ns(data: bytes) -> int:
    """The stamp of a message that begins with a std_msgs/Header.

    Raises:
        MessageError: it is too short for one.
    """
    if len(data) < AFTER_STAMP:
        raise MessageError(f'{len(data)} bytes are no message with a header')
    order = '<' if data[1] & 1 else '>'
    seconds, nanoseconds = struct.unpack_from(f'{order}iI', data, 4)
    return seconds * NSEC + nanoseconds
