"""Which camera_info belongs to an image; live and in bags alike."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from depth_ros.cameras.camera_model import CameraModel
from depth_ros.errors import CameraError
from depth_ros.messages.stamps import stamp_ns

_STAMPS = 64
"""Kept: camera_info and image of one exposure come within a few frames."""
_KINDS = 8
"""Frames and sizes kept."""


class CameraInfos:
    """The latest camera_info messages; stored by one thread, asked by another.

    An image gets the camera_info of its own stamp and frame, else the latest one of its size and
    frame, so that latched or slow camera_info works as well as one for each image. Where none has
    the image's frame, those of the only other frame serve: drivers stamp the two differently, and
    image_proc does not compare them. Where there are several other frames, cameras share the
    topic, and none is taken for another. Nothing waits.
    """

    def __init__(self) -> None:
        """Start without any."""
        self._lock = threading.Lock()
        self._by_stamp: OrderedDict[tuple[int, str], _Told] = OrderedDict()
        self._latest: OrderedDict[tuple[str, int, int], _Told] = OrderedDict()
        self._newest_ns = -1

    @property
    def has_any(self) -> bool:
        """Whether there is one."""
        return bool(self._latest)

    def store(self, info: Any, stamp: int | None = None) -> None:
        """Remember a sensor_msgs/CameraInfo.

        Args:
            info: the message, not to be changed any more.
            stamp: where the message differs from an earlier one in its stamp alone, this [ns] and
                the earlier one: it is read once.
        """
        stamp = stamp_ns(info.header) if stamp is None else stamp
        frame_id = info.header.frame_id
        key = (frame_id, int(info.width), int(info.height))
        with self._lock:
            told = self._latest.get(key)
            if told is None or told.info is not info:
                told = _Told(info)
            self._newest_ns = max(self._newest_ns, stamp)
            self._by_stamp[stamp, frame_id] = self._latest[key] = told
            self._latest.move_to_end(key)
            if len(self._by_stamp) > _STAMPS:
                self._by_stamp.popitem(last=False)
            if len(self._latest) > _KINDS:
                self._latest.popitem(last=False)

    def is_settled(self, stamp: int, frame_id: str) -> bool:
        """Whether waiting brings nothing better for an image of a stamp [ns] and frame."""
        with self._lock:
            if self._of_stamp(stamp, frame_id) is not None:
                return True
            fits = any(told.fits(frame_id) for told in self._latest.values())
            return fits and self._newest_ns > stamp

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
            same_stamp = self._of_stamp(stamp, frame_id)  # of each image where all is well
            if same_stamp is not None:
                camera = same_stamp.camera
                if (camera.width, camera.height) == (width, height):
                    return camera
            known = list(self._latest.values())[::-1]
            fitting = [told for told in known if told.fits(frame_id)]
            frames = {told.frame_id for told in known}
            if not fitting and len(frames) == 1:
                of_stamp = self._of_stamp(stamp, *frames)
                fitting = known if of_stamp is None else [of_stamp, *known]
        senseless: CameraError | None = None
        for told in fitting:
            try:
                camera = told.camera
            except CameraError as error:
                if (told.info.width, told.info.height) == (width, height):
                    raise
                senseless = senseless or error
                continue
            if (camera.width, camera.height) == (width, height):
                return camera
        if senseless is not None:
            raise senseless
        if not known:
            raise CameraError('there is no camera_info')
        there = ', '.join(
            f'{told.info.width}x{told.info.height} in frame {told.frame_id!r}' for told in known
        )
        raise CameraError(
            f'image is {width}x{height} in frame {frame_id!r}, but camera_info is for {there}'
        )

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._by_stamp.clear()
            self._latest.clear()
            self._newest_ns = -1

    def _of_stamp(self, stamp: int, frame_id: str) -> _Told | None:
        return self._by_stamp.get((stamp, frame_id)) or self._by_stamp.get((stamp, ''))


class _Told:
    """A camera_info, read where it is asked for."""

    def __init__(self, info: Any) -> None:
        self.info = info
        self.frame_id: str = info.header.frame_id
        self._camera: CameraModel | None = None

    def fits(self, frame_id: str) -> bool:
        return self.frame_id in ('', frame_id)

    @property
    def camera(self) -> CameraModel:
        """What it says; CameraError where that makes no sense."""
        if self._camera is None:
            self._camera = CameraModel.from_info(self.info)
        return self._camera
