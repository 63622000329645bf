"""Reprojection of the previous frame."""

import cv2
import numpy as np
import pytest

from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.motion import se3
from depth_ros.pipeline.confidence import ReprojectionConfidence, photometric_difference

CAMERA = Intrinsics(120, 120, 79.5, 59.5, 160, 120)
SIDEWAYS = se3.rigid(np.eye(3), np.array([0.2, 0.0, 0.0]))
DEPTH = 3.0


def texture(width=240):
    rng = np.random.default_rng(0)
    total = sum(
        cv2.GaussianBlur(rng.normal(0, 1, (120, width, 3)), (0, 0), s) * s for s in (2, 4, 8)
    )
    return np.clip(128 + 60 * total / total.std(), 0, 255).astype(np.uint8)


def judge(depth, previous_T_current=SIDEWAYS):
    """A wall at 3 m: the camera went 0.2 m to the right, so all of it moves 8 pixels left."""
    wide = texture()
    reprojection = ReprojectionConfidence(CAMERA)
    previous, current = wide[:, 20:180], wide[:, 28:188]
    return reprojection(
        reprojection.reduced(previous),
        reprojection.reduced(current),
        np.full((120, 160), depth, np.float32),
        previous_T_current,
    )


def test_right_depth_agrees():
    confidence = judge(DEPTH)
    assert confidence.shape == (60, 80)
    assert np.nanmedian(confidence) > 0.95


@pytest.mark.parametrize('depth', [1.0, 1.8, 8.0])
def test_wrong_depth_does_not(depth):
    assert np.nanmedian(judge(depth)) < np.nanmedian(judge(DEPTH)) - 0.15


def test_wrong_motion_does_not():
    wrong = se3.rigid(se3.axis_angle_to_matrix(np.array([0, 0.05, 0])), SIDEWAYS[:3, 3])
    assert np.nanmedian(judge(DEPTH, wrong)) < np.nanmedian(judge(DEPTH)) - 0.15


def test_what_the_previous_frame_does_not_show_is_unknown():
    unseen = np.isnan(judge(DEPTH))
    assert unseen[:, -3:].all()
    assert not unseen[:, :-5].any()


def test_points_behind_the_previous_camera_are_unknown():
    ahead = se3.rigid(np.eye(3), np.array([0.0, 0.0, -5.0]))
    assert np.isnan(judge(DEPTH, ahead)).all()


def test_unknown_depth_is_unknown():
    assert np.isnan(judge(np.nan)).all()


def test_one_wrong_pixel_is_judged_with_its_neighbours():
    wide = texture()
    reprojection = ReprojectionConfidence(CAMERA)
    previous, current = (reprojection.reduced(wide[:, x : x + 160]) for x in (20, 28))
    depth = np.full((60, 80), DEPTH, np.float32)
    depth[20:40, 20:40] = 1.0
    confidence = reprojection(previous, current, depth, SIDEWAYS)
    inside, border, outside = confidence[26:34, 26:34], confidence[28:32, 17], confidence[:10, :60]
    assert np.nanmax(inside) < np.nanmin(border) < np.nanmin(outside)


def test_another_grid_of_depth():
    reprojection = ReprojectionConfidence(CAMERA)
    picture = reprojection.reduced(texture()[:, :160])
    coarse = np.full((30, 40), DEPTH, np.float32)
    agreement = reprojection(picture, picture, coarse, np.eye(4))
    np.testing.assert_allclose(agreement[1:-1, 1:-1], 1.0, atol=1e-3)


def naive_difference(a, b, row, column):
    """SSIM of one 3 x 3 window, by its definition."""
    window = np.s_[row - 1 : row + 2, column - 1 : column + 2]
    x, y = a[window].astype(float), b[window].astype(float)
    covariance = ((x - x.mean()) * (y - y.mean())).mean()
    ssim = (2 * x.mean() * y.mean() + 1e-4) * (2 * covariance + 9e-4)
    ssim /= (x.mean() ** 2 + y.mean() ** 2 + 1e-4) * (x.var() + y.var() + 9e-4)
    dissimilarity = min(max((1 - ssim) / 2, 0), 1)
    return 0.85 * dissimilarity + 0.15 * abs(x[1, 1] - y[1, 1])


def test_photometric_difference_is_the_published_one():
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0, 1, (2, 9, 11)).astype(np.float32)
    difference = photometric_difference(a, b)
    for row in range(1, 8):
        for column in range(1, 10):
            expected = naive_difference(a, b, row, column)
            assert difference[row, column] == pytest.approx(expected, abs=1e-5)


def test_photometric_difference_is_symmetric_and_bounded():
    rng = np.random.default_rng(1)
    a, b = rng.uniform(0, 1, (2, 30, 40)).astype(np.float32)
    np.testing.assert_allclose(photometric_difference(a, b), photometric_difference(b, a))
    np.testing.assert_allclose(photometric_difference(a, a), 0, atol=1e-4)
    assert photometric_difference(a, b).min() >= 0
    assert photometric_difference(a, b).max() <= 1
