"""Depth and colour to the bytes of an organised point cloud, written where they will be sent."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from depth_ros.camera import Intrinsics

XYZ_STEP, XYZRGB_STEP = 12, 16
"""Bytes of a point: float32 x, y, z at offsets 0, 4, 8; with colour, at 12, what sensor_msgs calls
`rgb`: a float32 whose bits are 0x00RRGGBB."""


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
        self._x_of_ray = np.ascontiguousarray(rays[..., 0])
        self._y_of_ray = np.ascontiguousarray(rays[..., 1])
        height, width = self._x_of_ray.shape
        self.layout = CloudLayout(width, height, XYZRGB_STEP if coloured else XYZ_STEP)
        self._stride = stride
        self._channels = [np.empty((height, width), np.float32) for _ in range(3)]
        self._bgra = np.zeros((height, width, 4), np.uint8)

    def write(self, depth_m: np.ndarray, image: np.ndarray | None, out: np.ndarray) -> None:
        """Fill `out` with the points.

        Args:
            depth_m: float32 [H,W], NaN where unknown.
            image: uint8 [H,W,3] RGB on the same pixels; None for points without colour.
            out: uint8 [layout.height,layout.width,layout.point_step], C-contiguous.
        """
        x, y, z = self._channels
        np.copyto(z, depth_m[:: self._stride, :: self._stride])
        np.multiply(z, self._x_of_ray, out=x)
        np.multiply(z, self._y_of_ray, out=y)
        channels = [x, y, z]
        if image is not None:
            seen = np.ascontiguousarray(image[:: self._stride, :: self._stride])
            cv2.cvtColor(seen, cv2.COLOR_RGB2BGRA, dst=self._bgra)
            self._bgra[..., 3] = 0
            channels.append(self._bgra.view(np.float32)[..., 0])
        # One interleaving pass; strided writes of each field are slower.
        cv2.merge(channels, dst=out.view(np.float32))
