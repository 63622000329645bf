"""ROS 2 messages as rosbags writes them, built from numpy.

Units and frames are those of the message definitions: metres, radians, seconds; optical frames
for cameras.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.errors import MessageError
from depth_ros.messages.poses import matrix_to_quaternion
from depth_ros.messages.stamps import NSEC

IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED_IMAGE = 'sensor_msgs/msg/CompressedImage'
CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'
POINT_CLOUD = 'sensor_msgs/msg/PointCloud2'
ODOMETRY = 'nav_msgs/msg/Odometry'
POSE = 'geometry_msgs/msg/PoseStamped'
TWIST = 'geometry_msgs/msg/TwistStamped'
TWIST_WITH_COVARIANCE = 'geometry_msgs/msg/TwistWithCovarianceStamped'
TRANSFORMS = 'tf2_msgs/msg/TFMessage'

_PIXELS = {
    'mono8': (np.uint8, 1),
    'rgb8': (np.uint8, 3),
    'bgr8': (np.uint8, 3),
    'mono16': (np.uint16, 1),
    '16UC1': (np.uint16, 1),
    '32FC1': (np.float32, 1),
}
_COMPRESSED_DEPTH_HEADER = bytes(12)


@dataclass(frozen=True)
class PointField:
    """One channel of a point: its name, byte offset, and sensor_msgs/PointField datatype."""

    name: str
    offset: int
    datatype: int


@dataclass(frozen=True, eq=False)
class Twist:
    """Velocity of a body along its own axes: linear [3] m/s, angular [3] rad/s.

    `covariance` [6,6] is ordered (linear, angular).
    """

    linear: np.ndarray
    angular: np.ndarray
    covariance: np.ndarray


@lru_cache(maxsize=1)
def typestore() -> Typestore:
    """The message definitions that bags are written with."""
    return get_typestore(Stores.ROS2_JAZZY)


def header(stamp_ns: int, frame_id: str) -> Any:
    """std_msgs/Header."""
    types = typestore().types
    stamp = types['builtin_interfaces/msg/Time'](sec=stamp_ns // NSEC, nanosec=stamp_ns % NSEC)
    return types['std_msgs/msg/Header'](stamp=stamp, frame_id=frame_id)


def camera_info(
    stamp_ns: int, frame_id: str, intrinsics: Intrinsics, baseline_m: float = 0.0
) -> Any:
    """sensor_msgs/CameraInfo of a rectified camera.

    `baseline_m` is how far right of the left camera it is: P[3] = -fx * baseline.
    """
    types = typestore().types
    p = np.zeros((3, 4))
    p[:, :3] = intrinsics.matrix
    p[0, 3] = 0.0 - intrinsics.fx * baseline_m
    roi = types['sensor_msgs/msg/RegionOfInterest'](
        x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
    )
    return types[CAMERA_INFO](
        header=header(stamp_ns, frame_id),
        height=intrinsics.height,
        width=intrinsics.width,
        distortion_model='plumb_bob',
        d=np.zeros(5),
        k=intrinsics.matrix.ravel(),
        r=np.eye(3).ravel(),
        p=p.ravel(),
        binning_x=0,
        binning_y=0,
        roi=roi,
    )


def image(stamp_ns: int, frame_id: str, pixels: np.ndarray, encoding: str) -> Any:
    """sensor_msgs/Image of an array whose type and channels fit the encoding.

    Raises:
        MessageError: the encoding is unknown here, or the array does not fit it.
    """
    if encoding not in _PIXELS:
        raise MessageError(f'cannot write images as {encoding!r} (can: {", ".join(_PIXELS)})')
    dtype, channels = _PIXELS[encoding]
    shape = pixels.shape[2:] or (1,)
    if pixels.dtype != dtype or shape != (channels,):
        raise MessageError(f'{encoding} does not fit pixels {pixels.dtype}{list(pixels.shape)}')
    height, width = pixels.shape[:2]
    little = pixels.astype(pixels.dtype.newbyteorder('<'), order='C', copy=False)
    return typestore().types[IMAGE](
        header=header(stamp_ns, frame_id),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=width * channels * pixels.dtype.itemsize,
        data=little.view(np.uint8).reshape(-1),
    )


def compressed_image(stamp_ns: int, frame_id: str, rgb: np.ndarray, quality: int = 95) -> Any:
    """sensor_msgs/CompressedImage, JPEG of uint8 RGB [H,W,3]."""
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    data = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return typestore().types[COMPRESSED_IMAGE](
        header=header(stamp_ns, frame_id), format='rgb8; jpeg compressed bgr8', data=data.ravel()
    )


def compressed_depth(stamp_ns: int, frame_id: str, depth_m: np.ndarray) -> Any:
    """sensor_msgs/CompressedImage, PNG of 16UC1 millimetres as compressed_depth_image_transport.

    `depth_m` is float32 [H,W] in metres; what is not finite or beyond 65.535 m becomes 0,
    unknown.
    """
    millimetres = np.rint(np.nan_to_num(depth_m, nan=0.0, posinf=0.0, neginf=0.0) * 1000)
    millimetres[(millimetres < 0) | (millimetres > 65535)] = 0
    png = cv2.imencode('.png', millimetres.astype(np.uint16))[1].ravel()
    prefix = np.frombuffer(_COMPRESSED_DEPTH_HEADER, np.uint8)
    return typestore().types[COMPRESSED_IMAGE](
        header=header(stamp_ns, frame_id),
        format='16UC1; compressedDepth png',
        data=np.concatenate([prefix, png]),
    )


def odometry(
    stamp_ns: int,
    frame_id: str,
    child_frame_id: str,
    parent_T_child: np.ndarray,
    pose_covariance: np.ndarray | None = None,
    twist: Twist | None = None,
) -> Any:
    """nav_msgs/Odometry of a pose [4,4] with covariance [6,6]; without a twist, its twist is 0."""
    types = typestore().types
    covariance = np.zeros((6, 6)) if pose_covariance is None else pose_covariance
    twist = twist or Twist(np.zeros(3), np.zeros(3), np.zeros((6, 6)))
    return types[ODOMETRY](
        header=header(stamp_ns, frame_id),
        child_frame_id=child_frame_id,
        pose=types['geometry_msgs/msg/PoseWithCovariance'](
            pose=_pose(parent_T_child), covariance=np.asarray(covariance, np.float64).reshape(36)
        ),
        twist=types['geometry_msgs/msg/TwistWithCovariance'](
            twist=_twist(twist),
            covariance=np.asarray(twist.covariance, np.float64).reshape(36),
        ),
    )


def twist_stamped(stamp_ns: int, frame_id: str, twist: Twist) -> Any:
    """geometry_msgs/TwistStamped, which has no covariance."""
    return typestore().types[TWIST](header=header(stamp_ns, frame_id), twist=_twist(twist))


def pose_stamped(stamp_ns: int, frame_id: str, parent_T_child: np.ndarray) -> Any:
    """geometry_msgs/PoseStamped of a pose [4,4]."""
    return typestore().types[POSE](
        header=header(stamp_ns, frame_id), pose=_pose(parent_T_child)
    )


def transform(
    stamp_ns: int, parent_frame: str, child_frame: str, parent_T_child: np.ndarray
) -> Any:
    """tf2_msgs/TFMessage with one transform."""
    types = typestore().types
    x, y, z = (float(v) for v in parent_T_child[:3, 3])
    stamped = types['geometry_msgs/msg/TransformStamped'](
        header=header(stamp_ns, parent_frame),
        child_frame_id=child_frame,
        transform=types['geometry_msgs/msg/Transform'](
            translation=types['geometry_msgs/msg/Vector3'](x=x, y=y, z=z),
            rotation=_quaternion(parent_T_child),
        ),
    )
    return types[TRANSFORMS](transforms=[stamped])


def point_cloud(
    stamp_ns: int,
    frame_id: str,
    points: np.ndarray,
    fields: Sequence[PointField],
    *,
    is_dense: bool,
) -> Any:
    """sensor_msgs/PointCloud2 of points uint8 [H,W,point_step], organised like the image."""
    types = typestore().types
    height, width, step = points.shape
    channel = types['sensor_msgs/msg/PointField']
    return types[POINT_CLOUD](
        header=header(stamp_ns, frame_id),
        height=height,
        width=width,
        fields=[
            channel(name=f.name, offset=f.offset, datatype=f.datatype, count=1) for f in fields
        ],
        is_bigendian=False,
        point_step=step,
        row_step=step * width,
        data=np.ascontiguousarray(points).reshape(-1),
        is_dense=is_dense,
    )


def _pose(parent_T_child: np.ndarray) -> Any:
    types = typestore().types
    x, y, z = (float(v) for v in parent_T_child[:3, 3])
    return types['geometry_msgs/msg/Pose'](
        position=types['geometry_msgs/msg/Point'](x=x, y=y, z=z),
        orientation=_quaternion(parent_T_child),
    )


def _twist(twist: Twist) -> Any:
    types = typestore().types
    linear, angular = (
        types['geometry_msgs/msg/Vector3'](x=float(v[0]), y=float(v[1]), z=float(v[2]))
        for v in (twist.linear, twist.angular)
    )
    return types['geometry_msgs/msg/Twist'](linear=linear, angular=angular)


def _quaternion(parent_T_child: np.ndarray) -> Any:
    x, y, z, w = matrix_to_quaternion(parent_T_child[:3, :3])
    return typestore().types['geometry_msgs/msg/Quaternion'](x=x, y=y, z=z, w=w)
