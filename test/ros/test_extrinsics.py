"""Which body odometry speaks of, and what of its frames this node has to tell tf."""

import numpy as np
import pytest
from helpers import make_transform

from depth_ros.motion.body_odometry import DEFAULT_BASE_T_CAM
from depth_ros.motion.mounting import base_T_camera
from depth_ros.parameters import Extrinsics, NodeParameters
from depth_ros.ros.extrinsics import find_mounting
from depth_ros.ros.static_transforms import StaticTransforms

OPTICAL, BODY = 'camera_color_optical_frame', 'camera_color_frame'
DRIVER = (('camera_link', BODY), (BODY, OPTICAL))
"""What camera drivers and robot descriptions send."""


def tree_of(*links: tuple[str, str]) -> StaticTransforms:
    tree = StaticTransforms()
    tree.store([make_transform(parent, child, np.eye(4)) for parent, child in links])
    return tree


@pytest.mark.parametrize(
    ('links', 'frame_above', 'joins_camera'),
    [
        ((), None, True),
        ((('base_link', 'lidar'),), None, True),
        (((BODY, OPTICAL),), None, False),
        (DRIVER, 'camera_link', False),
        ((('base_link', 'camera_link'), *DRIVER), 'base_link', False),
        ((('base_link', BODY),), 'base_link', True),
        # A body of another name than the driver's would be an island beside the robot.
        ((('base_link', OPTICAL),), 'base_link', False),
    ],
)
def test_a_camera_of_its_own_leaves_the_frames_of_others_alone(links, frame_above, joins_camera):
    mounting = find_mounting(NodeParameters(), '', OPTICAL, tree_of(*links))
    assert mounting.base_frame == BODY
    np.testing.assert_array_equal(mounting.base_T_cam, DEFAULT_BASE_T_CAM)
    assert (mounting.frame_above, mounting.joins_camera) == (frame_above, joins_camera)


@pytest.mark.parametrize(
    ('base_frame', 'links', 'frame_above'),
    [
        ('camera_link', DRIVER, None),
        ('base_link', (('base_footprint', 'base_link'), ('base_link', BODY), (BODY, OPTICAL)),
         'base_footprint'),
    ],
)  # fmt: skip
def test_a_base_of_the_robot_is_joined_by_the_robot(base_frame, links, frame_above):
    parameters = NodeParameters(base_frame=base_frame)
    mounting = find_mounting(parameters, '', OPTICAL, tree_of(*links))
    assert (mounting.base_frame, mounting.frame_above) == (base_frame, frame_above)
    assert not mounting.joins_camera


def test_a_place_from_the_parameter_is_not_told_to_tf_even_in_the_cameras_own_frame():
    place = (0.1, 0.2, 0.3, 0.0, 0.5, 0.0)
    parameters = NodeParameters(
        base_frame=BODY, extrinsics=Extrinsics.PARAMETER, camera_in_base=place
    )
    mounting = find_mounting(parameters, '', OPTICAL, StaticTransforms())
    np.testing.assert_array_equal(mounting.base_T_cam, base_T_camera(place))
    assert mounting.frame_above is None
    assert not mounting.joins_camera


def test_a_camera_that_tf_static_does_not_place_has_no_mounting_yet():
    parameters = NodeParameters(base_frame='base_link')
    assert find_mounting(parameters, '', OPTICAL, tree_of(*DRIVER)) is None
