"""Factories, and a listener, that several test files share."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.messages.poses import matrix_to_quaternion
from depth_ros.messages.stamps import NSEC

_SHARED_DATA = Path(__file__).resolve().parents[1] / '..' / 'shared' / 'data'


def shared_bag(name: str) -> Path:
    """One of the real bags beside the project; the test is skipped where it is not there."""
    path = _SHARED_DATA / name
    if not path.exists():
        pytest.skip(f'needs the real bag {path}')
    return path


NEEDS_OPENVINO = pytest.mark.skipif(
    importlib.util.find_spec('openvino') is None, reason='openvino is not installed'
)


def quiet(_: str) -> None:
    """Nobody listens to the progress."""


def make_intrinsics(width: int = 64, height: int = 48, focal: float = 50.0) -> Intrinsics:
    """A camera whose optical axis goes through the middle of the image."""
    return Intrinsics(focal, focal, (width - 1) / 2, (height - 1) / 2, width, height)


def make_header(stamp_ns: int = 5 * NSEC + 7, frame_id: str = 'camera') -> SimpleNamespace:
    """A std_msgs/Header by duck type."""
    stamp = SimpleNamespace(sec=stamp_ns // NSEC, nanosec=stamp_ns % NSEC)
    return SimpleNamespace(stamp=stamp, frame_id=frame_id)


def make_image(pixels: np.ndarray, encoding: str, padding: int = 0) -> SimpleNamespace:
    """A sensor_msgs/Image by duck type; every row is followed by `padding` bytes."""
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(pixels.shape[0], -1)
    data = np.pad(rows, ((0, 0), (0, padding)), constant_values=77)
    return SimpleNamespace(
        header=make_header(),
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=data.shape[1],
        data=data.reshape(-1),
    )


def make_camera_info(
    intrinsics: Intrinsics, d: tuple[float, ...] = (), model: str = 'plumb_bob'
) -> SimpleNamespace:
    """A sensor_msgs/CameraInfo by duck type, its P equal to its K."""
    k = intrinsics.matrix
    return SimpleNamespace(
        header=make_header(),
        width=intrinsics.width,
        height=intrinsics.height,
        k=k.ravel(),
        d=list(d),
        r=np.eye(3).ravel(),
        p=np.hstack([k, np.zeros((3, 1))]).ravel(),
        distortion_model=model,
        binning_x=0,
        binning_y=0,
        roi=SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0, do_rectify=False),
    )


def make_transform(parent: str, child: str, parent_T_child: np.ndarray) -> SimpleNamespace:
    """A geometry_msgs/TransformStamped by duck type, as of /tf_static."""
    x, y, z = parent_T_child[:3, 3]
    qx, qy, qz, qw = matrix_to_quaternion(parent_T_child[:3, :3])
    transform = SimpleNamespace(
        translation=SimpleNamespace(x=x, y=y, z=z),
        rotation=SimpleNamespace(x=qx, y=qy, z=qz, w=qw),
    )
    header = SimpleNamespace(frame_id=parent)
    return SimpleNamespace(header=header, child_frame_id=child, transform=transform)
