"""PointCloud2 to coordinates, against clouds packed value by value."""

import struct
from types import SimpleNamespace

import numpy as np
import pytest

from depth_ros.errors import MessageError
from depth_ros.messages.cloud_messages import cloud_to_xyz

FORMATS = {'f4': ('f', 7), 'f8': ('d', 8)}


def make_cloud(xyz, offsets, kinds=('f4', 'f4', 'f4'), point_step=32, row_padding=0, big=False,
               names=('x', 'y', 'z')):
    """Pack points [H,W,3] one value at a time, with 0xAB in every byte that is not told."""
    height, width, _ = xyz.shape
    row_step = width * point_step + row_padding
    data = bytearray(b'\xab' * (height * row_step))
    for v in range(height):
        for u in range(width):
            for axis in range(3):
                struct.pack_into('><'[not big] + FORMATS[kinds[axis]][0], data,
                                 v * row_step + u * point_step + offsets[axis],
                                 float(xyz[v, u, axis]))
    fields = [SimpleNamespace(name=name, offset=offset, datatype=FORMATS[kind][1], count=1)
              for name, offset, kind in zip(names, offsets, kinds)]
    return SimpleNamespace(height=height, width=width, fields=fields[::-1], is_bigendian=big,
                           point_step=point_step, row_step=row_step,
                           data=np.frombuffer(bytes(data), np.uint8))


def make_points(height=2, width=5, seed=0):
    return np.random.default_rng(seed).normal(size=(height, width, 3)).astype(np.float32)


@pytest.mark.parametrize('big', [False, True])
@pytest.mark.parametrize(('offsets', 'kinds'), [
    ((0, 4, 8), ('f4', 'f4', 'f4')),
    ((8, 4, 0), ('f4', 'f4', 'f4')),
    ((20, 0, 9), ('f4', 'f4', 'f4')),
    ((1, 9, 17), ('f8', 'f8', 'f8')),
    ((0, 8, 16), ('f8', 'f4', 'f8')),
])
@pytest.mark.parametrize('row_padding', [0, 7])
def test_every_layout_gives_the_same_points(offsets, kinds, row_padding, big):
    points = make_points()
    cloud = make_cloud(points, offsets, kinds, row_padding=row_padding, big=big)
    np.testing.assert_array_equal(cloud_to_xyz(cloud), points)


@pytest.mark.parametrize('offsets', [(0, 4, 8), (8, 4, 0), (4, 12, 20)])
def test_evenly_spaced_fields_are_not_copied(offsets):
    cloud = make_cloud(make_points(), offsets)
    xyz = cloud_to_xyz(cloud)
    assert np.shares_memory(xyz, cloud.data)
    with pytest.raises(ValueError, match='read-only'):
        xyz[0, 0, 0] = 1.0


def test_bytes_and_a_last_row_without_padding_do():
    points = make_points()
    cloud = make_cloud(points, (0, 4, 8), point_step=12, row_padding=4)
    cloud.data = cloud.data.tobytes()[:-4]
    np.testing.assert_array_equal(cloud_to_xyz(cloud), points)


def test_an_empty_cloud_has_no_points():
    cloud = make_cloud(make_points(), (0, 4, 8))
    cloud.width, cloud.row_step, cloud.data = 0, 0, np.empty(0, np.uint8)
    assert cloud_to_xyz(cloud).shape == (2, 0, 3)


def damaged(**changes):
    cloud = make_cloud(make_points(), (0, 4, 8))
    for name, value in changes.items():
        setattr(cloud, name, value)
    return cloud


@pytest.mark.parametrize(('cloud', 'match'), [
    (damaged(data=np.zeros(10, np.uint8)), 'needs 320 bytes, not 10'),
    (damaged(row_step=100), 'row step 100'),
    (damaged(point_step=8), 'a point of 8'),
    (damaged(height=1 << 40), 'needs'),
    (damaged(fields=[]), "no field 'x'; it has: none"),
    (damaged(fields=[SimpleNamespace(name=n, offset=0, datatype=5) for n in 'xyz']),
     r'datatype 5 \(supported: 7'),
])
def test_a_damaged_cloud_costs_one_clear_line(cloud, match):
    with pytest.raises(MessageError, match=match):
        cloud_to_xyz(cloud)
