"""Small recordings whose truth is known: brightness is depth, and the path is straight."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from depth_ros.bags import BagReader, BagWriter, Storage
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.messages import bag_messages

WIDTH, HEIGHT = 64, 48
PERIOD_NS = 200_000_000
START_NS = 1_700_000_000_000_000_000
METRES_PER_GREY = 0.02
"""Depth of a grey level; what the tiny depth graph answers by default."""
CAMERA = Intrinsics(50.0, 50.0, (WIDTH - 1) / 2, (HEIGHT - 1) / 2, WIDTH, HEIGHT)


def stamp_of(index: int) -> int:
    """Time of a frame [ns], 5 Hz."""
    return START_NS + index * PERIOD_NS


def grey_image(index: int) -> np.ndarray:
    """uint8 [H,W]: smooth waves that differ from frame to frame."""
    v, u = np.mgrid[:HEIGHT, :WIDTH]
    waves = np.sin(0.2 * u + 0.9 * index) + np.cos(0.3 * v - 0.5 * index)
    return np.rint(130.0 + 50.0 * waves).astype(np.uint8)


def box_image(index: int) -> np.ndarray:
    """uint8 [H,W]: a near box that moves to the right before a far wall."""
    image = np.full((HEIGHT, WIDTH), 200, np.uint8)
    image[15:32, 10 + 2 * index:40 + 2 * index] = 90
    return image


def true_depth(index: int) -> np.ndarray:
    """float32 [H,W] in metres, what the grey levels say."""
    return (METRES_PER_GREY * grey_image(index)).astype(np.float32)


def forward_pose(index: float) -> np.ndarray:
    """world_T_cam [4,4]: 0.1 m along the optical axis a frame, from a place of its own."""
    pose = np.eye(4)
    pose[:3, :3] = [[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]
    pose[:3, 3] = [5.0 + 0.1 * index, 2.0, 1.0]
    return pose


def write_recording(path: Path, frames: int = 12, *, depth: bool = True,
                    depth_every: int = 1, camera: Intrinsics = CAMERA, odometry: bool = True,
                    calibrated: bool = True, masks: Callable[[int], Any] | None = None,
                    storage: Storage = Storage.MCAP) -> Path:
    """Write the bag `path`: /image, /camera_info, and as asked /depth/image, /truth and /masks.

    depth_every: of so many frames the first has depth. camera: what camera_info tells of it.
    masks: makes the message of a frame, or None for a frame without.
    """
    with BagWriter(path, storage) as bag:
        for index in range(frames):
            stamp = stamp_of(index)
            rgb = np.repeat(grey_image(index)[..., None], 3, axis=2)
            bag.write('/image', bag_messages.IMAGE, stamp,
                      bag_messages.image(stamp, 'camera', rgb, 'rgb8'))
            info = bag_messages.camera_info(stamp, 'camera', camera)
            if not calibrated:
                info.k, info.p = np.zeros(9), np.zeros(12)
            bag.write('/camera_info', bag_messages.CAMERA_INFO, stamp, info)
            if depth and index % depth_every == 0:
                bag.write('/depth/image', bag_messages.IMAGE, stamp,
                          bag_messages.image(stamp, 'camera', true_depth(index), '32FC1'))
            mask = None if masks is None else masks(index)
            if mask is not None:
                raw = hasattr(mask, 'encoding')
                bag.write('/masks', bag_messages.IMAGE if raw else bag_messages.COMPRESSED_IMAGE,
                          stamp, mask)
            if odometry:
                bag.write('/truth', bag_messages.ODOMETRY, stamp,
                          bag_messages.odometry(stamp, 'world', 'camera', forward_pose(index)))
    return path


def rewrite(path: Path, source: Path, edit: Callable[[str, int, Any], Any] | None = None,
            odometry: Iterable[tuple[str, int, Any]] = ()) -> Path:
    """Write the bag `path`: the recording `source`, edited, with more odometry at its end.

    edit: of topic, frame and message makes the message that is written, or None for none.
    odometry: topic, stamp and message of each that is added.
    """
    with BagReader(source) as reader, BagWriter(path) as writer:
        types = {topic.name: topic.type for topic in reader.topics}
        for topic, stamp, message in reader.messages(list(types)):
            index = (stamp - START_NS) // PERIOD_NS
            edited = message if edit is None else edit(topic, index, message)
            if edited is not None:
                writer.write(topic, types[topic], stamp, edited)
        for topic, stamp, message in odometry:
            writer.write(topic, bag_messages.ODOMETRY, stamp, message)
    return path
