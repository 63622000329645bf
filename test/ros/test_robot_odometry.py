"""Where the camera sits in the frame that the robot's odometry speaks of."""

import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped

from depth_ros.errors import MessageError
from depth_ros.messages.poses import matrix_to_quaternion
from depth_ros.motion import se3
from depth_ros.motion.body_odometry import DEFAULT_BASE_T_CAM
from depth_ros.parameters import Extrinsics, NodeParameters
from depth_ros.pipeline.scale import OdometryScale, ScaleSettings, ScaleSource
from depth_ros.ros.robot_odometry import find_camera
from depth_ros.ros.static_transforms import StaticTransforms

CAMERA = 'camera_optical_frame'
PLACE = (1.0, 0.2, 0.5, 0.0, 0.3, 0.0)
AHEAD = se3.rigid(se3.BODY_R_OPTICAL, np.array([1.0, 0.0, 0.0]))
STATIC = NodeParameters()
ON_BASE = NodeParameters(
    extrinsics=Extrinsics.PARAMETER, camera_in_base=PLACE, base_frame='base_link'
)


def motion(seed):
    rng = np.random.default_rng(seed)
    return se3.rigid(se3.axis_angle_to_matrix(rng.normal(size=3)), rng.normal(size=3))


def stamped(parent, child, parent_T_child):
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    position, q = message.transform.translation, message.transform.rotation
    position.x, position.y, position.z = parent_T_child[:3, 3].tolist()
    q.x, q.y, q.z, q.w = matrix_to_quaternion(parent_T_child[:3, :3])
    return message


def find(parameters, child_frame, *transforms):
    tree = StaticTransforms()
    tree.store(transforms)
    return find_camera(parameters, '', CAMERA, child_frame, tree)


@pytest.mark.parametrize('base_frame', ['', 'chassis'])
def test_static_transforms_lead_from_the_frame_of_the_message(base_frame):
    parameters = NodeParameters(base_frame=base_frame)
    base_T_mast, mast_T_cam = motion(0), motion(1)
    links = stamped('base_link', 'mast', base_T_mast), stamped('mast', CAMERA, mast_T_cam)
    np.testing.assert_allclose(find(parameters, '/base_link', *links), base_T_mast @ mast_T_cam)
    np.testing.assert_allclose(find(parameters, CAMERA), np.eye(4))


def test_the_parameter_places_the_camera_on_the_base():
    expected = ON_BASE.base_T_camera('')
    for child_frame in ('', 'base_link', '/base_link'):
        np.testing.assert_allclose(find(ON_BASE, child_frame), expected)
    # A frame that is not the base is joined to it.
    footprint_T_base = motion(2)
    link = stamped('footprint', 'base_link', footprint_T_base)
    np.testing.assert_allclose(find(ON_BASE, 'footprint', link), footprint_T_base @ expected)


def test_odometry_that_names_no_frame_is_of_the_base_or_of_the_camera():
    link = stamped('base_link', CAMERA, motion(3))
    np.testing.assert_allclose(find(NodeParameters(base_frame='base_link'), '', link), motion(3))
    np.testing.assert_allclose(find(STATIC, '', link), DEFAULT_BASE_T_CAM)


@pytest.mark.parametrize(('parameters', 'frame'), [(STATIC, CAMERA), (ON_BASE, 'base_link')])
def test_a_frame_that_is_not_connected_is_named(parameters, frame):
    with pytest.raises(MessageError, match=f"'wheels', which /tf_static .* '{frame}'"):
        find(parameters, 'wheels')


@pytest.mark.parametrize('rate_deg', [0, 10, 20])
def test_a_camera_far_ahead_of_a_turning_robot_has_the_scale_of_its_own_path(rate_deg):
    scale = OdometryScale(ScaleSettings(source=ScaleSource.ODOMETRY))
    child_T_cam = find(STATIC, 'base_link', stamped('base_link', CAMERA, AHEAD))
    turn = se3.axis_angle_to_matrix(np.radians([0, 0, 0.15 * rate_deg]))
    step = se3.rigid(turn, np.array([0.5 * 0.15, 0, 0]))
    odom_T_base, last = np.eye(4), None
    for index in range(40):
        stamp_ns = index * 150_000_000
        scale.add_odometry(stamp_ns, odom_T_base @ child_T_cam)
        odom_T_cam = odom_T_base @ AHEAD
        if last is not None:  # a network that tells the truth
            seen = se3.matrix_to_motion(se3.inverse(last) @ odom_T_cam)
            scale.observe_motion(stamp_ns - 150_000_000, stamp_ns, seen)
        last, odom_T_base = odom_T_cam, odom_T_base @ step
    assert scale.state.factor == pytest.approx(1.0, abs=1e-6)
