"""Which frame odometry speaks of, and where the camera sits in it; no ROS in here."""

from __future__ import annotations

from depth_ros.motion.body_odometry import DEFAULT_BASE_T_CAM
from depth_ros.motion.frame_links import plain_frame
from depth_ros.motion.mounting import Mounting, body_frame_of
from depth_ros.parameters import Extrinsics, NodeParameters
from depth_ros.ros.static_transforms import StaticTransforms


def find_mounting(
    parameters: NodeParameters, camera: str, camera_frame: str, transforms: StaticTransforms
) -> Mounting | None:
    """The body whose pose is published for a camera by its name and the frame of its images.

    None where the position is to come from /tf_static, which does not tell it (yet).

    Raises:
        MessageError: the static transforms go round in a circle.
    """
    base_frame = parameters.base_frame
    if not base_frame:
        return _own_body(camera_frame, transforms)
    if parameters.extrinsics is Extrinsics.PARAMETER:
        base_T_cam = parameters.base_T_camera(camera)
    else:
        found = transforms.find(base_frame, camera_frame)
        if found is None:
            return None
        base_T_cam = found
    return Mounting(base_frame, base_T_cam, transforms.root_above(base_frame))


def _own_body(camera_frame: str, transforms: StaticTransforms) -> Mounting:
    """The camera as its own body; this node joins it, unless /tf_static places the camera."""
    base_frame = body_frame_of(camera_frame)
    above_camera = transforms.root_above(camera_frame)
    above_base = transforms.root_above(base_frame)
    if above_base is None and above_camera not in (None, plain_frame(base_frame)):
        above_base = above_camera  # which does not pass through the body
    joins_camera = above_camera is None and plain_frame(camera_frame) != ''
    return Mounting(base_frame, DEFAULT_BASE_T_CAM, above_base, joins_camera)
