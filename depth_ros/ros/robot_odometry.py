"""The robot's own odometry, and where a camera sits in its frame; no ROS in here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depth_ros.errors import MessageError
from depth_ros.motion.body_odometry import DEFAULT_BASE_T_CAM
from depth_ros.parameters import Extrinsics, NodeParameters
from depth_ros.ros.static_transforms import StaticTransforms


@dataclass(frozen=True)
class RobotPose:
    """What one nav_msgs/Odometry tells of the robot's place."""

    stamp_ns: int
    child_frame: str
    """Whose pose it is; empty: the message does not say."""
    odom_T_child: np.ndarray
    """float64 [4,4]."""


def find_camera(
    parameters: NodeParameters,
    camera: str,
    camera_frame: str,
    child_frame: str,
    transforms: StaticTransforms,
) -> np.ndarray:
    """Where a camera sits in the frame whose pose odometry tells.

    Odometry that does not say whose pose it tells is that of base_frame; where that is not named
    either, it is the camera's, in body axes.

    Args:
        parameters: as they are now.
        camera: its name among the parameters.
        camera_frame: of its images.
        child_frame: of the odometry.
        transforms: of /tf_static.

    Returns:
        child_T_cam, float64 [4,4] of the optical frame.

    Raises:
        MessageError: the static transforms do not connect the two, or go round in a circle.
    """
    child_frame = child_frame or parameters.base_frame
    frame, frame_T_cam = camera_frame, np.eye(4)
    if parameters.extrinsics is Extrinsics.PARAMETER:
        frame = parameters.base_frame
        frame_T_cam = parameters.base_T_camera(camera)
    elif not child_frame:
        return DEFAULT_BASE_T_CAM
    child_T_frame = transforms.find(child_frame, frame)
    if child_T_frame is None:
        raise MessageError(
            f'odometry tells the pose of {child_frame!r}, which /tf_static does not connect with '
            f'{frame!r}'
        )
    return child_T_frame @ frame_T_cam
