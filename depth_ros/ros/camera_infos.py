"""Which camera_info belongs to an image."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from depth_ros.camera import CameraModel
from depth_ros.errors import CameraError
from depth_ros.messages import stamp_ns

_REMEMBERED = 8
"""Stamps kept: camera_info and image of one exposure arrive within a few frames."""


class CameraInfos:
    """The latest camera_info messages; stored by one thread, asked by another.

    An image gets the camera_info of its own stamp, else the latest one of its size and frame,
    so that latched or slow camera_info works as well as one for each image. Nothing waits.
    """

    def __init__(self) -> None:
        """Start without any."""
        self._lock = threading.Lock()
        self._by_stamp: OrderedDict[int, Any] = OrderedDict()
        self._latest: OrderedDict[tuple[str, int, int], Any] = OrderedDict()
        self._read: tuple[Any, CameraModel] | None = None

    def store(self, info: Any, stamp: int | None = None) -> None:
        """Remember a sensor_msgs/CameraInfo.

        Args:
            info: the message, not to be changed any more.
            stamp: where the message differs from an earlier one in its stamp alone, this [ns] and
                the earlier one: it is read once.
        """
        stamp = stamp_ns(info.header) if stamp is None else stamp
        key = (info.header.frame_id, int(info.width), int(info.height))
        with self._lock:
            self._by_stamp[stamp] = info
            self._latest[key] = info
            self._latest.move_to_end(key)
            for remembered in (self._by_stamp, self._latest):
                if len(remembered) > _REMEMBERED:
                    remembered.popitem(last=False)

    def match(self, stamp: int, frame_id: str, width: int, height: int) -> CameraModel:
        """The camera of an image.

        Args:
            stamp: of the image [ns].
            frame_id: of the image; a camera_info without one fits any image.
            width: of the image [pixels].
            height: of the image [pixels].

        Raises:
            CameraError: there is no camera_info at all, none of this size and frame, or it makes
                no sense.
        """
        with self._lock:
            same_stamp = self._by_stamp.get(stamp)
            known = list(self._latest.values())
        candidates = ([] if same_stamp is None else [same_stamp]) + known[::-1]
        if not candidates:
            raise CameraError('no camera_info has arrived')
        senseless: CameraError | None = None
        for info in candidates:
            if info.header.frame_id not in ('', frame_id):
                continue
            try:
                camera = self._camera_of(info)
            except CameraError as error:
                if info is same_stamp or (info.width, info.height) == (width, height):
                    raise
                senseless = senseless or error
                continue
            if (camera.width, camera.height) == (width, height):
                return camera
        if senseless is not None:
            raise senseless
        newest = known[-1]
        raise CameraError(
            f'image is {width}x{height} in frame {frame_id!r}, but camera_info is for '
            f'{newest.width}x{newest.height} in frame {newest.header.frame_id!r}'
        )

    def _camera_of(self, info: Any) -> CameraModel:
        """What a message says; the last answer is kept."""
        if self._read is None or self._read[0] is not info:
            self._read = info, CameraModel.from_info(info)
        return self._read[1]

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._by_stamp.clear()
            self._latest.clear()
