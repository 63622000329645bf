"""sensor_msgs/PointCloud2 to numpy, by duck type: messages of rclpy, rosbags and ROS 1 alike."""

from __future__ import annotations

from typing import Any

import numpy as np

from depth_ros.errors import MessageError

_FLOATS = {7: 'f4', 8: 'f8'}
"""sensor_msgs/PointField datatypes that coordinates may have."""
_AXES = ('x', 'y', 'z')


def cloud_to_xyz(msg: Any) -> np.ndarray:
    """Coordinates of a cloud's points, float32 or float64 [height,width,3] in its own frame.

    Other fields, their order, padding of points and rows, and byte order are honoured. Where x, y
    and z lie at equal distances, which is nearly always, the result is a read-only view of the
    message, maybe in a foreign byte order; otherwise it is a copy. Points may be NaN.

    Raises:
        MessageError: x, y or z is missing or no float, or the data do not match the size.
    """
    dtypes, offsets = _layout(msg)
    height, width = int(msg.height), int(msg.width)
    point, row = int(msg.point_step), int(msg.row_step)
    ends = [offset + dtype.itemsize for offset, dtype in zip(offsets, dtypes)]
    if height < 0 or width < 0 or min(offsets) < 0 or max(ends) > point:
        raise MessageError(
            f'cloud of {width}x{height} points with x, y, z ending at bytes {ends} of a point of '
            f'{point}: not possible'
        )
    if row < width * point:
        raise MessageError(f'cloud row step {row} is less than {width} points of {point} bytes')
    if height == 0 or width == 0:
        return np.empty((height, width, 3), np.float32)
    data = np.frombuffer(msg.data, np.uint8)
    # The padding of the last row may be left out.
    needed = row * (height - 1) + width * point
    if data.size < needed:
        raise MessageError(
            f'cloud of {width}x{height} points needs {needed} bytes, not {data.size}'
        )
    spacing = offsets[1] - offsets[0]
    if len(set(dtypes)) == 1 and offsets[2] - offsets[1] == spacing:
        return _view(data, dtypes[0], (height, width, 3), offsets[0], (row, point, spacing))
    axes = [
        _view(data, dtype, (height, width), offset, (row, point))
        for dtype, offset in zip(dtypes, offsets)
    ]
    return np.stack(axes, axis=-1)


def _layout(msg: Any) -> tuple[list[np.dtype], list[int]]:
    """Data type and byte offset of x, y and z."""
    fields = {field.name: field for field in msg.fields}
    missing = [axis for axis in _AXES if axis not in fields]
    if missing:
        raise MessageError(
            f'cloud has no field {missing[0]!r}; it has: {", ".join(fields) or "none"}'
        )
    order = '>' if msg.is_bigendian else '<'
    dtypes = []
    for axis in _AXES:
        kind = int(fields[axis].datatype)
        if kind not in _FLOATS:
            raise MessageError(
                f'field {axis!r} of the cloud has datatype {kind} '
                '(supported: 7 FLOAT32, 8 FLOAT64)'
            )
        dtypes.append(np.dtype(order + _FLOATS[kind]))
    return dtypes, [int(fields[axis].offset) for axis in _AXES]


def _view(
    data: np.ndarray,
    dtype: np.dtype,
    shape: tuple[int, ...],
    offset: int,
    strides: tuple[int, ...],
) -> np.ndarray:
    view: np.ndarray = np.ndarray(shape, dtype, data.data, offset, strides)
    view.flags.writeable = False
    return view
