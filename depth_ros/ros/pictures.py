"""From an image message to a picture that a network may see: decoded, calibrated, rectified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from sensor_msgs.msg import CompressedImage

from depth_ros.cameras.camera_model import CameraModel
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.cameras.rectifier import Rectifier, RectifyMode
from depth_ros.errors import CameraError
from depth_ros.messages.camera_infos import CameraInfos
from depth_ros.messages.images import image_to_rgb
from depth_ros.messages.stamps import NSEC, stamp_ns
from depth_ros.parameters import NodeParameters
from depth_ros.ros.health import Level, Problem, Trouble
from depth_ros.ros.monitor import CameraMonitor
from depth_ros.ros.raw_image import RawImage


@dataclass(frozen=True)
class Picture:
    """A decoded image."""

    stamp_ns: int
    frame_id: str
    image: np.ndarray
    """uint8 [H,W,3] RGB, rectified where the camera is calibrated."""
    intrinsics: Intrinsics | None
    """None: nobody calibrated the camera, and the model is to tell its focal length."""
    seen: np.ndarray | None = None
    """See Frame."""
    calibrated_by: str = 'of camera_info'
    """Where the intrinsics come from, for people."""


class Pictures:
    """Makes pictures of the images of one camera.

    Attributes:
        without_info: whether nobody calibrates the camera, so that images do not wait for it.
    """

    def __init__(
        self,
        infos: CameraInfos,
        topic_of: Callable[[NodeParameters], str],
        missing: Callable[[], str],
        monitor: CameraMonitor,
    ) -> None:
        """Begin without images.

        Args:
            infos: what the camera says of itself.
            topic_of: the name of the images' topic, for people.
            missing: why there is no camera_info, for people.
            monitor: takes stamps that do not advance.
        """
        self.without_info = False
        self._infos = infos
        self._topic_of = topic_of
        self._missing = missing
        self._monitor = monitor
        self._rectifier: tuple[CameraModel, RectifyMode, Rectifier] | None = None
        self._last_stamp_ns: int | None = None

    def start(self) -> None:
        """Expect the first image, and camera_info with it."""
        self._last_stamp_ns = None
        self.without_info = False

    def make(self, message: RawImage | CompressedImage, parameters: NodeParameters) -> Picture:
        """The picture of an image.

        Raises:
            MessageError: the image is damaged, or of an encoding that is not known.
            CameraError: there is no camera_info for it, or none that can be used.
        """
        image = image_to_rgb(message)
        height, width = image.shape[:2]
        stamp, frame_id = stamp_ns(message.header), message.header.frame_id
        self._watch_stamp(stamp)
        if not self._infos.has_any:
            if self.without_info and parameters.allow_estimated_focal:
                return Picture(stamp, frame_id, image, None)
            raise CameraError(self._missing())
        camera = self._infos.match(stamp, frame_id, width, height)
        if not camera.calibrated and parameters.allow_estimated_focal:
            return Picture(stamp, frame_id, image, None)
        rectifier = self._rectifier_for(camera, parameters)
        picture = Picture(
            stamp, frame_id, rectifier(image), rectifier.intrinsics, rectifier.seen
        )
        if camera.frame_id not in ('', frame_id):
            told = f'of camera_info in frame {camera.frame_id!r}, of images in {frame_id!r}'
            return replace(picture, calibrated_by=told)
        return picture

    def _rectifier_for(self, camera: CameraModel, parameters: NodeParameters) -> Rectifier:
        rectify = parameters.rectify
        if self._rectifier is None or self._rectifier[:2] != (camera, rectify):
            made = Rectifier(camera, rectify, self._topic_of(parameters))
            self._rectifier = (camera, rectify, made)
        return self._rectifier[2]

    def _watch_stamp(self, stamp: int) -> None:
        """Tell of stamps that do not advance: odometry is of no use with them."""
        last, self._last_stamp_ns = self._last_stamp_ns, stamp
        if last is None or stamp > last:
            return
        how = f'is {(last - stamp) / NSEC:.3f} s before' if stamp < last else 'repeats'
        what = f'stamp {stamp / NSEC:.3f} of an image {how} that of the one before'
        cure = 'where this goes on, see that one driver publishes the topic and stamps each image'
        self._monitor.report(Trouble.STAMP, Problem(Level.WARN, what, cure))
