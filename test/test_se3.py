"""Rotations and rigid motions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from depth_ros.motion import se3

UNIT = st.floats(-1, 1)
VECTORS = npst.arrays(np.float64, 3, elements=UNIT)


def exponential(axis_angle):
    """The rotation as a power series of its generator."""
    term, total = np.eye(3), np.eye(3)
    for n in range(1, 40):
        term = term @ se3.skew(axis_angle) / n
        total = total + term
    return total


@given(VECTORS)
def test_rodrigues_is_the_matrix_exponential(vector):
    np.testing.assert_allclose(
        se3.axis_angle_to_matrix(3 * vector), exponential(3 * vector), atol=1e-10
    )


@given(VECTORS, st.sampled_from([0.0, 1e-13, 1e-9, 1e-5, 0.3, 2.0, np.pi - 1e-7, np.pi - 1e-12]))
def test_axis_angle_round_trip(axis, angle):
    if np.linalg.norm(axis) < 1e-3:
        axis = np.array([0.0, 1.0, 0.0])
    vector = angle * axis / np.linalg.norm(axis)
    back = se3.matrix_to_axis_angle(se3.axis_angle_to_matrix(vector))
    np.testing.assert_allclose(back, vector, atol=1e-9)


@pytest.mark.parametrize('diagonal', [(1, -1, -1), (-1, 1, -1), (-1, -1, 1)])
def test_half_turns(diagonal):
    assert se3.rotation_angle(np.diag(diagonal).astype(float)) == pytest.approx(np.pi)


@given(npst.arrays(np.float64, 6, elements=UNIT))
def test_inverse_and_motion_vector(motion):
    transform = se3.motion_to_matrix(motion)
    np.testing.assert_allclose(se3.inverse(transform) @ transform, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(se3.matrix_to_motion(transform), motion, atol=1e-9)


@given(VECTORS, VECTORS)
def test_skew_is_the_cross_product(v, w):
    np.testing.assert_allclose(se3.skew(v) @ w, np.cross(v, w), atol=1e-12)


def test_optical_axes_to_body_axes():
    np.testing.assert_array_equal(se3.BODY_R_OPTICAL @ [0, 0, 1], [1, 0, 0])
    np.testing.assert_array_equal(se3.BODY_R_OPTICAL @ [1, 0, 0], [0, -1, 0])
    np.testing.assert_array_equal(se3.BODY_R_OPTICAL @ [0, 1, 0], [0, 0, -1])


@given(st.floats(0, 1))
def test_interpolation_between_turns_of_one_axis(fraction):
    first = se3.motion_to_matrix(np.array([0, 0.2, 0, 1.0, 0, 0]))
    last = se3.motion_to_matrix(np.array([0, 1.2, 0, 3.0, 0, 4.0]))
    expected = [0, 0.2 + fraction, 0, 1 + 2 * fraction, 0, 4 * fraction]
    between = se3.interpolated(first, last, fraction)
    np.testing.assert_allclose(se3.matrix_to_motion(between), expected, atol=1e-12)


def test_orthonormalised_mends_a_drifted_rotation():
    transform = se3.motion_to_matrix(np.array([0.1, 0.5, -0.2, 1, 2, 3]))
    drifted = transform.copy()
    drifted[:3, :3] *= 1.001
    np.testing.assert_allclose(se3.orthonormalised(drifted), transform, atol=1e-12)
