"""Recordings as the pipeline takes them, for everything that does not run live."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from depth_ros.bags import BagFrame, Trajectory
from depth_ros.cameras.camera_model import CameraModel
from depth_ros.cameras.lens import Lens
from depth_ros.cameras.rectifier import Rectifier, RectifyMode
from depth_ros.pipeline import CameraTrack, Frame


def rectified(
    frames: Iterable[BagFrame], mode: RectifyMode, image_topic: str, lens: Lens | None = None
) -> Iterator[Frame]:
    """Yield each frame of a bag rectified, as the node does it with live images.

    Args:
        frames: as recorded.
        mode: whether they have still to be rectified.
        image_topic: that they were recorded from.
        lens: tells the intrinsics of uncalibrated cameras; None: they are refused.

    Raises:
        CameraError: the camera is uncalibrated, or its model is not supported.
    """
    camera: CameraModel | None = None
    for frame in frames:
        if lens is not None and not frame.camera.calibrated:
            intrinsics = lens.intrinsics(frame.image)
            yield Frame(frame.stamp_ns, frame.image, intrinsics, frame.frame_id)
            continue
        if frame.camera != camera:
            camera = frame.camera
            rectifier = Rectifier(camera, mode, image_topic)
        yield Frame(
            frame.stamp_ns, rectifier(frame.image), rectifier.intrinsics, frame.frame_id,
            rectifier.seen,
        )  # fmt: skip


class OdometryFeed:
    """Recorded odometry, told to a track as the node would hear it: nothing of the future."""

    def __init__(self, odometry: Trajectory) -> None:
        """Begin before the first pose of `odometry`, which is of the camera."""
        self._odometry = odometry
        self._told = 0

    def tell(self, track: CameraTrack, until_ns: int) -> None:
        """Tell the poses up to a time that were not told yet."""
        stamps_ns = self._odometry.stamps_ns
        end = int(np.searchsorted(stamps_ns, until_ns, side='right'))
        for index in range(self._told, end):
            track.add_odometry(int(stamps_ns[index]), self._odometry.world_T_cam[index])
        self._told = max(self._told, end)
