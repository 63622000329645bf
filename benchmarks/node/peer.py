"""The camera and the one who waits for answers: one process, hence one clock."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import rclpy
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from benchmarks.node.cases import BEST_EFFORT, DEPTH, RELIABLE, Topic
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.errors import DepthRosError
from depth_ros.ros.outputs import camera_info
from depth_ros.ros.receiving import Receiving
from depth_ros.ros.serialized import header_stamp_ns

_FRAME = 'camera_optical_frame'
_PICTURES = 8
_PAN = 4
"""Pixels between two pictures."""
_RETRY_S = 2.0
_CALL_S = 60.0
_NS = 1_000_000_000


class Peer:
    """Talks to the nodes that are measured."""

    def __init__(self) -> None:
        """Join the network; rclpy is initialised."""
        self.node = rclpy.create_node('peer')
        # Apart, so that waiting for a service does not take what the receiver waits for.
        self._caller = rclpy.create_node('caller')

    def set_parameter(self, node: str, name: str, value: Any) -> None:
        """Set a parameter of another node.

        Raises:
            DepthRosError: it is refused, or the node does not answer.
        """
        client = self._caller.create_client(SetParameters, f'{node}/set_parameters')
        try:
            if not client.wait_for_service(_CALL_S):
                raise DepthRosError(f'{node} does not answer')
            message = Parameter(name, value=value).to_parameter_msg()
            request, answer = SetParameters.Request(parameters=[message]), None
            end = time.monotonic() + _CALL_S
            while answer is None and time.monotonic() < end:
                # Again and again: a server may answer before it has discovered who asks.
                future = client.call_async(request)
                rclpy.spin_until_future_complete(self._caller, future, timeout_sec=_RETRY_S)
                answer = future.result()
            if answer is None or not answer.results[0].successful:
                raise DepthRosError(f'{node} does not take {name} = {value}: {answer}')
        finally:
            self._caller.destroy_client(client)

    def close(self) -> None:
        """Leave the network."""
        self._caller.destroy_node()
        self.node.destroy_node()


class Camera:
    """Publishes pictures that pan to and fro over noise, each followed by its camera_info."""

    def __init__(self, peer: Peer, namespace: str, camera: Intrinsics) -> None:
        """Serialise the pictures beforehand: a driver has its own in memory too."""
        self._node = peer.node
        self._image = peer.node.create_publisher(Image, f'{namespace}/image', BEST_EFFORT)
        self._info = peer.node.create_publisher(
            CameraInfo, f'{namespace}/camera_info', BEST_EFFORT
        )
        self._images = [
            bytearray(serialize_message(_image(picture)))
            for picture in _pictures(camera.width, camera.height)
        ]
        info = camera_info(camera, Header(frame_id=_FRAME))
        self._info_bytes = bytearray(serialize_message(info))
        self._sent = 0

    def send(self) -> tuple[int, int]:
        """One picture: its stamp and when it was published, by time.monotonic_ns."""
        image = self._images[self._sent % len(self._images)]
        self._sent += 1
        stamp = time.time_ns()
        for message in (image, self._info_bytes):
            struct.pack_into('<iI', message, 4, *divmod(stamp, _NS))
        image_bytes, info_bytes = bytes(image), bytes(self._info_bytes)
        published = time.monotonic_ns()
        self._image.publish(image_bytes)
        self._info.publish(info_bytes)
        return stamp, published

    def close(self) -> None:
        """Take the publishers away."""
        self._node.destroy_publisher(self._image)
        self._node.destroy_publisher(self._info)


class Receiver:
    """Notes when the depth and the last of a picture's answers are there; messages stay bytes."""

    def __init__(self, peer: Peer, namespace: str, topics: Sequence[Topic]) -> None:
        """Subscribe."""
        self._node = peer.node
        self._expected = len(topics)
        self._seen: dict[int, int] = {}
        self.complete_ns: dict[int, int] = {}
        """By stamp."""
        self.depth_ns: dict[int, int] = {}
        """When the depth image was there, by stamp."""
        self.data_bytes = dict.fromkeys((topic.name for topic in topics), 0)
        self._subscriptions = [
            peer.node.create_subscription(
                topic.type, f'{namespace}/{topic.name}', partial(self._on, topic.name), RELIABLE,
                raw=True,
            )
            for topic in topics
        ]  # fmt: skip
        self._receiving = Receiving('receiver', peer.node.context, self._subscriptions)

    def _on(self, name: str, data: bytes) -> None:
        now = time.monotonic_ns()
        self.data_bytes[name] = len(data)
        stamp = header_stamp_ns(data)
        if name == DEPTH.name:
            self.depth_ns[stamp] = now
        seen = self._seen[stamp] = self._seen.get(stamp, 0) + 1
        if seen == self._expected:
            self.complete_ns[stamp] = now

    def close(self) -> None:
        """Unsubscribe."""
        self._receiving.stop()
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)


def _pictures(width: int, height: int) -> list[np.ndarray]:
    """uint8 [height,width,3] each."""
    rng = np.random.default_rng(0)
    cells = rng.integers(40, 216, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
    wall = np.kron(cells, np.ones((16, 16, 1), np.uint8))[:height, :width]
    there = [np.roll(wall, _PAN * step, axis=1) for step in range(_PICTURES)]
    return there + there[-2:0:-1]


def _image(picture: np.ndarray) -> Image:
    height, width = picture.shape[:2]
    message = Image(height=height, width=width, encoding='rgb8', step=3 * width)
    message.header.frame_id = _FRAME
    message.data.frombytes(picture.tobytes())
    return message
