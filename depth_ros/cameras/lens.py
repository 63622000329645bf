"""Where the intrinsics of pictures come from that bring no camera_info."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.errors import CameraError


class Lens(Protocol):
    """Tells the intrinsics of the pictures of one camera."""

    def intrinsics(self, image: np.ndarray) -> Intrinsics:
        """Of a picture [H,W,3]."""


@dataclass(frozen=True)
class FieldOfView:
    """A camera known by its horizontal field of view: square pixels, axis through the centre."""

    horizontal_deg: float

    def __post_init__(self) -> None:
        """Refuse angles that a pinhole camera cannot have.

        Raises:
            CameraError: not between 1 and 170 degrees.
        """
        if not 1.0 <= self.horizontal_deg <= 170.0:
            raise CameraError(f'horizontal field of view {self.horizontal_deg} degrees: '
                              'need 1 to 170')

    def at(self, width: int, height: int) -> Intrinsics:
        """The intrinsics of images of this size."""
        focal = width / 2 / math.tan(math.radians(self.horizontal_deg) / 2)
        return Intrinsics(focal, focal, (width - 1) / 2, (height - 1) / 2, width, height)

    def intrinsics(self, image: np.ndarray) -> Intrinsics:
        """See Lens."""
        return self.at(image.shape[1], image.shape[0])


@dataclass(frozen=True)
class PinholeValues:
    """A camera known by fx, fy, cx, cy in pixels of the images."""

    fx: float
    fy: float
    cx: float
    cy: float

    def intrinsics(self, image: np.ndarray) -> Intrinsics:
        """See Lens."""
        return Intrinsics(self.fx, self.fy, self.cx, self.cy, image.shape[1], image.shape[0])
