"""Odometry of the robot's body (x forward, y left, z up; REP 103) from that of its camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depth_ros.motion import se3
from depth_ros.motion.egomotion import OdometryState

DEFAULT_BASE_T_CAM = se3.rigid(se3.BODY_R_OPTICAL, np.zeros(3))
"""A forward-looking level camera at the origin of the body."""


@dataclass(frozen=True)
class BodyOdometry:
    """What nav_msgs/Odometry holds; covariances [6,6] ordered (translation, rotation)."""

    stamp_ns: int
    odom_T_base: np.ndarray
    """float64 [4,4]; odom is the body's frame at the last reset."""
    pose_covariance: np.ndarray
    """Along the axes of odom."""
    linear_velocity: np.ndarray
    """float64 [3], m/s of the body's origin along its axes."""
    angular_velocity: np.ndarray
    """float64 [3], rad/s."""
    twist_covariance: np.ndarray
    """Along the body's axes."""


def body_odometry(
    state: OdometryState, base_T_cam: np.ndarray = DEFAULT_BASE_T_CAM
) -> BodyOdometry:
    """Move pose, velocity and their covariances from the camera to the body.

    Args:
        state: the camera's odometry in optical axes.
        base_T_cam: float64 [4,4], the optical frame in the body's frame; rigidly mounted.
    """
    cam_T_base = se3.inverse(base_T_cam)
    base_R_cam, lever = base_T_cam[:3, :3], cam_T_base[:3, 3]
    pose = _shift(base_R_cam, state.world_T_cam[:3, :3] @ lever)
    twist = _shift(base_R_cam, lever)
    velocity = twist @ np.concatenate([state.linear_velocity, state.angular_velocity])
    return BodyOdometry(
        stamp_ns=state.stamp_ns,
        odom_T_base=base_T_cam @ state.world_T_cam @ cam_T_base,
        pose_covariance=pose @ state.covariance @ pose.T,
        linear_velocity=velocity[:3],
        angular_velocity=velocity[3:],
        twist_covariance=twist @ state.velocity_covariance @ twist.T,
    )


def _shift(base_R_cam: np.ndarray, lever: np.ndarray) -> np.ndarray:
    """[6,6]: small motions of the camera to those of a point at `lever`, in the body's axes.

    The point moves by d + r x lever when the camera moves by d and turns by r.
    """
    result = np.zeros((6, 6))
    result[:3, :3] = result[3:, 3:] = base_R_cam
    result[:3, 3:] = -base_R_cam @ se3.skew(lever)
    return result
