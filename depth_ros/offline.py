"""Frames of recordings as the pipeline takes them, for everything that does not run live."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from depth_ros.bags import BagFrame
from depth_ros.camera import CameraModel, Rectifier, RectifyMode
from depth_ros.pipeline import Frame


def rectified(frames: Iterable[BagFrame], mode: RectifyMode, image_topic: str) -> Iterator[Frame]:
    """Yield each frame of a bag rectified, as the node does it with live images.

    Raises:
        CameraError: the camera is uncalibrated, or its model is not supported.
    """
    camera: CameraModel | None = None
    for frame in frames:
        if frame.camera != camera:
            camera = frame.camera
            rectifier = Rectifier(camera, mode, image_topic)
        yield Frame(frame.stamp_ns, rectifier(frame.image), rectifier.intrinsics, frame.frame_id)
