"""What a track knows of its camera."""

from __future__ import annotations

import numpy as np

from depth_ros.errors import CameraError
from depth_ros.motion.refinement import MotionRefiner
from depth_ros.pipeline.confidence import ReprojectionConfidence
from depth_ros.pipeline.depth_pipeline import DepthPipeline, Frame
from depth_ros.pipeline.estimate import OutputSize
from depth_ros.pipeline.grids import CameraGrid, Grid, NetworkGrid, blanked
from depth_ros.pipeline.steady_scale import SteadyScale


class TrackCamera:
    """What follows from a camera's intrinsics and from which pixels it sees, made once.

    view: from the camera's image to the network's and back. grids: the pixels that depth may be
    asked for. shown: slices of the network's depth that show the camera's image. rays: [h,w,2]
    (x, y) at z = 1 of those pixels. reprojection, steady, refiner: what judges depth, steadies
    its scale and refines motions.
    """

    def __init__(self, pipeline: DepthPipeline, frame: Frame) -> None:
        """Prepare for a frame and those like it.

        Raises:
            CameraError: what is seen of the image is not of its size.
        """
        seen, size = frame.seen, (frame.intrinsics.height, frame.intrinsics.width)
        if seen is not None and seen.shape != size:
            raise CameraError(
                f'seen of shape {seen.shape} does not fit a camera of {size[1]} x {size[0]} '
                f'pixels; allowed: {size}'
            )
        self._seen = seen
        self.intrinsics = frame.intrinsics
        self.frame_id = frame.frame_id
        spec = pipeline.spec
        view = self.view = pipeline.view_of(frame.intrinsics)
        self.grids: dict[OutputSize, Grid] = {
            OutputSize.CAMERA: CameraGrid(view, seen),
            OutputSize.NETWORK: NetworkGrid(view, spec.depth_width, spec.depth_height, seen),
        }
        window = view.visible_window(spec.depth_width, spec.depth_height)
        self.shown = window.slices
        intrinsics = view.grid_intrinsics(spec.depth_width, spec.depth_height)
        self.rays = intrinsics.rays()[window.slices]
        self.reprojection = ReprojectionConfidence(view.network_intrinsics)
        self.steady = SteadyScale(self.rays)
        self.refiner = MotionRefiner(view.network_intrinsics, view.visible)
        self._unseen: np.ndarray | None = None
        if seen is not None:
            self._unseen = view.unseen_cells(seen, spec.depth_width, spec.depth_height)

    def took(self, frame: Frame) -> bool:
        """Whether a frame is of this camera, as it was."""
        return (
            self.intrinsics == frame.intrinsics
            and self.frame_id == frame.frame_id
            and _same(self._seen, frame.seen)
        )

    def of_the_world(self, depth: np.ndarray) -> np.ndarray:
        """The network's depth, NaN where the camera saw nothing; itself where it saw all."""
        return depth if self._unseen is None else blanked(depth.copy(), self._unseen)


def _same(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    if one is other:
        return True
    return one is not None and other is not None and np.array_equal(one, other)
