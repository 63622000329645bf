"""What the node receives: images and camera_info, on a thread that only stores them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from depth_ros.parameters import ImageTransport
from depth_ros.ros.camera_infos import CameraInfos


@dataclass(frozen=True)
class Arrival:
    """An image message and when it came."""

    message: Any
    """sensor_msgs/Image or CompressedImage."""
    arrived_s: float
    """By time.monotonic()."""


@dataclass(frozen=True)
class Silence:
    """How long nothing has come."""

    image_s: float
    """Since the last image, or since the inputs were opened."""
    infos_since_image: int
    """camera_info messages in that time."""


def image_topic(node: LifecycleNode, transport: ImageTransport) -> str:
    """The full name of the topic that images come on.

    As with image_transport, remapping `image` moves the compressed topic below it too.
    """
    base = node.resolve_topic_name('image')
    return base if transport is ImageTransport.RAW else f'{base}/compressed'


class Inputs:
    """The subscriptions of an active node; an inactive one receives nothing.

    Best effort matches every publisher; images are kept one deep, since only the newest counts.
    """

    def __init__(
        self,
        node: LifecycleNode,
        transport: ImageTransport,
        infos: CameraInfos,
        take_image: Callable[[Arrival], None],
        group: CallbackGroup,
    ) -> None:
        """Subscribe.

        Args:
            node: subscribes.
            transport: raw or compressed images.
            infos: where camera_info is stored.
            take_image: where images are stored.
            group: of the callbacks.
        """
        self._node = node
        self._infos = infos
        self._take_image = take_image
        self._last_image_s = time.monotonic()
        self._infos_since_image = 0
        self.image_topic = image_topic(node, transport)
        image_type = Image if transport is ImageTransport.RAW else CompressedImage
        self._subscriptions = [
            node.create_subscription(
                message_type,
                topic,
                callback,
                _sensor_qos(depth),
                callback_group=group,
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            for message_type, topic, callback, depth in (
                (image_type, self.image_topic, self._on_image, 1),
                (CameraInfo, 'camera_info', self._on_info, 5),
            )
        ]

    @property
    def info_topic(self) -> str:
        """The full name of the topic that camera_info comes on."""
        return self._node.resolve_topic_name('camera_info')

    @property
    def publishers(self) -> int:
        """Publishers of the image topic."""
        return self._node.count_publishers(self.image_topic)

    def silence(self) -> Silence:
        """How long no image has come."""
        return Silence(time.monotonic() - self._last_image_s, self._infos_since_image)

    def destroy(self) -> None:
        """Unsubscribe."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _on_image(self, message: Any) -> None:
        self._last_image_s = time.monotonic()
        self._infos_since_image = 0
        self._take_image(Arrival(message, self._last_image_s))

    def _on_info(self, message: CameraInfo) -> None:
        self._infos_since_image += 1
        self._infos.store(message)


def _sensor_qos(depth: int) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.VOLATILE,
    )
