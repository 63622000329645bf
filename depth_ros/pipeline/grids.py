"""The pixels on which depth is given out: those of the camera, or those of the network."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np

from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.pipeline.view import View


class Grid(Protocol):
    """Brings what covers the whole network input to the pixels of the output."""

    @property
    def intrinsics(self) -> Intrinsics:
        """Of the output's pixels."""

    def depth(self, depth: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """A depth map float32 [h,w] on the pixels of `out`, or of a new one; NaN if not seen, by
        the view or by the camera."""

    def confidence(self, confidence: np.ndarray) -> np.ndarray:
        """A map float32 [h,w] as a new one on the output's pixels, NaN where not seen."""

    def image(self, image: np.ndarray, network_image: np.ndarray) -> np.ndarray:
        """The colours on the output's pixels, of the camera's and the network's picture."""


class CameraGrid:
    """The rectified camera's own pixels."""

    def __init__(self, view: View, seen: np.ndarray | None = None) -> None:
        """Give out what `view` sees of the pixels `seen`, see Frame."""
        self._view = view
        self._unseen = None if seen is None else ~seen

    @property
    def intrinsics(self) -> Intrinsics:
        """See Grid."""
        return self._view.camera

    def depth(self, depth: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """See Grid."""
        return blanked(self._view.depth_to_camera(depth, out), self._unseen)

    def confidence(self, confidence: np.ndarray) -> np.ndarray:
        """See Grid."""
        return blanked(self._view.map_to_camera(confidence), self._unseen)

    def image(self, image: np.ndarray, network_image: np.ndarray) -> np.ndarray:
        """See Grid; the camera's picture itself, not a copy."""
        return image


class NetworkGrid:
    """The pixels that the depth network answers, without those of padding."""

    def __init__(
        self, view: View, depth_width: int, depth_height: int, seen: np.ndarray | None = None
    ) -> None:
        """Give out depth as it comes, `depth_width` x `depth_height` over the whole input; of
        cells that show only pixels `seen`, see Frame."""
        self._size = (depth_width, depth_height)
        window = view.visible_window(depth_width, depth_height)
        self._slices = window.slices
        self._unseen = None
        if seen is not None:
            self._unseen = view.unseen_cells(seen, depth_width, depth_height)[window.slices]
        self._intrinsics = view.grid_intrinsics(depth_width, depth_height).cropped(
            window.x, window.y, window.width, window.height
        )

    @property
    def intrinsics(self) -> Intrinsics:
        """See Grid."""
        return self._intrinsics

    def depth(self, depth: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """See Grid."""
        if out is None:
            out = depth[self._slices].copy()
        else:
            np.copyto(out, depth[self._slices])
        return blanked(out, self._unseen)

    def confidence(self, confidence: np.ndarray) -> np.ndarray:
        """See Grid."""
        resized = cv2.resize(confidence, self._size, interpolation=cv2.INTER_LINEAR)
        return blanked(resized[self._slices].copy(), self._unseen)

    def image(self, image: np.ndarray, network_image: np.ndarray) -> np.ndarray:
        """See Grid."""
        if network_image.shape[1::-1] != self._size:
            network_image = cv2.resize(network_image, self._size, interpolation=cv2.INTER_AREA)
        return network_image[self._slices].copy()


def blanked(values: np.ndarray, unseen: np.ndarray | None) -> np.ndarray:
    """Values float32 [h,w], set to NaN where bool [h,w] says so; None: nowhere."""
    if unseen is not None:
        values[unseen] = np.nan
    return values
