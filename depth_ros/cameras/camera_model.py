"""Calibrated cameras as camera_info tells them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from depth_ros.cameras.intrinsics import check_size
from depth_ros.errors import CameraError

IDENTITY_R = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class CameraModel:
    """What one camera_info says about the images as they are delivered (binning and ROI applied).

    Matrices are row-major tuples, so that models compare and hash by value:
    k [3,3] and d of the raw image, r [3,3] raw to rectified axes, p [3,4] of the rectified image.
    Field meanings: sensor_msgs/CameraInfo.
    """

    frame_id: str
    width: int
    height: int
    k: tuple[float, ...]
    d: tuple[float, ...]
    r: tuple[float, ...]
    p: tuple[float, ...]
    distortion_model: str

    def __post_init__(self) -> None:
        """Check sizes and finiteness.

        Raises:
            CameraError: a matrix has the wrong length, or a value is not finite.
        """
        check_size(self.width, self.height)
        for name, length in (('K', 9), ('R', 9), ('P', 12)):
            values = getattr(self, name.lower())
            if len(values) != length:
                raise CameraError(
                    f'camera_info of {self.frame_id!r}: {name} has {len(values)} values, '
                    f'not {length}'
                )
        for name in 'KDRP':
            if not all(map(math.isfinite, getattr(self, name.lower()))):
                raise CameraError(
                    f'camera_info of {self.frame_id!r}: {name} has values that are not finite'
                )

    @classmethod
    def from_info(cls, info: Any) -> CameraModel:
        """Read a sensor_msgs/CameraInfo of rclpy, rosbags or ROS 1 (K, D, R, P in upper case).

        Width, height, K and P of the message belong to the full sensor; here they become those
        of the image that is delivered, cropped to the region of interest, then binned. A missing
        R is the identity and a missing P is K.

        Raises:
            CameraError: a size or a matrix makes no sense.
        """
        k, d, r, p = (_matrix(info, name) for name in 'kdrp')
        if len(r) == 9 and not any(r):
            r = IDENTITY_R
        if len(p) == 12 and len(k) == 9 and not p[0]:
            p = (*k[:3], 0.0, *k[3:6], 0.0, *k[6:9], 0.0)
        full = cls(
            info.header.frame_id, int(info.width), int(info.height), k, d, r, p,
            str(info.distortion_model),
        )  # fmt: skip
        return full._windowed(info.roi, int(info.binning_x) or 1, int(info.binning_y) or 1)

    @property
    def calibrated(self) -> bool:
        """Whether K is known; ROS marks an uncalibrated camera with K[0] = 0."""
        return self.k[0] > 0 and self.k[4] > 0

    @property
    def baseline_m(self) -> float:
        """Distance to the right of the stereo partner [m]; 0 of a left or single camera."""
        return 0.0 - self.p[3] / self.p[0] if self.p[0] else 0.0

    def _windowed(self, roi: Any, binning_x: int, binning_y: int) -> CameraModel:
        x0, y0 = int(roi.x_offset), int(roi.y_offset)
        width = int(roi.width) or self.width
        height = int(roi.height) or self.height
        if x0 + width > self.width or y0 + height > self.height:
            raise CameraError(
                f'camera_info of {self.frame_id!r}: region of interest {width}x{height} at '
                f'({x0}, {y0}) leaves the {self.width}x{self.height} image'
            )
        if (x0, y0, width, height, binning_x, binning_y) == (
            0, 0, self.width, self.height, 1, 1
        ):  # fmt: skip
            return self
        # A pixel (u, v) of the full image is (sx (u - x0 + 0.5) - 0.5, ...) of the delivered one.
        sx, sy = 1 / binning_x, 1 / binning_y
        window = np.array(
            [[sx, 0, sx * (0.5 - x0) - 0.5], [0, sy, sy * (0.5 - y0) - 0.5], [0, 0, 1]]
        )
        k = np.reshape(self.k, (3, 3))
        p = np.reshape(self.p, (3, 4))
        return CameraModel(
            self.frame_id, max(width // binning_x, 1), max(height // binning_y, 1),
            tuple((window @ k).ravel().tolist()), self.d, self.r,
            tuple((window @ p).ravel().tolist()), self.distortion_model,
        )  # fmt: skip


def _matrix(info: Any, name: str) -> tuple[float, ...]:
    values = getattr(info, name) if hasattr(info, name) else getattr(info, name.upper())
    return tuple(float(value) for value in values)
