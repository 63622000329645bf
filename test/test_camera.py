"""Intrinsics, camera models and rectification against naive formulas."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from helpers import make_camera_info, make_intrinsics
from hypothesis import given
from hypothesis import strategies as st

from depth_ros.cameras.camera_model import CameraModel
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.cameras.rectifier import Rectifier, RectifyMode
from depth_ros.errors import CameraError

cameras = st.builds(
    Intrinsics,
    fx=st.floats(20, 2000),
    fy=st.floats(20, 2000),
    cx=st.floats(0, 600),
    cy=st.floats(0, 400),
    width=st.integers(8, 700),
    height=st.integers(8, 500),
)


def ray(camera: Intrinsics, u: float, v: float) -> tuple[float, float]:
    return (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy


@given(cameras, st.integers(8, 900), st.integers(8, 900))
def test_scaling_keeps_the_rays_of_the_image_corners(camera, width, height):
    scaled = camera.scaled(width, height)
    assert (scaled.width, scaled.height) == (width, height)
    for x, y in ((0, 0), (1, 1)):
        before = ray(camera, x * camera.width - 0.5, y * camera.height - 0.5)
        after = ray(scaled, x * width - 0.5, y * height - 0.5)
        assert after == pytest.approx(before, rel=1e-9, abs=1e-9)


@given(cameras, st.integers(-50, 200), st.integers(-50, 200))
def test_cropping_moves_pixels_but_not_rays(camera, x0, y0):
    cropped = camera.cropped(x0, y0, 32, 16)
    assert (cropped.width, cropped.height) == (32, 16)
    assert ray(cropped, 5, 6) == pytest.approx(ray(camera, 5 + x0, 6 + y0), rel=1e-9, abs=1e-9)


@given(cameras)
def test_flipping_mirrors_rays_and_undoes_itself(camera):
    flipped = camera.flipped()
    x, y = ray(camera, 3, 4)
    assert ray(flipped, camera.width - 1 - 3, 4) == pytest.approx((-x, y), rel=1e-9, abs=1e-9)
    assert flipped.flipped().cx == pytest.approx(camera.cx)


def test_rays_agree_with_the_inverse_of_the_matrix():
    camera = Intrinsics(40, 60, 10.5, 7.25, 20, 14)
    rays = camera.rays()
    assert rays.dtype == np.float32
    assert rays.shape == (14, 20, 2)
    np.testing.assert_allclose(camera.inverse_matrix @ camera.matrix, np.eye(3), atol=1e-12)
    for u, v in ((0, 0), (19, 13), (7, 3)):
        expected = camera.inverse_matrix @ (u, v, 1)
        np.testing.assert_allclose(rays[v, u], expected[:2], atol=1e-6)


@pytest.mark.parametrize(
    'values',
    [(0, 1, 0, 0, 4, 4), (1, np.nan, 0, 0, 4, 4), (1, 1, 0, 0, 0, 4), (1, 1, 0, 0, 4, 10**9)],
)
def test_impossible_intrinsics_are_refused(values):
    with pytest.raises(CameraError):
        Intrinsics(*values)


def test_camera_info_of_ros_1_and_ros_2_give_the_same_model():
    info = make_camera_info(make_intrinsics(), (0.1, 0.2, 0.0, 0.0, 0.0))
    upper = SimpleNamespace(**{**vars(info), 'K': info.k, 'D': info.d, 'R': info.r, 'P': info.p})
    for name in 'kdrp':
        delattr(upper, name)
    model = CameraModel.from_info(info)
    assert CameraModel.from_info(upper) == model
    assert hash(CameraModel.from_info(upper)) == hash(model)
    assert model.calibrated
    assert model.baseline_m == 0


def test_the_right_camera_tells_its_baseline():
    info = make_camera_info(make_intrinsics(focal=50.0))
    info.p[3] = -50.0 * 0.12
    assert CameraModel.from_info(info).baseline_m == pytest.approx(0.12)


def test_missing_rotation_and_projection_fall_back_to_the_raw_camera():
    info = make_camera_info(make_intrinsics())
    info.r, info.p = np.zeros(9), np.zeros(12)
    model = CameraModel.from_info(info)
    assert model.r == tuple(np.eye(3).ravel())
    assert model.p[:3] == model.k[:3]
    assert model.p[5] == model.k[4]


def test_binning_and_region_of_interest_give_the_camera_of_the_delivered_image():
    full = make_intrinsics(64, 48)
    info = make_camera_info(full)
    info.roi = SimpleNamespace(x_offset=8, y_offset=4, width=40, height=32, do_rectify=False)
    info.binning_x = info.binning_y = 2
    model = CameraModel.from_info(info)
    assert (model.width, model.height) == (20, 16)
    expected = full.cropped(8, 4, 40, 32).scaled(20, 16)
    np.testing.assert_allclose(np.reshape(model.k, (3, 3)), expected.matrix)
    np.testing.assert_allclose(np.reshape(model.p, (3, 4))[:, :3], expected.matrix)


def test_a_region_outside_the_image_is_refused():
    info = make_camera_info(make_intrinsics(64, 48))
    info.roi.x_offset, info.roi.width = 50, 40
    with pytest.raises(CameraError, match='region of interest 40x48 at'):
        CameraModel.from_info(info)


def test_values_that_are_not_finite_are_refused():
    info = make_camera_info(make_intrinsics())
    info.d = [np.inf]
    with pytest.raises(CameraError, match='D has values that are not finite'):
        CameraModel.from_info(info)


def test_an_uncalibrated_camera_is_refused():
    info = make_camera_info(make_intrinsics())
    info.k = np.zeros(9)
    model = CameraModel.from_info(info)
    assert not model.calibrated
    with pytest.raises(CameraError, match='not calibrated'):
        Rectifier(model)


def test_an_image_of_another_size_is_refused():
    rectifier = Rectifier(CameraModel.from_info(make_camera_info(make_intrinsics(64, 48))))
    with pytest.raises(CameraError, match='32x48'):
        rectifier(np.zeros((48, 32, 3), np.uint8))


def test_an_unknown_distortion_model_is_named():
    info = make_camera_info(make_intrinsics(), (0.1,), 'spherical')
    with pytest.raises(CameraError, match='spherical'):
        Rectifier(CameraModel.from_info(info))


@pytest.mark.parametrize(
    ('topic', 'mode', 'active', 'focal'),
    [
        ('/camera/image_raw', RectifyMode.AUTO, True, 40.0),
        ('/camera/image_rect_color/compressed', RectifyMode.AUTO, False, 40.0),
        ('/camera/image_rect', RectifyMode.ALWAYS, True, 40.0),
        ('/camera/image_raw', RectifyMode.NEVER, False, 40.0),
    ],
)
def test_mode_and_topic_decide_whether_to_rectify(topic, mode, active, focal):
    info = make_camera_info(make_intrinsics(focal=50.0), (0.1, 0.0, 0.0, 0.0, 0.0))
    info.p[0] = info.p[5] = 40.0
    rectifier = Rectifier(CameraModel.from_info(info), mode, topic)
    assert rectifier.active is active
    assert rectifier.intrinsics.fx == focal


def test_an_undistorted_raw_image_is_left_alone_and_described_by_its_own_matrix():
    info = make_camera_info(make_intrinsics(focal=50.0))
    info.p[0] = info.p[5] = 40.0
    rectifier = Rectifier(CameraModel.from_info(info), RectifyMode.AUTO, '/camera/image_raw')
    image = np.zeros((48, 64, 3), np.uint8)
    assert rectifier(image) is image
    assert rectifier.intrinsics.fx == 50.0


def distorted_polynomial(x: float, y: float, d: tuple[float, ...]) -> tuple[float, float]:
    """Brown's model with the rational extension, as sensor_msgs/CameraInfo refers to it."""
    k1, k2, p1, p2, k3, k4, k5, k6 = (*d, *[0.0] * (8 - len(d)))
    r2 = x * x + y * y
    radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    return (
        x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
        y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
    )


def distorted_fisheye(x: float, y: float, d: tuple[float, ...]) -> tuple[float, float]:
    """Kannala and Brandt's model."""
    r = np.hypot(x, y)
    theta = np.arctan(r)
    bent = theta * (1 + sum(k * theta ** (2 * i + 2) for i, k in enumerate(d)))
    return x * bent / r, y * bent / r


@pytest.mark.parametrize(
    ('model', 'd', 'distort'),
    [
        ('plumb_bob', (-0.2, 0.05, 0.002, -0.003, 0.01), distorted_polynomial),
        ('plumb_bob', (-0.2, 0.05, 0.002, -0.003), distorted_polynomial),
        (
            'rational_polynomial',
            (0.3, 0.1, 0.001, 0.002, 0.02, 0.5, 0.1, 0.01),
            distorted_polynomial,
        ),
        ('equidistant', (0.02, -0.01, 0.003, 0.001), distorted_fisheye),
        ('equidistant', (0.0, 0.0, 0.0, 0.0), distorted_fisheye),
        ('equidistant', (), distorted_fisheye),
    ],
)
def test_rectified_pixels_come_from_where_the_distortion_formula_says(model, d, distort):
    camera = make_intrinsics(160, 120, 100.0)
    rectifier = Rectifier(CameraModel.from_info(make_camera_info(camera, d, model)))
    v, u = np.mgrid[0:120, 0:160]
    rectified = rectifier(np.dstack([u, v, 0 * u]).astype(np.uint8))
    for column, row in ((80, 60), (40, 30), (120, 90), (60, 100)):
        x, y = distort(*ray(camera, column, row), d)
        expected = (x * camera.fx + camera.cx, y * camera.fy + camera.cy)
        np.testing.assert_allclose(rectified[row, column, :2], expected, atol=0.6)


# Little of a distorted image is lost where P zooms out, and what surrounds it was never seen.
ZOOMED_OUT = 0.6


@pytest.mark.parametrize(
    ('model', 'd', 'distort'),
    [
        ('plumb_bob', (-0.2, 0.05, 0.002, -0.003, 0.01), distorted_polynomial),
        ('equidistant', (), distorted_fisheye),
    ],
)
def test_pixels_that_the_camera_never_saw_are_told(model, d, distort):
    camera = make_intrinsics(160, 120, 100.0)
    info = make_camera_info(camera, d, model)
    info.p[0] = info.p[5] = ZOOMED_OUT * 100.0
    rectifier = Rectifier(CameraModel.from_info(info))
    assert rectifier.seen.shape == (120, 160)
    assert rectifier.seen.dtype == bool
    told = 0
    for row in range(0, 120, 3):
        for column in range(0, 160, 3):
            x, y = distort(*ray(rectifier.intrinsics, column, row), d)
            u, v = x * camera.fx + camera.cx, y * camera.fy + camera.cy
            # How far inside of the outer border of the image; at the border OpenCV rounds.
            inside = min(u + 0.5, v + 0.5, 159.5 - u, 119.5 - v)
            if abs(inside) > 0.2:
                assert rectifier.seen[row, column] == (inside > 0), (row, column)
                told += 1
    assert told > 2000
    white = rectifier(np.full((120, 160), 255, np.uint8))
    assert (white[~rectifier.seen] < 128).all()
    assert 0.2 < rectifier.seen.mean() < 0.8


@pytest.mark.parametrize(
    ('model', 'd', 'distort'),
    [
        ('plumb_bob', (-0.38, 0.0, 0.0, 0.0, 0.0), distorted_polynomial),
        ('plumb_bob', (-0.3, 0.03, 0.0, 0.0, 0.0), distorted_polynomial),
        # The quotient has a pole within the picture.
        ('rational_polynomial', (0.1, 0, 0, 0, 0, -0.6, 0, 0), distorted_polynomial),
        ('equidistant', (-0.3, 0.0, 0.0, 0.0), distorted_fisheye),
    ],
)
def test_what_a_lens_model_folds_back_is_not_seen(model, d, distort):
    camera = make_intrinsics(160, 120, 60.0)
    info = make_camera_info(camera, d, model)
    info.p[0] = info.p[5] = ZOOMED_OUT * 60.0
    rectifier = Rectifier(CameraModel.from_info(info))
    assert rectifier.seen is not None
    folded = seen = 0
    for row in range(0, 120, 3):
        for column in range(0, 160, 3):
            x, y = ray(rectifier.intrinsics, column, row)
            # Where each step from the axis to the ray, and a little beyond it, goes further out.
            way = np.linspace(1e-3, 1.02, 400)
            further = np.diff(np.hypot(*np.transpose([distort(x * s, y * s, d) for s in way]))) > 0
            x, y = distort(x, y, d)
            u, v = x * camera.fx + camera.cx, y * camera.fy + camera.cy
            inside = min(u + 0.5, v + 0.5, 159.5 - u, 119.5 - v)
            if not further[way[1:] < 1.0].all():
                folded += inside > 0
                assert not rectifier.seen[row, column], (row, column)
            elif further.all() and inside > 0.2:
                seen += 1
                assert rectifier.seen[row, column], (row, column)
    assert folded > 20
    assert seen > 200
    white = rectifier(np.full((120, 160), 255, np.uint8))
    assert (white[~rectifier.seen] < 128).all()


def test_a_pole_that_a_zero_undoes_ends_no_lens():
    """Calibration of a robot's OAK-D; 0.04 % beyond the pole within its picture is a zero."""
    d = (-4.860828876495361, 17.2819766998291, 0.00020376102474983782, 0.0010251018684357405,
         -25.172250747680664, -4.943647384643555, 17.51442527770996, -25.290760040283203)
    info = make_camera_info(make_intrinsics(250, 250, 196.505), d, 'rational_polynomial')
    seen = Rectifier(CameraModel.from_info(info)).seen
    assert seen is None or seen.mean() > 0.95


def test_nothing_behind_a_fisheye_camera_is_seen():
    info = make_camera_info(make_intrinsics(160, 120, 60.0), (), 'equidistant')
    cosine, sine = np.cos(np.radians(70.0)), np.sin(np.radians(70.0))
    info.r = np.array([cosine, 0, sine, 0, 1, 0, -sine, 0, cosine])
    info.p[0] = info.p[5] = 20.0
    rectifier = Rectifier(CameraModel.from_info(info))
    v, u = np.mgrid[:120, :160]
    x, y = ray(rectifier.intrinsics, u, v)
    z_raw = np.stack([x, y, np.ones_like(x)], -1) @ info.r.reshape(3, 3)[:, 2]
    assert (z_raw < 0).any()
    assert rectifier.seen.any()
    assert not rectifier.seen[z_raw <= 0].any()


def test_where_the_camera_saw_every_pixel_there_is_no_mask():
    camera = make_intrinsics(160, 120, 100.0)
    zoomed_in = make_camera_info(camera, (-0.2, 0.05, 0.0, 0.0, 0.0))
    zoomed_in.p[0] = zoomed_in.p[5] = 150.0
    rectifier = Rectifier(CameraModel.from_info(zoomed_in))
    assert rectifier.active
    assert rectifier.seen is None
    assert Rectifier(CameraModel.from_info(make_camera_info(camera))).seen is None
