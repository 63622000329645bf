"""One figure for how far answers are from the expected ones."""

from __future__ import annotations

import numpy as np
import pytest

from depth_ros.backends.agreement import depth_difference, motion_difference
from depth_ros.model_folder.spec import MotionSpec, Precision

TYPICAL = MotionSpec(interval_s=0.1, translation=0.5, rotation_rad=0.1, sigma_translation=0.1,
                     sigma_rotation_rad=0.1)


# Inverse depths 1, 0.5, 0.25, 0.125 have the median 0.375, which counts for the last two.
@pytest.mark.parametrize(('precision', 'figure'), [
    (Precision.FP32, 0.5), (Precision.FP16, 0.5), (Precision.INT8, (0.5 + 0.05 / 0.375) / 4),
])
def test_floats_are_held_to_the_worst_pixel_and_eight_bits_to_the_mean(precision, figure):
    expected = np.array([[[1.0, 2.0], [4.0, 8.0]]])
    depth = np.array([[[1 / 1.5, 2.0], [1 / 0.3, 8.0]]])
    assert depth_difference(depth, expected, precision) == pytest.approx(figure)


def test_far_pixels_are_held_to_the_inverse_depth_of_the_median():
    expected = np.array([[[2.0, 2.0, 2.0, 1e4]], [[20.0, 20.0, 20.0, 100.0]]])
    depth = expected.copy()
    depth[0, 0, 3] = 400.0
    assert depth_difference(depth, expected, Precision.FP32) == pytest.approx(0.0048)
    depth[1, 0, 3] = 50.0
    assert depth_difference(depth, expected, Precision.FP32) == pytest.approx(0.2)
    depth[1, 0, 3] = np.inf
    assert depth_difference(depth, expected, Precision.FP32) == pytest.approx(0.2)


def test_a_pixel_that_is_no_number_is_no_agreement():
    depth = np.array([[[1.0, np.nan]]])
    assert np.isnan(depth_difference(depth, np.ones_like(depth), Precision.FP32))
    assert np.isnan(depth_difference(depth, np.ones_like(depth), Precision.INT8))


def test_motions_are_compared_by_their_length_or_the_typical_one():
    expected = np.array([[0.2, 0, 0, 0, 0, 2.0], [0, 0, 0, 0, 0, 0.0]])
    motion = expected + np.array([[0.0, 0.02, 0, 0, 0.1, 0], [0, 0, 0, 0.2, 0, 0]])
    # Rotations 0.02 of 0.2 and none; translations 0.1 of 2 and 0.2 of the typical 0.5.
    assert motion_difference(motion, expected, TYPICAL, Precision.FP32) == pytest.approx(0.4)
    mean = (0.05 + 0.4) / 2
    assert motion_difference(motion, expected, TYPICAL, Precision.INT8) == pytest.approx(mean)


def test_depth_that_both_do_not_know_is_agreement():
    expected = np.array([[[np.nan, np.inf, 0.0, 2.0]]])
    assert depth_difference(expected.copy(), expected, Precision.FP32) == 0
    for position in range(3):
        depth = expected.copy()
        depth[0, 0, position] = 1.0
        assert not depth_difference(depth, expected, Precision.FP32) <= 0.5
