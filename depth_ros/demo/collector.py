"""A ROS node that takes what the depth node publishes and notes when each answer arrived."""

from __future__ import annotations

import time
from collections.abc import Set
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, PointCloud2

from depth_ros.demo.answers import Answers, Cloud
from depth_ros.messages.images import depth_to_metres
from depth_ros.messages.poses import pose_to_matrix
from depth_ros.messages.stamps import stamp_ns
from depth_ros.ros.readiness import is_loading, is_ready

_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE
)


class Collector:
    """Subscriptions to every output of the depth node; use it as a context manager."""

    def __init__(self, depth_stamps_ns: Set[int], picture_stamps_ns: Set[int]) -> None:
        """Join the ROS graph.

        Args:
            depth_stamps_ns: stamps whose depth maps and clouds are kept.
            picture_stamps_ns: stamps whose confidence is kept.
        """
        self.answers = Answers()
        self._depth_stamps_ns = depth_stamps_ns
        self._picture_stamps_ns = picture_stamps_ns
        rclpy.init()
        self._node = Node('depth_demo_collector')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        subscribe = self._node.create_subscription
        subscribe(Image, 'depth/image', self._on_depth, _QOS)
        subscribe(Image, 'confidence/image', self._on_confidence, _QOS)
        subscribe(PointCloud2, 'points', self._on_points, _QOS)
        subscribe(Odometry, 'odom', self._on_odometry, _QOS)
        subscribe(DiagnosticArray, '/diagnostics', self._on_diagnostics, _QOS)

    def __enter__(self) -> Collector:
        """Join the graph, which the constructor did."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown()

    def spin(self, seconds: float) -> None:
        """Take what arrives for so long.

        Raises:
            KeyboardInterrupt: rclpy was told to stop.
        """
        until = time.monotonic() + seconds
        try:
            while (left := until - time.monotonic()) > 0:
                self._executor.spin_once(timeout_sec=left)
        except ExternalShutdownException:
            raise KeyboardInterrupt from None

    def node_is_ready(self) -> bool:
        """Whether the depth node is active with its model loaded, by its own account."""
        return is_ready(self.answers.diagnostics)

    def node_is_loading(self) -> bool:
        """Whether the depth node is at work on its model, by its own account."""
        return is_loading(self.answers.diagnostics)

    def _on_depth(self, msg: Any) -> None:
        received_ns = time.monotonic_ns()
        stamp = stamp_ns(msg.header)
        self.answers.received_ns.setdefault(stamp, received_ns)
        self.answers.frame_ids.add(msg.header.frame_id)
        if stamp in self._depth_stamps_ns:
            self.answers.depths_m[stamp] = depth_to_metres(msg)

    def _on_confidence(self, msg: Any) -> None:
        stamp = stamp_ns(msg.header)
        if stamp in self._picture_stamps_ns:
            rows = np.frombuffer(msg.data, np.uint8).reshape(msg.height, msg.step)
            pixels = np.ascontiguousarray(rows[:, : 4 * msg.width])
            self.answers.confidences[stamp] = pixels.view(np.float32)

    def _on_points(self, msg: Any) -> None:
        stamp = stamp_ns(msg.header)
        if stamp in self._depth_stamps_ns:
            self.answers.clouds.append(_read_cloud(msg, stamp))

    def _on_odometry(self, msg: Any) -> None:
        self.answers.odom_T_base[stamp_ns(msg.header)] = pose_to_matrix(msg.pose.pose)

    def _on_diagnostics(self, msg: Any) -> None:
        for status in msg.status:
            self.answers.diagnostics = {entry.key: entry.value for entry in status.values}
            self.answers.condition = status.message


def _read_cloud(msg: Any, stamp: int) -> Cloud:
    """Known points and their colours of an xyzrgb cloud."""
    offsets = {field.name: field.offset for field in msg.fields}
    points = np.frombuffer(msg.data, np.uint8).reshape(-1, msg.point_step)

    def column(name: str, kind: type, values: int) -> np.ndarray:
        size = values * np.dtype(kind).itemsize
        part = points[:, offsets[name] : offsets[name] + size]
        return np.ascontiguousarray(part).view(kind)

    xyz = np.hstack([column(name, np.float32, 1) for name in 'xyz'])
    bgr = column('rgb', np.uint8, 3)
    known = np.isfinite(xyz).all(axis=1)
    return Cloud(stamp, xyz[known], bgr[known, ::-1])


def middleware() -> str:
    """The middleware that this process talks through."""
    return rclpy.get_rmw_implementation_identifier()
