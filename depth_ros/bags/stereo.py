"""Finds the other camera of a stereo pair."""

from __future__ import annotations

import math
import re

from depth_ros.bags.reader import BagReader
from depth_ros.bags.topics import CameraTopics, find_camera_topics, picture_topics, same_picture
from depth_ros.cameras.camera_model import CameraModel
from depth_ros.errors import BagError

_SIDE = re.compile(r'(?<![a-z])(left|right)(?![a-z])', re.I)
_OTHER = {'left': 'right', 'right': 'left'}


def find_stereo_partner(
    reader: BagReader,
    camera: CameraTopics,
    image: str | None = None,
    camera_info: str | None = None,
) -> CameraTopics | None:
    """The camera beside another one of the same rig; None where the bag has none.

    Looked for by name (left against right), then by calibration: an image of the same size whose
    P says another place on the baseline.

    Args:
        reader: of the bag.
        camera: whose partner is wanted.
        image: topic of the partner's images; None: found.
        camera_info: topic of its calibration; None: found.

    Raises:
        BagError: a given topic is not there, or several fit.
    """
    if image is not None:
        return find_camera_topics(reader, image, camera_info)
    others = [t for t in picture_topics(reader) if not same_picture(t, camera.image)]
    mirrored = _SIDE.sub(lambda side: _OTHER[side[0].lower()], camera.image)
    named = [topic for topic in others if same_picture(topic, mirrored)]
    if named:
        return find_camera_topics(reader, named[0], camera_info)
    found = [t for t in (_camera_of(reader, name) for name in others) if t is not None]
    own = reader.first(camera.camera_info)
    beside = [t for t in found if own is not None and _is_beside(reader, own, t)]
    if len(beside) > 1:
        raise BagError(
            f'bag {reader.path} has {len(beside)} cameras beside {camera.image}, choose one with '
            f'--stereo-image: {", ".join(topics.image for topics in beside)}'
        )
    return beside[0] if beside else None


def _camera_of(reader: BagReader, image: str) -> CameraTopics | None:
    try:
        return find_camera_topics(reader, image)
    except BagError:
        return None  # a picture without a calibration of its own is nobody's partner


def _is_beside(reader: BagReader, own_info: object, other: CameraTopics) -> bool:
    other_info = reader.first(other.camera_info)
    if other_info is None:
        return False
    one, two = CameraModel.from_info(own_info), CameraModel.from_info(other_info)
    apart = not math.isclose(one.baseline_m, two.baseline_m, abs_tol=1e-4)
    return apart and (one.width, one.height) == (two.width, two.height)
