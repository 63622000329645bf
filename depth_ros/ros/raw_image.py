"""sensor_msgs/Image read where the middleware left it: pixels are not copied.

As a message of rclpy a picture of 1280x720 costs three more copies, 1 ms. The bytes of a plain
image are few fields in CDR, which every middleware of ROS 2 speaks (OMG DDS-XTypes 1.3, 7.4.1):
four bytes that tell the byte order, then the fields in their order, numbers aligned to their size.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from std_msgs.msg import Header

from depth_ros.errors import MessageError

_ORDERS = {b'\0\0': '>', b'\0\1': '<'}
"""The first two bytes of plain CDR, and its byte order."""


@dataclass(frozen=True)
class RawImage:
    """The fields of a sensor_msgs/Image by their names."""

    header: Header
    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: memoryview
    """Of the serialised message."""

    @classmethod
    def read(cls, message: bytes) -> RawImage:
        """Read a serialised message.

        Raises:
            MessageError: it is none.
        """
        try:
            return cls._read(memoryview(message))
        except (struct.error, KeyError, UnicodeDecodeError) as error:
            raise MessageError(
                f'{len(message)} bytes are no serialised sensor_msgs/Image: {error}'
            ) from error

    @classmethod
    def _read(cls, message: memoryview) -> RawImage:
        # Alignment counts from the first field, at byte 4: by 4 that is the same.
        order = _ORDERS[bytes(message[:2])]
        header = Header()
        stamp = header.stamp
        stamp.sec, stamp.nanosec, size = struct.unpack_from(f'{order}iII', message, 4)
        header.frame_id, at = _text(message, 16, size)
        at += -at % 4
        height, width, size = struct.unpack_from(f'{order}III', message, at)
        encoding, at = _text(message, at + 12, size)
        (is_bigendian,) = struct.unpack_from('B', message, at)
        at += 1
        at += -at % 4
        step, size = struct.unpack_from(f'{order}II', message, at)
        data, _ = _octets(message, at + 8, size)
        return cls(header, height, width, encoding, is_bigendian, step, data)


def _text(message: memoryview, at: int, size: int) -> tuple[str, int]:
    octets, end = _octets(message, at, size)
    return str(octets, 'utf-8').rstrip('\0'), end


def _octets(message: memoryview, at: int, size: int) -> tuple[memoryview, int]:
    """So many bytes, and where the message goes on."""
    end = at + size
    if end > len(message):
        raise struct.error(f'{size} bytes are announced, {max(0, len(message) - at)} are there')
    return message[at:end], end
