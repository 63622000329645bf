"""Transforms of a bag at a time."""

import numpy as np
import pytest

from depth_ros.bags import BagReader, BagTransforms, BagWriter
from depth_ros.messages import bag_messages
from depth_ros.motion.se3 import axis_angle_to_matrix, inverse, rigid

BASE_T_LIDAR = rigid(axis_angle_to_matrix(np.array([0.0, 0.0, 0.3])), np.array([0.1, 0.0, 1.0]))


def tilted(share):
    """base_T_cam of a camera that nods by 0.4 rad and rises by 2 m from share 0 to 1."""
    return rigid(axis_angle_to_matrix(np.array([0.4 * share, 0.0, 0.0])),
                 np.array([0.0, 0.0, 2.0 * share]))


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    path = tmp_path_factory.mktemp('bags') / 'nodding'
    with BagWriter(path) as writer:
        writer.write('/tf_static', bag_messages.TRANSFORMS, 0,
                     bag_messages.transform(0, 'base', 'lidar', BASE_T_LIDAR))
        for stamp in (1000, 3000, 2000):
            share = (stamp - 1000) / 2000
            writer.write('/tf', bag_messages.TRANSFORMS, stamp,
                         bag_messages.transform(stamp, 'base', '/cam', tilted(share)))
    return path


@pytest.mark.parametrize('stamp', [1000, 1500, 2000, 2700, 3000])
def test_moving_frames_are_interpolated(bag, stamp):
    with BagReader(bag) as reader:
        cam_T_lidar = BagTransforms(reader).find('cam', 'lidar', stamp)
    expected = inverse(tilted((stamp - 1000) / 2000)) @ BASE_T_LIDAR
    np.testing.assert_allclose(cam_T_lidar, expected, atol=1e-9)


@pytest.mark.parametrize('stamp', [999, 3001])
def test_nothing_is_known_before_and_after(bag, stamp):
    with BagReader(bag) as reader:
        transforms = BagTransforms(reader)
        assert transforms.find('cam', 'lidar', stamp) is None
        assert transforms.connects('cam', 'lidar')
        assert not transforms.connects('cam', 'nowhere')


def test_static_frames_are_known_at_any_time_and_all_are_named(bag):
    with BagReader(bag) as reader:
        transforms = BagTransforms(reader)
        np.testing.assert_allclose(transforms.find('base', 'lidar', -5), BASE_T_LIDAR, atol=1e-9)
        assert transforms.find('nowhere', 'lidar', 2000) is None
        assert transforms.frames == ('base', 'cam', 'lidar')
