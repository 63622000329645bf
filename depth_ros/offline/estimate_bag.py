"""Estimates as the messages of a bag: the node's topics and axes, with the transforms between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depth_ros.bags import BagWriter
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.messages import bag_messages
from depth_ros.messages.bag_messages import PointField, Twist
from depth_ros.motion.body_odometry import DEFAULT_BASE_T_CAM, body_odometry
from depth_ros.motion.egomotion import OdometryState
from depth_ros.pipeline import Estimate
from depth_ros.point_cloud import PointCloudWriter

ODOM_FRAME, BASE_FRAME = 'odom', 'base_link'
_FLOAT32 = 7
_CLOUD_FIELDS = tuple(PointField(name, offset, _FLOAT32)
                      for name, offset in (('x', 0), ('y', 4), ('z', 8), ('rgb', 12)))


@dataclass(frozen=True)
class Contents:
    """What is written besides depth, its camera_info and odometry."""

    points: bool = False
    """Organised clouds /points, coloured by the image."""
    images: bool = False
    """The rectified image on the pixels of the depth, JPEG."""
    confidence: bool = False
    """/confidence/image, of the frames that can be judged."""


class EstimateWriter:
    """Writes estimates of one camera to an open bag.

    /depth/image (32FC1, metres, NaN unknown), /depth/camera_info, and where the model knows
    egomotion /odom and /tf of a body whose origin is the camera (x forward, y left, z up), with
    /tf_static from it to the camera's optical frame.
    """

    def __init__(self, bag: BagWriter, contents: Contents) -> None:
        """Write to `bag`, which stays open."""
        self._bag = bag
        self._contents = contents
        self._mounted = False
        self._cloud: tuple[Intrinsics, PointCloudWriter] | None = None

    def write(self, estimate: Estimate) -> None:
        """Write one estimate; it needs its image where points or images are wanted."""
        stamp, frame = estimate.stamp_ns, estimate.frame_id
        self._bag.write('/depth/image', bag_messages.IMAGE, stamp,
                        bag_messages.image(stamp, frame, estimate.depth_m, '32FC1'))
        self._bag.write('/depth/camera_info', bag_messages.CAMERA_INFO, stamp,
                        bag_messages.camera_info(stamp, frame, estimate.intrinsics))
        if estimate.confidence is not None and self._contents.confidence:
            self._bag.write('/confidence/image', bag_messages.IMAGE, stamp,
                            bag_messages.image(stamp, frame, estimate.confidence, '32FC1'))
        if estimate.odometry is not None:
            self._write_odometry(estimate.odometry, frame)
        if estimate.image is not None and self._contents.images:
            self._bag.write('/image_rect/compressed', bag_messages.COMPRESSED_IMAGE, stamp,
                            bag_messages.compressed_image(stamp, frame, estimate.image))
        if estimate.image is not None and self._contents.points:
            self._write_points(estimate, estimate.image)

    def _write_odometry(self, state: OdometryState, camera_frame: str) -> None:
        stamp = state.stamp_ns
        body = body_odometry(state)
        if not self._mounted:
            self._bag.write('/tf_static', bag_messages.TRANSFORMS, stamp, bag_messages.transform(
                stamp, BASE_FRAME, camera_frame, DEFAULT_BASE_T_CAM))
            self._mounted = True
        self._bag.write('/tf', bag_messages.TRANSFORMS, stamp, bag_messages.transform(
            stamp, ODOM_FRAME, BASE_FRAME, body.odom_T_base))
        self._bag.write('/odom', bag_messages.ODOMETRY, stamp, bag_messages.odometry(
            stamp, ODOM_FRAME, BASE_FRAME, body.odom_T_base, body.pose_covariance,
            Twist(body.linear_velocity, body.angular_velocity, body.twist_covariance)))

    def _write_points(self, estimate: Estimate, image: np.ndarray) -> None:
        if self._cloud is None or self._cloud[0] != estimate.intrinsics:
            self._cloud = estimate.intrinsics, PointCloudWriter(estimate.intrinsics)
        writer = self._cloud[1]
        layout = writer.layout
        points = np.empty((layout.height, layout.width, layout.point_step), np.uint8)
        writer.write(estimate.depth_m, image, points)
        self._bag.write('/points', bag_messages.POINT_CLOUD, estimate.stamp_ns,
                        bag_messages.point_cloud(estimate.stamp_ns, estimate.frame_id, points,
                                                 _CLOUD_FIELDS, is_dense=False))
