"""Rotations and rigid motions as float64 matrices.

`a_T_b` [4,4] maps points of frame b into frame a. A motion vector [6] is the form in which a pose
network answers: axis-angle [rad], then translation, together `previous_T_current`.
"""

from __future__ import annotations

import numpy as np

BODY_R_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Optical axes (x right, y down, z forward) to body axes (x forward, y left, z up), REP 103."""


def skew(v: np.ndarray) -> np.ndarray:
    """The matrix [3,3] whose product with w is the cross product v x w."""
    x, y, z = v
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


def axis_angle_to_matrix(axis_angle: np.ndarray) -> np.ndarray:
    """Rodrigues' formula: rotation vector [3], its length the angle [rad], to [3,3]."""
    axis_angle = np.asarray(axis_angle, np.float64)
    angle = float(np.linalg.norm(axis_angle))
    if angle < 1e-12:
        return np.eye(3) + skew(axis_angle)
    k = skew(axis_angle / angle)
    return np.eye(3) + np.sin(angle) * k + (1.0 - np.cos(angle)) * (k @ k)


def matrix_to_axis_angle(rotation: np.ndarray) -> np.ndarray:
    """Rotation [3,3] to its rotation vector [3], angle within [0, pi]; exact near 0 and near pi.

    Goes through the quaternion (Shepperd 1978), taking the largest of its squares as pivot.
    """
    r = np.asarray(rotation, np.float64)
    trace = np.trace(r)
    squares = np.array([trace, r[0, 0], r[1, 1], r[2, 2]])
    pivot = int(np.argmax(squares))
    if pivot == 0:
        w = 1.0 + trace
        v = np.array([r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]])
    else:
        i = pivot - 1
        j, k = (i + 1) % 3, (i + 2) % 3
        v = np.empty(3)
        v[i] = 1.0 + 2.0 * r[i, i] - trace
        v[j] = r[j, i] + r[i, j]
        v[k] = r[k, i] + r[i, k]
        w = r[k, j] - r[j, k]
    if w < 0.0:
        w, v = -w, -v
    sine = np.linalg.norm(v)
    if sine == 0.0:
        return np.zeros(3)
    return v * (2.0 * np.arctan2(sine, w) / sine)


def rotation_angle(rotation: np.ndarray) -> float:
    """The angle of a rotation [3,3], in radians within [0, pi]."""
    return float(np.linalg.norm(matrix_to_axis_angle(rotation)))


def rigid(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Assemble [4,4] from a rotation [3,3] and a translation [3]."""
    result = np.eye(4)
    result[:3, :3] = rotation
    result[:3, 3] = translation
    return result


def motion_to_matrix(motion: np.ndarray) -> np.ndarray:
    """Motion vector [6] (axis-angle, translation) to [4,4]."""
    return rigid(axis_angle_to_matrix(motion[:3]), motion[3:])


def matrix_to_motion(transform: np.ndarray) -> np.ndarray:
    """[4,4] to its motion vector [6] (axis-angle, translation)."""
    return np.concatenate([matrix_to_axis_angle(transform[:3, :3]), transform[:3, 3]])


def inverse(transform: np.ndarray) -> np.ndarray:
    """The inverse of a rigid motion [4,4], without a general matrix inversion."""
    rotation_t = transform[:3, :3].T
    return rigid(rotation_t, -rotation_t @ transform[:3, 3])


def orthonormalised(transform: np.ndarray) -> np.ndarray:
    """The rigid motion [4,4] nearest to one whose rotation has drifted through long products."""
    u, _, vt = np.linalg.svd(transform[:3, :3])
    return rigid(u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt, transform[:3, 3])


def interpolated(first: np.ndarray, last: np.ndarray, fraction: float) -> np.ndarray:
    """The pose [4,4] a `fraction` of the way: rotation along its arc, position straight."""
    turn = matrix_to_axis_angle(first[:3, :3].T @ last[:3, :3])
    rotation = first[:3, :3] @ axis_angle_to_matrix(fraction * turn)
    return rigid(rotation, (1.0 - fraction) * first[:3, 3] + fraction * last[:3, 3])
