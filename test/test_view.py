"""The camera image on its way into the network, and depth on its way back."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.errors import CameraError
from depth_ros.model_folder.spec import Fit, ResizeFilter
from depth_ros.pipeline.resize import resize_into
from depth_ros.pipeline.view import PADDING, View

KITCHEN = Intrinsics(525, 525, 319.5, 239.5, 640, 480)
ROAD = Intrinsics(707, 707, 601, 183, 1226, 370)
TRAINING = Intrinsics(210, 210, 127.5, 95.5, 256, 192)

cameras = st.builds(
    lambda w, h, f, g, x, y: Intrinsics(f, g * f, x * w, y * h, w, h),
    st.integers(60, 700),
    st.integers(60, 700),
    st.floats(40, 900),
    st.floats(0.8, 1.25),
    st.floats(0.3, 0.7),
    st.floats(0.3, 0.7),
)
fits = st.sampled_from(list(Fit))


def network_from_camera(view, u, v):
    """The formula of the module's documentation."""
    s, t = view.source, view.target
    u_net = (u + 0.5 - s.x) * t.width / s.width + t.x - 0.5
    return u_net, (v + 0.5 - s.y) * t.height / s.height + t.y - 0.5


@given(cameras, fits, st.sampled_from([None, TRAINING]))
def test_every_pixel_keeps_its_ray(camera, fit, training):
    view = View.fit(camera, 256, 192, fit, training)
    net = view.network_intrinsics
    u, v = np.meshgrid(np.linspace(0, camera.width, 5), np.linspace(0, camera.height, 5))
    u_net, v_net = network_from_camera(view, u, v)
    np.testing.assert_allclose((u_net - net.cx) / net.fx, (u - camera.cx) / camera.fx, atol=1e-9)
    np.testing.assert_allclose((v_net - net.cy) / net.fy, (v - camera.cy) / camera.fy, atol=1e-9)


@given(cameras, fits, st.sampled_from([None, TRAINING]))
def test_windows_lie_within_their_images(camera, fit, training):
    view = View.fit(camera, 256, 192, fit, training)
    pairs = (
        (view.source, camera.width, camera.height),
        (view.target, view.network_width, view.network_height),
    )
    for window, width, height in pairs:
        assert 0 <= window.x <= window.x + window.width <= width
        assert 0 <= window.y <= window.y + window.height <= height
        assert window.width > 0
        assert window.height > 0


@given(cameras, st.sampled_from([Fit.CROP, Fit.LETTERBOX]))
def test_crop_and_letterbox_keep_the_shape_of_training(camera, fit):
    net = View.fit(camera, 256, 192, fit, TRAINING).network_intrinsics
    assert net.fx / net.fy == pytest.approx(TRAINING.fx / TRAINING.fy, rel=0.03)


@given(cameras)
def test_a_tied_network_is_never_shown_a_distorted_image(camera):
    view = View.fit(camera, 256, 192, Fit.STRETCH, TRAINING)
    net = view.network_intrinsics
    assert net.fx / net.fy == pytest.approx(TRAINING.fx / TRAINING.fy, rel=0.055)


def test_the_training_camera_is_seen_as_it_is():
    view = View.fit(TRAINING, 256, 192, Fit.STRETCH, TRAINING)
    image = np.random.default_rng(0).integers(0, 255, (192, 256, 3), np.uint8)
    np.testing.assert_array_equal(view.to_network(image), image)
    assert view.network_intrinsics == TRAINING
    assert view.focal_factor == 1.0
    depth = np.random.default_rng(1).uniform(0.5, 20, (192, 256)).astype(np.float32)
    np.testing.assert_allclose(view.depth_to_camera(depth), depth, rtol=1e-6)


@pytest.mark.parametrize('fit', list(Fit))
def test_twice_the_focal_length_is_factor_two(fit):
    longer = Intrinsics(1050, 1050, 319.5, 239.5, 640, 480)
    one = View.fit(KITCHEN, 256, 192, fit, TRAINING).focal_factor
    two = View.fit(longer, 256, 192, fit, TRAINING).focal_factor
    assert one == pytest.approx(1.0)
    assert two == pytest.approx(2.0)


def test_the_crop_puts_the_principal_point_where_training_had_it():
    off_centre = Intrinsics(707, 707, 700, 183, 1226, 370)
    net = View.fit(off_centre, 256, 192, Fit.CROP, TRAINING).network_intrinsics
    assert net.cx == pytest.approx(TRAINING.cx, abs=0.5)


def test_letterbox_pads_with_grey():
    view = View.fit(ROAD, 256, 192, Fit.LETTERBOX)
    shown = view.to_network(np.zeros((370, 1226, 3), np.uint8))
    rows, columns = view.visible
    assert not shown[rows, columns].any()
    assert (shown[: rows.start] == PADDING).all()
    assert (shown[rows.stop :] == PADDING).all()


def test_to_network_writes_into_the_given_buffer():
    buffer = np.zeros((1, 192, 256, 3), np.uint8)
    view = View.fit(KITCHEN, 256, 192, Fit.STRETCH)
    image = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    result = view.to_network(image, out=buffer[0])
    assert np.shares_memory(result, buffer)
    np.testing.assert_array_equal(buffer[0], view.to_network(image))


def test_to_network_refuses_another_size():
    view = View.fit(KITCHEN, 256, 192, Fit.STRETCH)
    with pytest.raises(CameraError, match=r'\(370, 1226, 3\)'):
        view.to_network(np.zeros((370, 1226, 3), np.uint8))


def test_fit_refuses_training_of_another_size():
    with pytest.raises(CameraError, match='training intrinsics'):
        View.fit(KITCHEN, 128, 96, Fit.STRETCH, TRAINING)


@given(cameras, fits, st.sampled_from([(256, 192), (128, 96), (86, 64)]))
@settings(max_examples=40)
def test_a_plane_survives_the_way_back(camera, fit, grid):
    """Inverse depth of a plane is linear in the image, so bilinear interpolation is exact."""
    view = View.fit(camera, 256, 192, fit)
    net = view.grid_intrinsics(*grid)

    def inverse_depth(k):
        rays = k.rays()
        return 0.5 + (0.05 * rays[..., 0] + 0.02 * rays[..., 1]) / reach

    reach = np.abs(net.rays()).max()
    back = view.depth_to_camera(np.reciprocal(inverse_depth(net)))
    expected = inverse_depth(camera)
    rows, columns = view.source.slices
    margin_y = 2 + int(2 * view.source.height / (view.target.height * grid[1] / 192))
    margin_x = 2 + int(2 * view.source.width / (view.target.width * grid[0] / 256))
    inner = (
        slice(rows.start + margin_y, rows.stop - margin_y),
        slice(columns.start + margin_x, columns.stop - margin_x),
    )
    np.testing.assert_allclose(1 / back[inner], expected[inner], rtol=1e-2)
    outside = np.ones(back.shape, bool)
    outside[view.source.slices] = False
    assert np.isnan(back[outside]).all()
    assert np.isfinite(back[view.source.slices]).all()


def test_depth_steps_stay_within_one_cell():
    depth = np.full((48, 64), 1.0, np.float32)
    depth[:, 32:] = 10.0
    view = View.fit(KITCHEN, 64, 48, Fit.STRETCH)
    back = view.depth_to_camera(depth)
    between = (back > 1.01) & (back < 9.99)
    assert between.any(axis=0).sum() <= 10


def test_unknown_depth_stays_unknown():
    depth = np.full((48, 64), 2.0, np.float32)
    depth[10:20, 10:20] = np.nan
    back = View.fit(KITCHEN, 64, 48, Fit.STRETCH).depth_to_camera(depth)
    assert np.isnan(back[110:190, 110:190]).all()
    assert np.isfinite(back[:80]).all()


@pytest.mark.parametrize('fit', list(Fit))
@pytest.mark.parametrize('camera', [KITCHEN, ROAD])
def test_depth_is_written_where_it_shall_be(camera, fit):
    depth = np.random.default_rng(0).uniform(1, 9, (48, 64)).astype(np.float32)
    view = View.fit(camera, 64, 48, fit)
    out = np.full((camera.height, camera.width), -1.0, np.float32)
    assert view.depth_to_camera(depth, out) is out
    np.testing.assert_array_equal(out, view.depth_to_camera(depth))
    assert not (out == -1.0).any()


def test_visible_window_holds_camera_only():
    view = View.fit(ROAD, 256, 192, Fit.LETTERBOX)
    for width, height in ((256, 192), (128, 96), (100, 75)):
        window = view.visible_window(width, height)
        assert window.y * 192 / height >= view.target.y - 1e-3
        assert (window.y + window.height) * 192 / height <= 57 + 77 + 1e-3
        assert (window.x, window.width) == (0, width)


def test_lanczos_is_that_of_pil():
    pil_image = pytest.importorskip('PIL.Image')
    image = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    image = cv2.GaussianBlur(image, (5, 5), 0)
    for size in ((64, 48), (200, 150), (160, 60)):
        ours = np.empty((size[1], size[0], 3), np.uint8)
        resize_into(image, ours, ResizeFilter.LANCZOS)
        theirs = np.asarray(pil_image.fromarray(image).resize(size, pil_image.LANCZOS))
        assert np.abs(ours.astype(int) - theirs).max() <= 1


@pytest.mark.parametrize(('ratio', 'roundings'), [(2, 1), (3, 1), (4, 2), (6, 1)])
def test_area_of_a_whole_ratio_is_the_mean(ratio, roundings):
    image = np.random.default_rng(0).integers(0, 255, (48 * ratio, 64 * ratio, 3), np.uint8)
    out = np.empty((48, 64, 3), np.uint8)
    resize_into(image, out, ResizeFilter.AREA)
    means = image.reshape(48, ratio, 64, ratio, 3).mean(axis=(1, 3))
    assert np.abs(out - means).max() <= 0.5 * roundings


def area_weights(source, target):
    """The share of each of `source` pixels in each of `target` pixels that cover the same."""
    ends = np.arange(target + 1) * source / target
    pixels = np.arange(source)
    covered = np.minimum(ends[1:, None], pixels + 1) - np.maximum(ends[:-1, None], pixels)
    return np.maximum(covered, 0.0) * target / source


@pytest.mark.parametrize(
    ('size', 'mean'),
    [
        ((640, 480), 2.0), ((1280, 960), 4.5), ((320, 240), 1.0), ((840, 630), 0.5),
        ((400, 480), 0.5),
    ],
)  # fmt: skip
def test_area_of_any_ratio_is_nearly_the_mean(size, mean):
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    image = cv2.GaussianBlur(noise, (0, 0), 2.0)
    image = cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX)
    out = np.empty((192, 256, 3), np.uint8)
    resize_into(image, out, ResizeFilter.AREA)
    rows, columns = area_weights(size[1], 192), area_weights(size[0], 256)
    exact = np.einsum('yv,vuc,xu->yxc', rows, image.astype(float), columns, optimize=True)
    difference = np.abs(out - exact)
    assert difference.mean() < mean
    assert np.percentile(difference, 99) < 4 * mean


def test_area_leaves_nothing_of_stripes_of_a_pixel():
    stripes = np.zeros((480, 640, 3), np.uint8)
    stripes[:, ::2] = 200
    out = np.empty((192, 256, 3), np.uint8)
    resize_into(stripes, out, ResizeFilter.AREA)
    assert np.abs(out.astype(int) - 100).max() <= 1


@pytest.mark.parametrize('size', [(64, 48), (256, 200), (160, 60)])
def test_bilinear_takes_the_four_nearest_pixels(size):
    """Naively, on the grid whose outer borders coincide."""
    width, height = size
    image = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    out = np.empty((height, width, 3), np.uint8)
    resize_into(image, out, ResizeFilter.BILINEAR)
    y = np.clip((np.arange(height) + 0.5) * 120 / height - 0.5, 0, 119)
    x = np.clip((np.arange(width) + 0.5) * 160 / width - 0.5, 0, 159)
    top, left = np.minimum(y.astype(int), 118), np.minimum(x.astype(int), 158)
    dy, dx = (y - top)[:, None, None], (x - left)[:, None]
    rows = image[top] * (1 - dy) + image[top + 1] * dy
    expected = rows[:, left] * (1 - dx) + rows[:, left + 1] * dx
    assert np.abs(out - expected).max() <= 1.0


@pytest.mark.parametrize('fit', list(Fit))
@pytest.mark.parametrize('shape', [(192, 256), (96, 128)])
def test_cells_that_show_any_unseen_pixel_are_told(fit, shape):
    """Naively: a cell is unseen where a pixel that it covers is."""
    camera = Intrinsics(525, 525, 319.5, 239.5, 640, 360)
    view = View.fit(camera, 256, 192, fit)
    seen = np.ones((360, 640), bool)
    seen[:, :100] = seen[300:, 400:] = False
    height, width = shape
    unseen = view.unseen_cells(seen, width, height)
    assert unseen.shape == shape
    s, t = view.source, view.target
    for row in range(0, height, 5):
        for column in range(0, width, 5):
            edges = []
            for at, to, begin, size, start, shown in (
                (column, 256 / width, s.x, s.width, t.x, t.width),
                (row, 192 / height, s.y, s.height, t.y, t.height),
            ):
                ends = [(one * to - start) * size / shown + begin for one in (at, at + 1)]
                edges.append((max(begin, round(ends[0] - 0.49)), round(ends[1] + 0.49)))
            (x0, x1), (y0, y1) = edges
            covered = seen[y0:y1, x0:x1] if x1 > 0 and y1 > 0 else seen[:0]
            border = seen[max(0, y0 - 3) : max(0, y1 + 3), max(0, x0 - 3) : max(0, x1 + 3)]
            if border.all() or not border.any():  # pixels that cells share lie on neither side
                assert unseen[row, column] == (not covered.all()), (row, column)
    assert 0 < unseen.mean() < 0.5
