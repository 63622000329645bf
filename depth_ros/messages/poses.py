"""Poses and transforms of ROS messages to rigid motions and back, by duck type."""

from __future__ import annotations

from typing import Any

import numpy as np

from depth_ros.errors import MessageError


def pose_to_matrix(pose: Any) -> np.ndarray:
    """geometry_msgs/Pose -> float64 [4,4] that takes points of the body to the parent frame.

    Raises:
        MessageError: the quaternion is zero or a value is not finite.
    """
    return _rigid(pose.position, pose.orientation)


def transform_to_matrix(transform: Any) -> np.ndarray:
    """geometry_msgs/Transform -> float64 [4,4], child to parent, as pose_to_matrix."""
    return _rigid(transform.translation, transform.rotation)


def matrix_to_quaternion(rotation: np.ndarray) -> tuple[float, float, float, float]:
    """Rotation [3,3] -> unit quaternion (x, y, z, w), w >= 0.

    It is the greatest eigenvector of a symmetric 4x4 matrix, which also gives the nearest
    rotation where the input is slightly off (Bar-Itzhack, J. Guidance 2000).
    """
    r = np.asarray(rotation, np.float64)
    xx, yy, zz = r[0, 0], r[1, 1], r[2, 2]
    symmetric = np.array(
        [
            [xx - yy - zz, r[0, 1] + r[1, 0], r[0, 2] + r[2, 0], r[2, 1] - r[1, 2]],
            [0, yy - xx - zz, r[1, 2] + r[2, 1], r[0, 2] - r[2, 0]],
            [0, 0, zz - xx - yy, r[1, 0] - r[0, 1]],
            [0, 0, 0, xx + yy + zz],
        ]
    )
    q = np.linalg.eigh(symmetric, UPLO='U')[1][:, -1]
    if q[3] < 0:
        q = -q
    return float(q[0]), float(q[1]), float(q[2]), float(q[3])


def _rigid(position: Any, quaternion: Any) -> np.ndarray:
    q = np.array([quaternion.x, quaternion.y, quaternion.z, quaternion.w], np.float64)
    t = np.array([position.x, position.y, position.z], np.float64)
    norm = float(np.linalg.norm(q))
    if not np.isfinite(t).all() or not np.isfinite(norm) or norm < 1e-6:
        raise MessageError(f'pose with position {t.tolist()} and quaternion {q.tolist()}')
    x, y, z, w = q / norm
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = t
    return matrix
