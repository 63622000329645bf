"""What is known of an image while its cache is built."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from depth_ros.cameras.camera_model import CameraModel
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.pipeline.view import View


@dataclass(frozen=True)
class CachedFrame:
    """One image of a bag.

    Attributes:
        index: in the bag.
        stamp_ns, frame_id: of its header.
        model: its camera_info.
        camera: of the rectified image.
        view: of the network.
    """

    index: int
    stamp_ns: int
    frame_id: str
    model: CameraModel
    camera: Intrinsics
    view: View


def nearest(stamps_ns: np.ndarray, stamp_ns: int, tolerance_ns: int) -> int | None:
    """Index of the stamp nearest in time; None where none is within the tolerance."""
    right = int(np.searchsorted(stamps_ns, stamp_ns))
    best = min(
        (i for i in (right - 1, right) if 0 <= i < len(stamps_ns)),
        key=lambda i: abs(int(stamps_ns[i]) - stamp_ns),
    )
    return best if abs(int(stamps_ns[best]) - stamp_ns) <= tolerance_ns else None


def sync(file: BinaryIO) -> None:
    """Have what was written on the disk: a full one shows now."""
    file.flush()
    os.fsync(file.fileno())
