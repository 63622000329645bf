"""A small camera that a test publishes by its peer, and what comes back as arrays."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from ros_harness import FRAME, Peer, image_message, info_message
from sensor_msgs.msg import CameraInfo, Image

from depth_ros.cameras.camera_names import camera_topic

WIDTH, HEIGHT = 96, 72
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


def textured(seed: int = 0, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Noise, so that a picture is neither blind nor like another one."""
    rng = np.random.default_rng(seed)
    small = rng.integers(60, 200, (height // 8, width // 8, 3), dtype=np.uint8)
    return np.kron(small, np.ones((8, 8, 1), np.uint8))


class Camera:
    """Publishes pictures of the tiny camera, each with its camera_info."""

    picture: np.ndarray | None = None
    """What every picture shows; None: noise, each time another."""
    calibrated = True

    def __init__(
        self,
        peer: Peer,
        name: str = '',
        size: tuple[int, int] = (WIDTH, HEIGHT),
        focal: float = 60.0,
    ) -> None:
        """A camera of a node with one or several; `name` is above its topics and in its frame."""
        self.peer = peer
        self._image, self._info = camera_topic(name, 'image'), camera_topic(name, 'camera_info')
        self._size, self._focal = size, focal
        self.frame_id = f'{name}_optical_frame' if name else FRAME
        self.sent = 0

    def stamp(self, index: int) -> int:
        """Of the picture of that number."""
        return START + index * SECOND // 10

    def send(self, rgb: np.ndarray | None = None, frame_id: str = '') -> int:
        """One picture and its camera_info; its stamp."""
        index = self.sent
        self.sent += 1
        return self.send_again(index, rgb, frame_id)

    def send_again(self, index: int, rgb: np.ndarray | None = None, frame_id: str = '') -> int:
        """The picture of a number; its stamp."""
        stamp, frame_id = self.stamp(index), frame_id or self.frame_id
        if rgb is None:
            rgb = textured(index, *self._size) if self.picture is None else self.picture
        height, width = rgb.shape[:2]
        self.peer.publish(self._info, self.info_of(width, height, stamp, frame_id))
        self.peer.publish(self._image, image_message(rgb, stamp, frame_id))
        return stamp

    def info_of(self, width: int, height: int, stamp: int, frame_id: str) -> CameraInfo:
        """What it says of itself with a picture."""
        info = info_message(width, height, stamp, self._focal, frame_id)
        if not self.calibrated:
            info.k, info.p = [0.0] * 9, [0.0] * 12
        return info

    def send_until(self, received: list, count: int = 1) -> None:
        """Pictures until so many answers have come: the first may pass before all are matched."""
        wanted = len(received) + count
        for _ in range(200):
            before = len(received)
            self.send()
            end = time.monotonic() + 0.5
            while len(received) == before and time.monotonic() < end:
                time.sleep(0.005)
            if len(received) >= wanted:
                return
        raise AssertionError(f'{len(received)} answers to {self.sent} pictures, not {wanted}')


def stamp_of(message: Any) -> int:
    """Nanoseconds of its header."""
    return message.header.stamp.sec * SECOND + message.header.stamp.nanosec


def as_array(message: Image, dtype: Any, *channels: int) -> np.ndarray:
    """Its pixels."""
    return np.frombuffer(message.data, dtype).reshape(message.height, message.width, *channels)
