"""What the demo plays: a bag of the user's, or a synthetic scene rendered on the spot."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depth_ros.bags import (
    BagReader,
    CameraTopics,
    find_camera_topics,
    find_depth_topic,
    find_odometry_topic,
)
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.errors import BagError
from depth_ros.messages.stamps import stamp_ns
from depth_ros.synthetic import SyntheticBag, write_bag

SCENE_SEED = 1_000_003
"""Seeds from a million on are never trained on."""
SCENE_FRAMES, SCENE_RATE_HZ = 225, 15.0
_WIDTH, _HEIGHT, _FOV_DEG = 640, 480, 62.7


@dataclass(frozen=True)
class Scene:
    """A bag with the topics that the demo uses."""

    bag: Path
    topics: CameraTopics
    depth_topic: str | None
    odometry_topic: str | None
    camera_frame: str
    """The frame that the images name."""
    stamps_ns: tuple[int, ...]
    """Of the images, in order of recording."""
    remarks: tuple[str, ...] = ()
    """What cannot be compared with, and why."""

    @property
    def recorded_rate_hz(self) -> float:
        """Images a second of recorded time."""
        return 1e9 / float(np.median(np.diff(self.stamps_ns)))

    def spread(self, count: int) -> frozenset[int]:
        """At most `count` stamps, spread evenly over the bag and away from its ends."""
        step = max(1, math.ceil(len(self.stamps_ns) / count))
        return frozenset(self.stamps_ns[step // 2 :: step])


def open_scene(
    bag: Path,
    image: str | None = None,
    camera_info: str | None = None,
    depth: str | None = None,
    odometry: str | None = None,
) -> Scene:
    """Look into a bag.

    Args:
        bag: a rosbag2.
        image, camera_info: topics; None: the only ones, those that belong together.
        depth, odometry: the truth; None: the only topic of its kind, or none where there are
            several.

    Raises:
        BagError: no bag, no choice of camera, a topic that is not there, or fewer than two images.
    """
    remarks: list[str] = []

    def truth(find: Callable[[BagReader, str | None], str | None], name: str | None) -> str | None:
        try:
            return find(reader, name)
        except BagError as error:
            if name is not None:
                raise
            remarks.append(f'not compared: {error}')
            return None

    with BagReader(bag) as reader:
        topics = find_camera_topics(reader, image, camera_info)
        messages = reader.messages([topics.image])
        stamps_ns = tuple(stamp_ns(message.header) for _, _, message in messages)
        if len(stamps_ns) < 2:
            raise BagError(f'{bag} has {len(stamps_ns)} images on {topics.image}, 2 are needed')
        return Scene(
            bag,
            topics,
            truth(find_depth_topic, depth),
            truth(find_odometry_topic, odometry),
            reader.frame_of(topics.image),
            stamps_ns,
            tuple(remarks),
        )


def render_scene(bag: Path, on_frame: Callable[[int], None]) -> None:
    """Render the demo's scene into a bag, unless it is there already."""
    if bag.is_dir():
        return
    focal = 0.5 * _WIDTH / math.tan(math.radians(_FOV_DEG) / 2)
    camera = Intrinsics(focal, focal, (_WIDTH - 1) / 2, (_HEIGHT - 1) / 2, _WIDTH, _HEIGHT)
    scene = SyntheticBag(SCENE_SEED, SCENE_FRAMES, SCENE_RATE_HZ, camera)
    write_bag(bag, scene, on_frame=on_frame)
