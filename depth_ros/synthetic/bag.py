"""Bags of synthetic scenes, laid out like those of an RGB-D or stereo camera."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depth_ros.bags.writer import BagWriter, Storage
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.errors import ConfigError
from depth_ros.messages import bag_messages as build
from depth_ros.messages.stamps import NSEC
from depth_ros.synthetic.path import CameraMount, make_path
from depth_ros.synthetic.render import render
from depth_ros.synthetic.room import WallStyle, make_scene

START_NS = 1_700_000_000 * NSEC
FRAME_ID = 'camera_color_optical_frame'
WORLD_ID = 'world'
IMAGE_TOPIC = '/camera/color/image_raw/compressed'
INFO_TOPIC = '/camera/color/camera_info'
DEPTH_TOPIC = '/camera/depth/image_raw/compressedDepth'
ODOMETRY_TOPIC = '/ground_truth/odom'
RIGHT_IMAGE_TOPIC = '/camera/right/image_raw/compressed'
RIGHT_INFO_TOPIC = '/camera/right/camera_info'
MIN_RATE_HZ, MAX_RATE_HZ = 0.01, 1000.0
MAX_SPEED = 10.0
"""Metres a second. A walk is planned in memory: beyond these bounds it would not end or fit."""


@dataclass(frozen=True)
class SyntheticBag:
    """What to render into a bag.

    Attributes:
        seed: of the scene and the path, 0 or more.
        frames: how many.
        rate_hz: frames a second, MIN_RATE_HZ to MAX_RATE_HZ.
        intrinsics: of the camera.
        baseline_m: distance of a second camera to the right; None: no second camera.
        walls: whether walls have texture.
        speed: typical speed of the camera [m/s], up to MAX_SPEED.
        jpeg_quality: 1 to 100.
        mount: of the camera on a driving robot; None: a person carries it.
    """

    seed: int
    frames: int
    rate_hz: float
    intrinsics: Intrinsics
    baseline_m: float | None = None
    walls: WallStyle = WallStyle.TEXTURED
    speed: float = 0.6
    jpeg_quality: int = 95
    mount: CameraMount | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be rendered.

        Raises:
            ConfigError: a number is out of range.
        """
        if self.seed < 0:
            raise ConfigError(f'seed {self.seed} must be 0 or more')
        if self.frames < 1:
            raise ConfigError(f'frames {self.frames} must be 1 or more')
        if not MIN_RATE_HZ <= self.rate_hz <= MAX_RATE_HZ:
            raise ConfigError(
                f'rate {self.rate_hz:g} Hz must be within {MIN_RATE_HZ:g} to {MAX_RATE_HZ:g}'
            )
        if not 0 < self.speed <= MAX_SPEED:
            raise ConfigError(
                f'speed {self.speed:g} m/s must be above 0 and at most {MAX_SPEED:g}'
            )
        if not 1 <= self.jpeg_quality <= 100:
            raise ConfigError(f'JPEG quality {self.jpeg_quality} must be 1 to 100')
        if self.baseline_m is not None and not 0 < self.baseline_m <= 0.3:
            raise ConfigError(f'baseline {self.baseline_m} m must be above 0 and at most 0.3')


def write_bag(
    path: Path | str,
    bag: SyntheticBag,
    storage: Storage = Storage.MCAP,
    on_frame: Callable[[int], None] | None = None,
) -> None:
    """Render a scene along a path into a bag with exact depth and poses.

    Args:
        path: folder to be made.
        bag: what to render.
        storage: file format.
        on_frame: called with the number of frames done.

    Raises:
        BagError: the folder exists already, or cannot be written.
    """
    with BagWriter(path, storage) as writer:
        scene = make_scene(bag.seed, bag.walls)
        poses = make_path(scene, bag.frames, bag.rate_hz, bag.seed, bag.speed, bag.mount)
        for index, world_T_cam in enumerate(poses):
            stamp_ns = START_NS + round(index * NSEC / bag.rate_hz)
            rgb, depth_m = render(scene, bag.intrinsics, world_T_cam)
            _write_camera(writer, bag, stamp_ns, rgb)
            depth = build.compressed_depth(stamp_ns, FRAME_ID, depth_m)
            writer.write(DEPTH_TOPIC, build.COMPRESSED_IMAGE, stamp_ns, depth)
            odometry = build.odometry(stamp_ns, WORLD_ID, FRAME_ID, world_T_cam)
            writer.write(ODOMETRY_TOPIC, build.ODOMETRY, stamp_ns, odometry)
            if bag.baseline_m is not None:
                left_T_right = np.eye(4)
                left_T_right[0, 3] = bag.baseline_m
                right, _ = render(scene, bag.intrinsics, world_T_cam @ left_T_right)
                _write_right(writer, bag, bag.baseline_m, stamp_ns, right)
            if on_frame is not None:
                on_frame(index + 1)


def _write_camera(writer: BagWriter, bag: SyntheticBag, stamp_ns: int, rgb: np.ndarray) -> None:
    image = build.compressed_image(stamp_ns, FRAME_ID, rgb, bag.jpeg_quality)
    writer.write(IMAGE_TOPIC, build.COMPRESSED_IMAGE, stamp_ns, image)
    info = build.camera_info(stamp_ns, FRAME_ID, bag.intrinsics)
    writer.write(INFO_TOPIC, build.CAMERA_INFO, stamp_ns, info)


def _write_right(
    writer: BagWriter, bag: SyntheticBag, baseline_m: float, stamp_ns: int, rgb: np.ndarray
) -> None:
    # Both images of a rectified pair carry the frame of the left camera (sensor_msgs/CameraInfo).
    image = build.compressed_image(stamp_ns, FRAME_ID, rgb, bag.jpeg_quality)
    writer.write(RIGHT_IMAGE_TOPIC, build.COMPRESSED_IMAGE, stamp_ns, image)
    info = build.camera_info(stamp_ns, FRAME_ID, bag.intrinsics, baseline_m)
    writer.write(RIGHT_INFO_TOPIC, build.CAMERA_INFO, stamp_ns, info)
