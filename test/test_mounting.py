"""Names of body frames and positions of cameras on robots."""

import math

import numpy as np
import pytest

from depth_ros.motion.body_odometry import DEFAULT_BASE_T_CAM
from depth_ros.motion.mounting import base_T_camera, body_frame_of


@pytest.mark.parametrize(
    ('camera', 'body'),
    [
        ('camera_optical_frame', 'camera_frame'),
        ('camera_color_optical_frame', 'camera_color_frame'),
        ('left_optical', 'left'),
        ('webcam', 'webcam_body'),
    ],
)
def test_body_frames_are_named_as_drivers_name_them(camera, body):
    assert body_frame_of(camera) == body


def test_zeros_are_a_camera_at_the_origin_that_looks_ahead():
    np.testing.assert_allclose(base_T_camera((0.0,) * 6), DEFAULT_BASE_T_CAM)


@pytest.mark.parametrize(
    ('angles', 'ahead_of_camera'),
    [
        ((0.0, 0.0, math.pi / 2), (0, 1, 0)),  # yaw: looks left
        ((0.0, math.pi / 2, 0.0), (0, 0, -1)),  # pitch: looks down
        ((math.pi / 2, 0.0, 0.0), (1, 0, 0)),  # roll: still looks ahead
    ],
)
def test_angles_turn_as_in_urdf(angles, ahead_of_camera):
    base_T_cam = base_T_camera((0.1, 0.2, 0.3, *angles))
    np.testing.assert_allclose(base_T_cam[:3, :3] @ [0, 0, 1], ahead_of_camera, atol=1e-12)
    np.testing.assert_allclose(base_T_cam[:3, 3], [0.1, 0.2, 0.3])


def test_angles_are_about_fixed_axes_in_the_order_of_roll_pitch_yaw():
    def about(axis: int, angle: float) -> np.ndarray:
        c, s = math.cos(angle), math.sin(angle)
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        matrix = np.eye(3)
        matrix[i, i] = matrix[j, j] = c
        matrix[i, j], matrix[j, i] = -s, s
        return matrix

    roll, pitch, yaw = 0.3, -0.7, 1.9
    expected = about(2, yaw) @ about(1, pitch) @ about(0, roll) @ DEFAULT_BASE_T_CAM[:3, :3]
    found = base_T_camera((0.0, 0.0, 0.0, roll, pitch, yaw))[:3, :3]
    np.testing.assert_allclose(found, expected, atol=1e-12)
