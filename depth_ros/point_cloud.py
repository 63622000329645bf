"""Depth and colour to the bytes of an organised point cloud, written where they will be sent."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from depth_ros.cameras.intrinsics import Intrinsics

XYZ_STEP, XYZRGB_STEP = 12, 16
"""Bytes of a point: float32 x, y, z at offsets 0, 4, 8; with colour, at 12, what sensor_msgs calls
`rgb`: a float32 whose bits are 0x00RRGGBB."""
_RGB_BITS = np.uint32(0x00FFFFFF)
_BAND_POINTS = 1 << 15
"""So many points are made at a time: what lies between depth and points stays in the cache."""


@dataclass(frozen=True)
class CloudLayout:
    """The size of a cloud."""

    width: int
    height: int
    point_step: int


class PointCloudWriter:
    """Turns depth maps of one camera into points of its optical frame; unknown depth is NaN."""

    def __init__(self, intrinsics: Intrinsics, stride: int = 1, coloured: bool = True) -> None:
        """Prepare for depth maps of the size of `intrinsics`.

        Args:
            intrinsics: of the depth map.
            stride: every how many pixels and rows a point is made.
            coloured: whether points have a colour.
        """
        rays = intrinsics.rays()[::stride, ::stride]
        self._x_of_ray = np.ascontiguousarray(rays[:1, :, 0])
        self._y_of_ray = np.ascontiguousarray(rays[:, :1, 1])
        height, width = rays.shape[:2]
        self.layout = CloudLayout(width, height, XYZRGB_STEP if coloured else XYZ_STEP)
        self._stride = stride
        self._rows = min(height, max(1, _BAND_POINTS // width))
        self._xy = [np.empty((self._rows, width), np.float32) for _ in range(2)]
        self._bgra = np.empty((self._rows, width, 4), np.uint8)

    def write(self, depth_m: np.ndarray, image: np.ndarray | None, out: np.ndarray) -> None:
        """Fill `out` with the points.

        Args:
            depth_m: float32 [H,W], NaN where unknown.
            image: uint8 [H,W,3] RGB on the same pixels; None for points without colour.
            out: uint8 [layout.height,layout.width,layout.point_step], C-contiguous.
        """
        depth_m = depth_m[:: self._stride, :: self._stride]
        if image is not None:
            image = image[:: self._stride, :: self._stride]
        for top in range(0, len(depth_m), self._rows):
            band = slice(top, top + self._rows)
            z = np.ascontiguousarray(depth_m[band])
            x, y = (memory[: len(z)] for memory in self._xy)
            np.multiply(z, self._x_of_ray, out=x)
            np.multiply(z, self._y_of_ray[band], out=y)
            channels = [x, y, z]
            if image is not None:
                channels.append(self._colours(np.ascontiguousarray(image[band])))
            # One interleaving pass; strided writes of each field are slower.
            cv2.merge(channels, dst=out[band].view(np.float32))

    def _colours(self, image: np.ndarray) -> np.ndarray:
        """Pixels [H,W,3] as `rgb` [H,W], valid until the next call."""
        bgra = self._bgra[: len(image)]
        cv2.cvtColor(image, cv2.COLOR_RGB2BGRA, dst=bgra)
        colours = bgra.view(np.uint32)[..., 0]
        np.bitwise_and(colours, _RGB_BITS, out=colours)  # cvtColor makes it opaque
        return colours.view(np.float32)
