"""What the node publishes of a camera, and what of it anybody wants."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import NamedTuple

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import Header

from depth_ros.cameras.camera_names import camera_topic
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.colorize import colorize_depth
from depth_ros.messages.poses import matrix_to_quaternion
from depth_ros.motion.body_odometry import body_odometry
from depth_ros.motion.mounting import Mounting
from depth_ros.pipeline import DepthEstimate, Estimate, Wanted
from depth_ros.point_cloud import XYZRGB_STEP, PointCloudWriter
from depth_ros.ros.buffers import CloudBuffer, ImageBuffer
from depth_ros.ros.transforms import TransformBroadcaster

_DEPTH = 5
"""Messages kept for a reliable reader that is behind."""

_LISTENED_S = 0.1
"""So long who listened is taken for who listens."""

_CLOUD_FIELDS = [
    PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
    for index, name in enumerate(('x', 'y', 'z', 'rgb'))
]


class Audience(NamedTuple):
    """Which topics somebody listens to."""

    depth: bool
    info: bool
    color: bool
    confidence: bool
    points: bool
    egomotion: bool

    @property
    def of_depth(self) -> bool:
        """Whether anybody wants depth or what is made of it."""
        return self.depth or self.info or self.color or self.points

    @property
    def wanted(self) -> Wanted:
        """What is to be computed for it."""
        return Wanted(self.egomotion, self.confidence, self.points)


class Outputs:
    """The publishers of one camera; one thread publishes.

    Topics, relative to the node's namespace and below the camera's name, each with stamp and frame
    of its image:
        depth/image       32FC1, metres along the optical axis, NaN where unknown (REP 117, 118)
        depth/camera_info of the pixels of depth/image, without distortion
        depth/color       bgr8, a picture for people
        confidence/image  32FC1, 0 to 1
        points            organised x, y, z, rgb in the optical frame
        odom              pose and twist of the base in body axes, with covariance
    """

    def __init__(self, node: LifecycleNode, camera: str) -> None:
        """Create the publishers; they are silent until the node is active."""
        self._node = node
        self._camera = camera
        with ExitStack() as made:  # given back where a later one fails
            self._depth = self._publisher(Image, 'depth/image', made)
            self._info = self._publisher(CameraInfo, 'depth/camera_info', made)
            self._color = self._publisher(Image, 'depth/color', made)
            self._confidence = self._publisher(Image, 'confidence/image', made)
            self._points = self._publisher(PointCloud2, 'points', made)
            self._odom = self._publisher(Odometry, 'odom', made)
            self._made = made.pop_all()
        self._publishers = (  # in the order of Audience
            self._depth, self._info, self._color, self._confidence, self._points, self._odom
        )  # fmt: skip
        self._depth_buffer = ImageBuffer('32FC1', np.float32, 1)
        self._color_buffer = ImageBuffer('bgr8', np.uint8, 3)
        self._confidence_buffer = ImageBuffer('32FC1', np.float32, 1)
        self._cloud_buffer = CloudBuffer(_CLOUD_FIELDS, XYZRGB_STEP)
        self._cloud: tuple[Intrinsics, int, PointCloudWriter] | None = None
        self.look()

    def destroy(self) -> None:
        """Take the publishers away."""
        self._made.close()

    def audience(self, broadcasting: bool) -> Audience:
        """Who listens now, or did at the last `look` just before.

        Args:
            broadcasting: whether /tf is broadcast, which is wanted whoever listens.
        """
        looked_s, audience = self._looked
        if not any(audience) or time.monotonic() - looked_s > _LISTENED_S:
            audience = self.look()
        return audience._replace(egomotion=True) if broadcasting else audience

    def look(self) -> Audience:
        """See who listens: six calls into DDS, which between frames delay none."""
        audience = Audience(*(one.get_subscription_count() > 0 for one in self._publishers))
        self._looked = (time.monotonic(), audience)
        return audience

    def depth_pixels(self, height: int, width: int) -> np.ndarray:
        """Where depth [height,width] is to be written, so that it need not be copied."""
        return self._depth_buffer.pixels(height, width)

    def publish_depth(
        self, estimate: DepthEstimate, header: Header, stride: int, audience: Audience
    ) -> None:
        """Send depth and what is made of it.

        Args:
            estimate: of an image.
            header: of that image.
            stride: of the cloud.
            audience: who listened when the image was taken up.
        """
        depth = estimate.depth_m
        if audience.depth:
            self._depth.publish(self._depth_buffer.filled(header, depth))
        if audience.info:
            self._info.publish(camera_info(estimate.intrinsics, header))
        if audience.color:
            picture = colorize_depth(depth, out=self._color_buffer.pixels(*depth.shape))
            self._color.publish(self._color_buffer.filled(header, picture))
        if estimate.image is not None and audience.points:
            self._publish_cloud(estimate, header, stride)

    def publish_confidence(self, estimate: Estimate, header: Header) -> None:
        """Send the confidence of an image of that header, where there is one."""
        if estimate.confidence is not None:
            self._confidence.publish(
                self._confidence_buffer.filled(header, estimate.confidence)
            )

    def publish_odometry(
        self,
        estimate: Estimate,
        header: Header,
        odom_frame: str,
        mounting: Mounting,
        broadcaster: TransformBroadcaster | None,
    ) -> None:
        """Send the pose of the base, as a message and where asked as a transform."""
        if estimate.odometry is None:
            return
        body = body_odometry(estimate.odometry, mounting.base_T_cam)
        message = Odometry(child_frame_id=mounting.base_frame)
        message.header.stamp = header.stamp
        message.header.frame_id = odom_frame
        pose = message.pose.pose
        position = body.odom_T_base[:3, 3].tolist()
        pose.position.x, pose.position.y, pose.position.z = position
        quaternion = matrix_to_quaternion(body.odom_T_base[:3, :3])
        q = pose.orientation
        q.x, q.y, q.z, q.w = quaternion
        message.pose.covariance = body.pose_covariance.ravel()
        linear, angular = message.twist.twist.linear, message.twist.twist.angular
        linear.x, linear.y, linear.z = body.linear_velocity.tolist()
        angular.x, angular.y, angular.z = body.angular_velocity.tolist()
        message.twist.covariance = body.twist_covariance.ravel()
        self._odom.publish(message)
        if broadcaster is not None:
            broadcaster.send(message, mounting, header.frame_id)

    def _publish_cloud(self, estimate: DepthEstimate, header: Header, stride: int) -> None:
        if self._cloud is None or self._cloud[:2] != (estimate.intrinsics, stride):
            writer = PointCloudWriter(estimate.intrinsics, stride)
            self._cloud = (estimate.intrinsics, stride, writer)
        writer = self._cloud[2]
        points = self._cloud_buffer.points(header, writer.layout.height, writer.layout.width)
        writer.write(estimate.depth_m, estimate.image, points)
        self._points.publish(self._cloud_buffer.message)

    def _publisher(self, message_type: type, topic: str, made: ExitStack) -> LifecyclePublisher:
        qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=_DEPTH,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.VOLATILE,
        )
        publisher = self._node.create_lifecycle_publisher(
            message_type,
            camera_topic(self._camera, topic),
            qos,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        made.callback(self._node.destroy_lifecycle_publisher, publisher)
        return publisher


def camera_info(intrinsics: Intrinsics, header: Header) -> CameraInfo:
    """A camera without distortion, as camera_info tells it."""
    fx, fy, cx, cy = intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy
    return CameraInfo(
        header=header,
        height=intrinsics.height,
        width=intrinsics.width,
        distortion_model='plumb_bob',
        d=[0.0] * 5,
        k=[fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )
