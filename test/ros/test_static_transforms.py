"""Chains of /tf_static."""

import numpy as np
import pytest
from helpers import make_transform as stamped

from depth_ros.errors import MessageError
from depth_ros.motion.se3 import axis_angle_to_matrix, inverse, rigid
from depth_ros.ros.static_transforms import StaticTransforms


def motion(seed):
    rng = np.random.default_rng(seed)
    return rigid(axis_angle_to_matrix(rng.normal(size=3)), rng.normal(size=3))


def test_chains_are_followed_up_and_down():
    base_T_mast, mast_T_cam, base_T_lidar = motion(0), motion(1), motion(2)
    tree = StaticTransforms()
    tree.store([stamped('mast', 'camera', mast_T_cam), stamped('base', '/lidar', base_T_lidar)])
    tree.store([stamped('base', 'mast', base_T_mast)])
    np.testing.assert_allclose(tree.find('base', 'camera'), base_T_mast @ mast_T_cam, atol=1e-9)
    np.testing.assert_allclose(
        tree.find('lidar', 'camera'), inverse(base_T_lidar) @ base_T_mast @ mast_T_cam, atol=1e-9
    )
    np.testing.assert_allclose(
        tree.find('camera', 'base'), inverse(tree.find('base', 'camera')), atol=1e-9
    )
    np.testing.assert_allclose(tree.find('camera', 'camera'), np.eye(4), atol=1e-12)


def test_frames_without_connection_have_no_transform():
    tree = StaticTransforms()
    assert tree.find('base', 'camera') is None
    tree.store([stamped('base', 'mast', motion(0)), stamped('world', 'camera', motion(1))])
    assert tree.find('base', 'camera') is None


def test_the_newest_transform_of_a_frame_counts():
    tree = StaticTransforms()
    tree.store([stamped('base', 'camera', motion(0))])
    tree.store([stamped('base', 'camera', motion(1))])
    np.testing.assert_allclose(tree.find('base', 'camera'), motion(1), atol=1e-9)


def test_a_circle_is_an_error_and_no_endless_loop():
    tree = StaticTransforms()
    tree.store([stamped('a', 'b', motion(0)), stamped('b', 'a', motion(1))])
    with pytest.raises(MessageError, match='loop'):
        tree.find('c', 'a')


def test_the_root_is_the_topmost_frame_above():
    tree = StaticTransforms()
    tree.store([stamped('base', '/mast', motion(0)), stamped('mast', 'camera', motion(1))])
    assert tree.root_above('camera') == tree.root_above('/mast') == 'base'
    assert tree.root_above('base') is None
    assert tree.root_above('elsewhere') is None


def test_the_root_of_a_circle_is_found_without_going_round():
    tree = StaticTransforms()
    tree.store([stamped('a', 'b', motion(0)), stamped('b', 'a', motion(1))])
    tree.store([stamped('a', 'camera', motion(2))])
    assert tree.root_above('camera') == 'b'
    assert tree.root_above('a') == 'b'


def test_a_damaged_transform_costs_no_other_and_is_told_of_until_it_is_mended():
    tree = StaticTransforms()
    gripper, camera = stamped('base', '/gripper', motion(0)), stamped('base', 'camera', motion(1))
    q = gripper.transform.rotation
    q.x = q.y = q.z = q.w = 0.0
    tree.store([gripper, camera, stamped('base', 'lidar', motion(2))])
    np.testing.assert_allclose(tree.find('base', 'camera'), motion(1), atol=1e-9)
    np.testing.assert_allclose(tree.find('base', 'lidar'), motion(2), atol=1e-9)
    assert tree.find('base', 'gripper') is None
    assert list(tree.refused) == ['gripper']
    assert "'gripper' in 'base'" in tree.refused['gripper']
    tree.store([stamped('base', 'mast', motion(3))])  # of another publisher
    assert list(tree.refused) == ['gripper']
    tree.store([stamped('base', 'gripper', motion(0))])
    assert tree.refused == {}
    np.testing.assert_allclose(tree.find('base', 'gripper'), motion(0), atol=1e-9)


def test_what_was_known_of_a_frame_stays_when_a_damaged_transform_comes():
    broken = motion(1)
    broken[0, 3] = np.nan
    tree = StaticTransforms()
    tree.store([stamped('base', 'camera', motion(0))])
    tree.store([stamped('base', 'camera', broken)])
    np.testing.assert_allclose(tree.find('base', 'camera'), motion(0), atol=1e-9)
    assert 'nan' in tree.refused['camera']
