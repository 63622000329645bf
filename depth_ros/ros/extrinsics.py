"""Which frame odometry speaks of, and where the camera sits in it; no ROS in here."""

from __future__ import annotations

from depth_ros.body_odometry import DEFAULT_BASE_T_CAM
from depth_ros.mounting import Mounting, body_frame_of
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
    if not parameters.base_frame:
        return Mounting(body_frame_of(camera_frame), DEFAULT_BASE_T_CAM)
    if parameters.extrinsics is Extrinsics.PARAMETER:
        return Mounting(parameters.base_frame, parameters.base_T_camera(camera))
    found = transforms.find(parameters.base_frame, camera_frame)
    return None if found is None else Mounting(parameters.base_frame, found)
