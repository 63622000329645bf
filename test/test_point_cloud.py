"""Depth and colour to points."""

import struct

import numpy as np
import pytest

from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.point_cloud import PointCloudWriter

CAMERA = Intrinsics(50, 55, 15.2, 11.7, 33, 25)


def cloud(depth, image, stride=1):
    writer = PointCloudWriter(CAMERA, stride, coloured=image is not None)
    layout = writer.layout
    data = bytearray(layout.height * layout.width * layout.point_step)
    out = np.frombuffer(data, np.uint8).reshape(layout.height, layout.width, layout.point_step)
    writer.write(depth, image, out)
    return writer.layout, bytes(data)


def scene():
    rng = np.random.default_rng(0)
    depth = rng.uniform(0.5, 9, (25, 33)).astype(np.float32)
    depth[3, 4] = np.nan
    return depth, rng.integers(0, 255, (25, 33, 3), np.uint8)


@pytest.mark.parametrize('stride', [1, 2, 5])
def test_every_point_by_hand(stride):
    depth, image = scene()
    layout, data = cloud(depth, image, stride)
    rows, columns = range(0, 25, stride), range(0, 33, stride)
    assert (layout.height, layout.width) == (len(rows), len(columns))
    points = list(struct.iter_unpack('<fffI', data))
    for index, (v, u) in enumerate((v, u) for v in rows for u in columns):
        x, y, z, rgb = points[index]
        d = depth[v, u]
        expected = (d * (u - CAMERA.cx) / CAMERA.fx, d * (v - CAMERA.cy) / CAMERA.fy, d)
        np.testing.assert_allclose((x, y, z), expected, rtol=1e-5)
        red, green, blue = (int(c) for c in image[v, u])
        assert rgb == red << 16 | green << 8 | blue


def test_large_clouds_are_made_in_bands():
    """The last band is shorter than the others."""
    camera = Intrinsics(300, 310, 320.3, 115.2, 640, 231)
    rng = np.random.default_rng(1)
    depth = rng.uniform(0.5, 9, (231, 640)).astype(np.float32)
    image = rng.integers(0, 255, (231, 640, 3), np.uint8)
    out = np.empty((231, 640, 16), np.uint8)
    PointCloudWriter(camera).write(depth, image, out)
    points = out.view(np.float32)
    np.testing.assert_allclose(points[..., :2], camera.rays() * depth[..., None], rtol=1e-6)
    np.testing.assert_array_equal(points[..., 2], depth)
    np.testing.assert_array_equal(out[..., 14:11:-1], image)


def test_without_colour():
    depth, image = scene()
    layout, plain = cloud(depth, None)
    _, coloured = cloud(depth, image)
    assert layout.point_step == 12
    xyz = np.frombuffer(plain, np.float32).reshape(25, 33, 3)
    xyzrgb = np.frombuffer(coloured, np.float32).reshape(25, 33, 4)
    np.testing.assert_array_equal(xyz, xyzrgb[..., :3])


def test_points_project_back_onto_their_pixels():
    depth, _ = scene()
    _, data = cloud(depth, None)
    x, y, z = np.moveaxis(np.frombuffer(data, np.float32).reshape(25, 33, 3), 2, 0)
    known = np.isfinite(z)
    v, u = np.mgrid[:25, :33]
    np.testing.assert_allclose((CAMERA.fx * x / z + CAMERA.cx)[known], u[known], atol=1e-4)
    np.testing.assert_allclose((CAMERA.fy * y / z + CAMERA.cy)[known], v[known], atol=1e-4)


def test_unknown_depth_is_nan_in_every_coordinate():
    depth, image = scene()
    _, data = cloud(depth, image)
    points = np.frombuffer(data, np.float32).reshape(25, 33, 4)
    assert np.isnan(points[3, 4, :3]).all()
    assert np.count_nonzero(np.isnan(points[..., :3])) == 3


def test_the_buffer_is_filled_again():
    depth, image = scene()
    writer = PointCloudWriter(CAMERA)
    out = np.zeros((25, 33, 16), np.uint8)
    writer.write(depth, image, out)
    first = out.copy()
    writer.write(depth * 2, image, out)
    np.testing.assert_allclose(
        out.view(np.float32)[..., :3], 2 * first.view(np.float32)[..., :3], rtol=1e-6
    )


def test_equals_create_cloud_of_sensor_msgs_py():
    point_cloud2 = pytest.importorskip('sensor_msgs_py.point_cloud2')
    from sensor_msgs.msg import PointField
    from std_msgs.msg import Header

    depth, image = scene()
    layout, data = cloud(depth, image)
    names = ('x', 'y', 'z', 'rgb')
    fields = [PointField(name=n, offset=4 * i, datatype=7, count=1) for i, n in enumerate(names)]
    points = np.frombuffer(data, np.float32).reshape(-1, 4)
    message = point_cloud2.create_cloud(Header(), fields, points)
    assert bytes(message.data) == data
    assert message.point_step == layout.point_step
