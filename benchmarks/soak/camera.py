"""A camera that publishes pictures all the time, and does what it is told meanwhile."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

import cv2
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

from benchmarks.fault_messages import NSEC, image_message, info_message, stamped
from benchmarks.soak.scene import Scene

FRAME_ID = 'camera_optical_frame'
_START_NS = 1_700_000_000 * NSEC
_REMEMBERED = 1000
"""Pictures whose answers may still come."""
_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)


@dataclass(frozen=True)
class Sent:
    """One good picture on its way."""

    number: int
    at_s: float
    """By time.monotonic(), before publishing."""
    picture: int
    """Its place in the scene."""
    shrunk: bool


class Camera:
    """Publishes a scene forth and back on a thread of its own; use it as a context manager."""

    def __init__(self, node: Node, scene: Scene, rate_hz: float) -> None:
        """Prepare to publish on image and camera_info."""
        self.rate_hz = self.usual_rate_hz = rate_hz
        self.shrunk = False
        """Whether pictures have half the size just now."""
        self.count = 0
        """Good pictures so far."""
        self._images = node.create_publisher(Image, 'image', _QOS)
        self._infos = node.create_publisher(CameraInfo, 'camera_info', _QOS)
        self._messages = {shrunk: _messages(scene, shrunk) for shrunk in (False, True)}
        self._stamp_ns = _START_NS
        self._jump_ns = 0
        self._repeat = False
        self._sent: OrderedDict[int, Sent] = OrderedDict()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name='camera')

    def __enter__(self) -> Camera:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._ended.set()
        self._thread.join()

    def jump(self, seconds: float) -> None:
        """Let the stamps jump once."""
        with self._lock:
            self._jump_ns += round(seconds * NSEC)

    def repeat_stamps(self, repeat: bool) -> None:
        """Give every picture the same stamp, or go on."""
        self._repeat = repeat

    def sent(self, stamp_ns: int) -> Sent | None:
        """The newest picture of a stamp, while it is remembered."""
        with self._lock:
            return self._sent.get(stamp_ns)

    def good_image(self) -> Image:
        """The next picture, not sent; belongs to the caller."""
        image, _ = self._next(count=False)
        return image

    def good_info(self) -> CameraInfo:
        """Its calibration, not sent; belongs to the caller."""
        _, info = self._next(count=False)
        return info

    def send(self, image: Image | None, info: CameraInfo | None) -> None:
        """Publish between the others what is no good picture."""
        if info is not None:
            self._infos.publish(info)
        if image is not None:
            self._images.publish(image)

    def _work(self) -> None:
        due = time.monotonic()
        while not self._ended.is_set():
            image, info = self._next(count=True)
            self._infos.publish(info)
            self._images.publish(image)
            due = max(due + 1.0 / self.rate_hz, time.monotonic())
            self._ended.wait(max(0.0, due - time.monotonic()))

    def _next(self, count: bool) -> tuple[Image, CameraInfo]:
        with self._lock:
            shrunk = self.shrunk
            images, infos = self._messages[shrunk]
            place = self.count % (2 * len(images) - 2)
            picture = min(place, 2 * len(images) - 2 - place)
            period_ns = 0 if self._repeat else round(NSEC / self.usual_rate_hz)
            stamp_ns = self._stamp_ns + period_ns + self._jump_ns
            if count:
                self._stamp_ns, self._jump_ns = stamp_ns, 0
                self.count += 1
                self._sent[stamp_ns] = Sent(self.count, time.monotonic(), picture, shrunk)
                self._sent.move_to_end(stamp_ns)
                if len(self._sent) > _REMEMBERED:
                    self._sent.popitem(last=False)
                return stamped(images[picture], stamp_ns), stamped(infos[picture], stamp_ns)
        # Of its own arrays: the other messages are the camera thread's.
        image, info = images[picture], infos[picture]
        own = Image(height=image.height, width=image.width, encoding=image.encoding,
                    step=image.step, data=image.data[:])
        return (
            stamped(own, stamp_ns, FRAME_ID),
            info_message(info.width, info.height, stamp_ns, float(info.k[0]), FRAME_ID),
        )


def _messages(scene: Scene, shrunk: bool) -> tuple[list[Image], list[CameraInfo]]:
    """A message of each picture, at half the size if asked."""
    camera = scene.camera
    if shrunk:
        camera = camera.scaled(camera.width // 2, camera.height // 2)
    size = camera.width, camera.height
    images = [
        image_message(
            cv2.resize(picture.rgb, size, interpolation=cv2.INTER_AREA), _START_NS, FRAME_ID
        )
        for picture in scene.pictures
    ]
    infos = [info_message(*size, _START_NS, camera.fx, FRAME_ID) for _ in images]
    return images, infos
