"""What is measured: sizes of pictures, and what of the node's outputs is subscribed to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nav_msgs.msg import Odometry
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.model_folder.spec import ModelSpec
from depth_ros.pipeline.estimate import OutputSize
from depth_ros.pipeline.grids import NetworkGrid
from depth_ros.pipeline.view import View

_FOCAL = 0.8
"""Of the width."""

BEST_EFFORT = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT
)
"""Of the depth node's image subscription."""
RELIABLE = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.RELIABLE
)
"""Of its outputs."""


@dataclass(frozen=True)
class Topic:
    """One output of the depth node."""

    name: str
    type: Any
    pixel_bytes: int
    """Data of one pixel; 0: it is small whatever the picture."""


TOPICS = (
    Topic('depth/image', Image, 4),
    Topic('depth/camera_info', CameraInfo, 0),
    Topic('depth/color', Image, 3),
    Topic('confidence/image', Image, 4),
    Topic('points', PointCloud2, 16),
    Topic('odom', Odometry, 0),
)
DEPTH, _, _COLOR, _, _POINTS, _ = TOPICS


@dataclass(frozen=True)
class Outputs:
    """What of the node is subscribed to, and on which pixels it is."""

    name: str
    topics: tuple[Topic, ...]
    pixels: OutputSize


OUTPUTS = (
    Outputs('depth, network size', (DEPTH,), OutputSize.NETWORK),
    Outputs('depth, camera size', (DEPTH,), OutputSize.CAMERA),
    Outputs('depth, colour picture', (DEPTH, _COLOR), OutputSize.CAMERA),
    Outputs('depth, cloud', (DEPTH, _POINTS), OutputSize.CAMERA),
    Outputs('all, with egomotion', TOPICS, OutputSize.CAMERA),
)


@dataclass(frozen=True)
class Case:
    """Pictures of one size, and what is wanted of them."""

    width: int
    height: int
    outputs: Outputs

    @property
    def name(self) -> str:
        """For tables."""
        return f'{self.width}x{self.height} {self.outputs.name}'

    @property
    def camera(self) -> Intrinsics:
        """Of the pictures."""
        focal, cx, cy = _FOCAL * self.width, (self.width - 1) / 2, (self.height - 1) / 2
        return Intrinsics(focal, focal, cx, cy, self.width, self.height)

    def answer_bytes(self, topic: Topic, spec: ModelSpec) -> int:
        """The data of the message on one of TOPICS by the node with a model."""
        pixels = self.camera
        if self.outputs.pixels is OutputSize.NETWORK:
            view = View.fit(pixels, spec.width, spec.height, spec.fit, spec.intrinsics)
            pixels = NetworkGrid(view, spec.depth_width, spec.depth_height).intrinsics
        return topic.pixel_bytes * pixels.width * pixels.height
