"""A small camera that a test publishes by its peer, and what comes back as arrays."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from ros_harness import FRAME, Peer, image_message, info_message
from sensor_msgs.msg import Image

WIDTH, HEIGHT = 96, 72
SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


def textured(seed: int = 0) -> np.ndarray:
    """Noise, so that a picture is neither blind nor like another one."""
    rng = np.random.default_rng(seed)
    small = rng.integers(60, 200, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    return np.kron(small, np.ones((8, 8, 1), np.uint8))


class Camera:
    """Publishes pictures of the tiny camera, each with its camera_info."""

    def __init__(self, peer: Peer, image: str = 'image', info: str = 'camera_info') -> None:
        self._peer, self._image, self._info = peer, image, info
        self.sent = 0

    def stamp(self, index: int) -> int:
        """Of the picture of that number."""
        return START + index * SECOND // 10

    def send(self, rgb: np.ndarray | None = None, frame_id: str = FRAME) -> int:
        """One picture and its camera_info; its stamp."""
        stamp = self.stamp(self.sent)
        rgb = textured(self.sent) if rgb is None else rgb
        self.sent += 1
        height, width = rgb.shape[:2]
        self._peer.publish(self._info, info_message(width, height, stamp, frame_id=frame_id))
        self._peer.publish(self._image, image_message(rgb, stamp, frame_id))
        return stamp

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
