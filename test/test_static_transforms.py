"""Chains of transforms between the frames of a bag."""

import numpy as np
import pytest

from depth_ros.bags import BagReader, BagWriter, TransformGraph, read_static_transforms
from depth_ros.messages import bag_messages
from depth_ros.motion.se3 import axis_angle_to_matrix, inverse, rigid


def motion(seed):
    rng = np.random.default_rng(seed)
    return rigid(axis_angle_to_matrix(rng.normal(size=3)), rng.normal(size=3))


def test_chains_lead_up_down_and_across():
    base_T_mast, mast_T_cam, base_T_lidar = motion(0), motion(1), motion(2)
    graph = TransformGraph({('base', 'mast'): base_T_mast, ('mast', 'cam'): mast_T_cam,
                            ('base', 'lidar'): base_T_lidar})
    np.testing.assert_allclose(graph.find('base', 'cam'), base_T_mast @ mast_T_cam, atol=1e-9)
    np.testing.assert_allclose(graph.find('cam', 'lidar'),
                               inverse(base_T_mast @ mast_T_cam) @ base_T_lidar, atol=1e-9)
    np.testing.assert_allclose(graph.find('lidar', 'cam'), inverse(graph.find('cam', 'lidar')),
                               atol=1e-9)


def test_a_frame_with_two_parents_and_a_circle_are_no_obstacle():
    cam_T_mast, base_T_mast = motion(3), motion(4)
    graph = TransformGraph({('cam', 'mast'): cam_T_mast, ('base', 'mast'): base_T_mast,
                            ('mast', 'base'): inverse(base_T_mast)})
    np.testing.assert_allclose(graph.find('cam', 'base'), cam_T_mast @ inverse(base_T_mast),
                               atol=1e-9)


@pytest.mark.parametrize('frames', [('base', 'nowhere'), ('nowhere', 'base'), ('base', 'island')])
def test_frames_that_are_not_connected_have_no_transform(frames):
    graph = TransformGraph({('base', 'cam'): motion(5), ('shore', 'island'): motion(6)})
    assert graph.find(*frames) is None


def test_a_frame_is_itself_even_if_it_is_unknown():
    np.testing.assert_array_equal(TransformGraph({}).find('/cam', 'cam'), np.eye(4))


def test_bag_is_read_and_a_slash_before_a_frame_means_nothing(tmp_path):
    first, last = motion(7), motion(8)
    with BagWriter(tmp_path / 'bag') as bag:
        for stamp, matrix in enumerate((first, last)):
            bag.write('/tf_static', bag_messages.TRANSFORMS, stamp,
                      bag_messages.transform(stamp, '/base', 'cam', matrix))
    with BagReader(tmp_path / 'bag') as reader:
        graph = read_static_transforms(reader)
    np.testing.assert_allclose(graph.find('base', '/cam'), last, atol=1e-9)


def test_a_bag_without_transforms_has_no_frames(tmp_path):
    with BagWriter(tmp_path / 'bag') as bag:
        bag.write('/pose', bag_messages.POSE, 0, bag_messages.pose_stamped(0, 'map', np.eye(4)))
    with BagReader(tmp_path / 'bag') as reader:
        assert read_static_transforms(reader).edges == {}
