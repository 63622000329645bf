"""Where a camera sits on a body, and how the body is called."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from depth_ros.motion.body_odometry import DEFAULT_BASE_T_CAM
from depth_ros.motion.se3 import rigid


@dataclass(frozen=True)
class Mounting:
    """A camera on a body."""

    base_frame: str
    base_T_cam: np.ndarray
    """float64 [4,4], the optical frame in the body's frame."""
    frame_above: str | None = None
    """The root of /tf_static's tree where body or camera hang below another frame there: then
    base_frame must not get odom as a parent, since a frame of tf has one. None: it may."""
    joins_camera: bool = False
    """Whether nobody but this node tells tf where the camera sits on the body."""


def body_frame_of(camera_frame: str) -> str:
    """Name of a camera's frame in body axes, as camera drivers name it (REP 103, suffix frames).

    'camera_optical_frame' -> 'camera_frame'; a name without '_optical' gets '_body'.
    """
    if '_optical' in camera_frame:
        return camera_frame.replace('_optical', '', 1)
    return f'{camera_frame}_body'


def base_T_camera(camera_in_base: tuple[float, ...]) -> np.ndarray:
    """x, y, z [m], roll, pitch, yaw [rad] of the camera's body axes -> optical frame in base."""
    return parent_T_child(camera_in_base) @ DEFAULT_BASE_T_CAM


def parent_T_child(child_in_parent: tuple[float, ...]) -> np.ndarray:
    """x, y, z [m], roll, pitch, yaw [rad] of a frame -> [4,4].

    Angles about the fixed axes x, then y, then z, as in URDF and static_transform_publisher.
    """
    x, y, z, roll, pitch, yaw = child_in_parent
    cr, sr, cp, sp = math.cos(roll), math.sin(roll), math.cos(pitch), math.sin(pitch)
    cy, sy = math.cos(yaw), math.sin(yaw)
    rotation = np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )
    return rigid(rotation, np.array([x, y, z]))
