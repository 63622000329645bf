"""Takes every output of the depth node, and checks and times the depth."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from benchmarks.soak.camera import Camera
from benchmarks.soak.scene import Scene
from benchmarks.soak.verdict import Tally, Timed
from depth_ros.messages.stamps import stamp_ns

OUTPUTS: tuple[tuple[type, str], ...] = (
    (Image, 'depth/image'),
    (CameraInfo, 'depth/camera_info'),
    (Image, 'depth/color'),
    (Image, 'confidence/image'),
    (PointCloud2, 'points'),
    (Odometry, 'odom'),
)
QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)


class Listener:
    """Subscriptions that can be given up and taken again; callbacks on one executor thread."""

    def __init__(self, node: Node, camera: Camera, scene: Scene) -> None:
        """Subscribe to everything."""
        self.calm = False
        """Whether there was no fault for a moment: answers are timed and checked only then."""
        self.timed: list[Timed] = []
        """Every calm answer."""
        self.checked = self.wrong = 0
        self.newest = 0
        """Number of the newest picture that was answered."""
        self.tally = Tally()
        self.diagnostics: dict[str, str] = {}
        self._node = node
        self._camera = camera
        self._scene = scene
        self._subscriptions: list[Any] = []
        node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, 50)
        self.listen()

    def listen(self) -> None:
        """Subscribe to every output."""
        for message_type, topic in OUTPUTS:
            callback = self._on_depth if topic == 'depth/image' else _ignore
            self._subscriptions.append(
                self._node.create_subscription(message_type, topic, callback, QOS)
            )

    def leave(self) -> None:
        """Let nobody listen to any output."""
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())

    def _on_depth(self, message: Image) -> None:
        received_s = time.monotonic()
        sent = self._camera.sent(stamp_ns(message.header))
        if sent is None:
            return
        self.newest = max(self.newest, sent.number)
        if not self.calm or sent.shrunk:
            return
        self.timed.append(Timed(received_s, 1e3 * (received_s - sent.at_s), _yardstick_ms()))
        self.checked += 1
        depth_m = np.frombuffer(message.data, np.float32).reshape(message.height, message.width)
        self.wrong += not self._scene.pictures[sent.picture].explains(depth_m)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.diagnostics = {entry.key: entry.value for entry in status.values}
            self.tally.add(self.diagnostics)


def _yardstick_ms() -> float:
    """Milliseconds of a fixed computation, about one on a free core."""
    began_s = time.perf_counter()
    sum(range(50_000))
    return 1e3 * (time.perf_counter() - began_s)


def _ignore(_: Any) -> None:
    """Receiving is all that is wanted."""
