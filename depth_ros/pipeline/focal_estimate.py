"""The focal length of a camera that nobody calibrated, by what a network sees in its pictures.

One picture misleads: the estimate is the median of the latest ones. What depends on it, as clouds
and camera_info do, is to stand still: what is told changes only where that median has moved away.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.cameras.lens import FieldOfView
from depth_ros.errors import CameraError
from depth_ros.pipeline.depth_pipeline import DepthPipeline

_REMEMBERED = 15
_MOVED = 0.02
"""Relative difference of focal lengths that is worth another camera."""
_WIDEST_DEG = 170.0


class FocalEstimate:
    """Of one camera with square pixels and its axis through the centre; a Lens.

    Attributes:
        pipeline: the model that estimates.
    """

    def __init__(self, pipeline: DepthPipeline) -> None:
        """Begin without pictures."""
        self.pipeline = pipeline
        self._size: tuple[int, ...] = ()
        self._fovs_deg: deque[float] = deque(maxlen=_REMEMBERED)
        self._told_deg = 0.0

    @property
    def begun(self) -> bool:
        """Whether a picture was asked about."""
        return bool(self._fovs_deg)

    @property
    def text(self) -> str:
        """What is told, for people."""
        if not self.begun:
            return 'not estimated yet'
        return f'estimated by the model: horizontal field of view {self._told_deg:.1f} degrees'

    def intrinsics(self, image: np.ndarray) -> Intrinsics:
        """The camera that took a picture uint8 [H,W,3].

        The first one of a size goes through the network once more than others.

        Raises:
            CameraError: the model tells no field of view.
            BackendError: the runtime failed.
        """
        height, width = image.shape[:2]
        if self._size != (height, width):
            if not self.pipeline.tells_fov:
                raise CameraError(
                    'the camera is not calibrated, and its focal length cannot be estimated: '
                    f'model {self.pipeline.spec.name!r} tells no field of view'
                )
            fov_deg = self.pipeline.fov_deg(image)
            self._size, self._told_deg = (height, width), _bounded(fov_deg)
            self._fovs_deg.clear()
            self._fovs_deg.append(self._told_deg)
        return FieldOfView(self._told_deg).at(width, height)

    def observe(self, fov_deg: float | None) -> None:
        """Take in what the model told of a picture of this camera, with its depth."""
        if fov_deg is None or not self.begun:
            return
        self._fovs_deg.append(_bounded(fov_deg))
        median_deg = float(np.median(self._fovs_deg))
        if abs(_tangent(self._told_deg) / _tangent(median_deg) - 1.0) > _MOVED:
            self._told_deg = median_deg


def _bounded(fov_deg: float) -> float:
    return min(fov_deg, _WIDEST_DEG)


def _tangent(fov_deg: float) -> float:
    return math.tan(math.radians(fov_deg) / 2)
