"""Camera messages, good ones and as a broken driver sends them: each with one thing wrong."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
from sensor_msgs.msg import CameraInfo, Image

NSEC = 1_000_000_000


def image_message(rgb: np.ndarray, stamp_ns: int, frame_id: str) -> Image:
    """A good rgb8 Image of pixels uint8 [H,W,3]."""
    message = Image(height=rgb.shape[0], width=rgb.shape[1], encoding='rgb8')
    message.step = 3 * rgb.shape[1]
    message.data.frombytes(np.ascontiguousarray(rgb).tobytes())
    return stamped(message, stamp_ns, frame_id)


def info_message(
    width: int, height: int, stamp_ns: int, focal: float, frame_id: str
) -> CameraInfo:
    """A good camera without distortion, its axis through the middle of the image."""
    cx, cy = (width - 1) / 2, (height - 1) / 2
    message = CameraInfo(
        width=width, height=height, distortion_model='plumb_bob', d=[0.0] * 5,
        k=[focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[focal, 0.0, cx, 0.0, 0.0, focal, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )  # fmt: skip
    return stamped(message, stamp_ns, frame_id)


def stamped(message: Any, stamp_ns: int, frame_id: str | None = None) -> Any:
    """The same message, its header set."""
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, NSEC)
    if frame_id is not None:
        message.header.frame_id = frame_id
    return message


def broken_images(good: Image) -> dict[str, Image]:
    """Images that no node may answer, by what is wrong; `good` is rgb8 and stays as it is."""
    return {
        'wrong step': _changed(good, step=good.step - 1),
        'step of zero': _changed(good, step=0),
        'largest step': _changed(good, step=2**32 - 1),
        'short data': _changed(good, data=good.data[: len(good.data) // 2]),
        'no data': _changed(good, data=good.data[:0]),
        'no rows': _changed(good, height=0),
        'no columns': _changed(good, width=0, step=0),
        'unknown encoding': _changed(good, encoding='rgb888'),
        'no encoding': _changed(good, encoding=''),
        'huge size': _changed(good, height=2**32 - 1, width=2**32 - 1),
        'huge size, step that fits': _changed(good, height=2**16, width=2**16, step=3 * 2**16),
    }


def broken_infos(good: CameraInfo) -> dict[str, CameraInfo]:
    """Calibrations that no node may use, by what is wrong; `good` stays as it is."""
    k, nan = list(good.k), math.nan
    return {
        'K of zeros': _changed(good, k=[0.0] * 9),
        'NaN in K': _changed(good, k=[nan, *k[1:]]),
        'infinite K': _changed(good, k=[math.inf, *k[1:]]),
        'negative focal length': _changed(good, k=[-k[0], *k[1:]]),
        'no size': _changed(good, width=0, height=0),
        'another size': _changed(good, width=good.width // 2, height=good.height // 2),
        'NaN in D': _changed(good, d=[nan] * 5),
    }


def _changed(good: Any, **fields: Any) -> Any:
    message = copy.deepcopy(good)
    for name, value in fields.items():
        setattr(message, name, value)
    return message
