"""/tf and /tf_static, where tf2_msgs is installed: a ROS install has it, the wheels do not."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterable
from typing import Any

from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
from rclpy.exceptions import InvalidHandle
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription

from depth_ros.errors import ConfigError
from depth_ros.messages.poses import matrix_to_quaternion
from depth_ros.motion.mounting import Mounting

_DEPTH = 100
"""As tf2 has it."""


def tf_message_type() -> type | None:
    """tf2_msgs/TFMessage; None where it is not installed."""
    try:
        return importlib.import_module('tf2_msgs.msg').TFMessage
    except ImportError:
        return None


def require_tf() -> type:
    """tf2_msgs/TFMessage.

    Raises:
        ConfigError: it is not installed.
    """
    message_type = tf_message_type()
    if message_type is None:
        raise ConfigError(
            'publish_tf needs tf2_msgs, which is not installed (apt-get install '
            'ros-$ROS_DISTRO-tf2-msgs); odom is published without it'
        )
    return message_type


class TransformBroadcaster:
    """Publishes the odometry on /tf."""

    def __init__(self, node: LifecycleNode) -> None:
        """Create the publisher.

        Raises:
            ConfigError: tf2_msgs is not installed.
        """
        self._message_type = require_tf()
        self._node = node
        self._publisher = node.create_publisher(
            self._message_type,
            '/tf',
            QoSProfile(depth=_DEPTH),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )

    def send(self, odometry: Odometry, mounting: Mounting, camera_frame: str) -> None:
        """Broadcast odom_frame to base_frame, unless that has a place in /tf_static.

        A camera that nobody else places on it is joined to it too, so that clouds have a place in
        odom_frame. Once it is destroyed nothing is sent: an image may have been taken up before.
        """
        if mounting.frame_above is not None:
            return
        transform = TransformStamped(header=odometry.header)
        transform.child_frame_id = mounting.base_frame
        position = odometry.pose.pose.position
        translation = transform.transform.translation
        translation.x, translation.y, translation.z = position.x, position.y, position.z
        transform.transform.rotation = odometry.pose.pose.orientation
        transforms = [transform]
        if mounting.joins_camera:
            optical = TransformStamped(child_frame_id=camera_frame)
            optical.header.stamp = odometry.header.stamp
            optical.header.frame_id = mounting.base_frame
            translation, q = optical.transform.translation, optical.transform.rotation
            translation.x, translation.y, translation.z = mounting.base_T_cam[:3, 3].tolist()
            q.x, q.y, q.z, q.w = matrix_to_quaternion(mounting.base_T_cam[:3, :3])
            transforms.append(optical)
        with contextlib.suppress(InvalidHandle):
            self._publisher.publish(self._message_type(transforms=transforms))

    def destroy(self) -> None:
        """Take the publisher away."""
        self._node.destroy_publisher(self._publisher)


def listen_to_static_transforms(
    node: LifecycleNode, store: Callable[[Iterable[TransformStamped]], None]
) -> Subscription | None:
    """Subscribe to /tf_static; None where tf2_msgs is not installed."""
    message_type = tf_message_type()
    if message_type is None:
        return None

    def receive(message: Any) -> None:
        store(message.transforms)

    return node.create_subscription(
        message_type,
        '/tf_static',
        receive,
        QoSProfile(depth=_DEPTH, durability=DurabilityPolicy.TRANSIENT_LOCAL),
        qos_overriding_options=QoSOverridingOptions.with_default_policies(),
    )
