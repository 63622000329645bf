"""Messages that are filled in place and published again and again.

Assigning an ndarray or memoryview to `msg.data` makes rclpy check every byte, 11 to 22 ms for a
camera image. An array.array is taken as it is; NumPy writes into it through its buffer, and
publishing copies it.
"""

from __future__ import annotations

import array
import sys

import numpy as np
from sensor_msgs.msg import Image, PointCloud2, PointField
from std_msgs.msg import Header

_BIG_ENDIAN = sys.byteorder == 'big'


class ImageBuffer:
    """One sensor_msgs/Image of a fixed encoding, whose memory is kept while the size stays."""

    def __init__(self, encoding: str, dtype: type[np.generic], channels: int) -> None:
        """Describe the pixels.

        Args:
            encoding: of sensor_msgs/image_encodings.
            dtype: of one channel.
            channels: of a pixel.
        """
        self.message = Image(encoding=encoding, is_bigendian=int(_BIG_ENDIAN))
        self._dtype = np.dtype(dtype)
        self._channels = channels

    def pixels(self, height: int, width: int) -> np.ndarray:
        """The message's pixels to write, [H,W] of one channel or [H,W,channels]."""
        message = self.message
        if (message.height, message.width) != (height, width):
            message.height, message.width = height, width
            message.step = width * self._channels * self._dtype.itemsize
            message.data = array.array('B', bytes(message.step * height))
        shape = (height, width) if self._channels == 1 else (height, width, self._channels)
        return np.frombuffer(message.data, self._dtype).reshape(shape)

    def filled(self, header: Header, values: np.ndarray) -> Image:
        """The message with `values` for pixels, which are not copied where they are its own."""
        pixels = self.pixels(*values.shape[:2])
        if not np.may_share_memory(pixels, values):
            np.copyto(pixels, values)
        self.message.header = header
        return self.message


class CloudBuffer:
    """One organised sensor_msgs/PointCloud2, whose memory is kept while the size stays."""

    def __init__(self, fields: list[PointField], point_step: int) -> None:
        """Describe the points: their fields, and the bytes of one point."""
        self.message = PointCloud2(
            fields=fields, point_step=point_step, is_bigendian=_BIG_ENDIAN, is_dense=False
        )

    def points(self, header: Header, height: int, width: int) -> np.ndarray:
        """The message's points to write, uint8 [H,W,point_step]."""
        message = self.message
        message.header = header
        if (message.height, message.width) != (height, width):
            message.height, message.width = height, width
            message.row_step = width * message.point_step
            message.data = array.array('B', bytes(message.row_step * height))
        return np.frombuffer(message.data, np.uint8).reshape(height, width, message.point_step)
