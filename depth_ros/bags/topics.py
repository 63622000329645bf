"""Finds the camera, depth and odometry topics of a bag where there is one choice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from depth_ros.bags.reader import BagReader, Topic
from depth_ros.errors import BagError
from depth_ros.messages.bag_messages import (
    CAMERA_INFO,
    COMPRESSED_IMAGE,
    IMAGE,
    ODOMETRY,
    POINT_CLOUD,
    POSE,
    TWIST,
    TWIST_WITH_COVARIANCE,
)

_TRANSPORTS = ('/compressed', '/compressedDepth')
_DEPTH_ENCODINGS = ('16UC1', '32FC1', 'mono16')
# Parts of names of image topics that are no pictures for a person.
_NOT_A_PICTURE = re.compile(r'depth|disparity|confidence|mask|label|segment|costmap', re.I)
# Parts of names of topics that tell where somebody wants to be, not where he is.
_COMMAND = re.compile(r'cmd|command|desired|goal|setpoint|target|waypoint', re.I)
# A reference is what a controller follows where it is a velocity, and often the truth of a path.
_VELOCITY_COMMAND = re.compile(f'{_COMMAND.pattern}|reference', re.I)


@dataclass(frozen=True)
class CameraTopics:
    """The topics of one camera."""

    image: str
    camera_info: str


def find_camera_topics(
    reader: BagReader, image: str | None = None, camera_info: str | None = None
) -> CameraTopics:
    """The camera of a bag; topics that are not given are found where there is one choice.

    An image given without its transport (`/camera/image` for `/camera/image/compressed`) is
    found too. camera_info is looked for beside the image, then in the namespaces around it.

    Raises:
        BagError: nothing or more than one thing fits; the message lists the candidates.
    """
    if image is None:
        chosen = _only(reader, picture_topics(reader), 'image', '--image')
    else:
        images = _of_type(reader, (IMAGE, COMPRESSED_IMAGE))
        chosen = _named(reader, images, image, 'image')
    infos = _of_type(reader, (CAMERA_INFO,))
    if camera_info is not None:
        return CameraTopics(chosen, _named(reader, infos, camera_info, 'camera_info'))
    names = [topic.name for topic in infos]
    for sibling in _sibling_infos(chosen):
        if sibling in names:
            return CameraTopics(chosen, sibling)
    return CameraTopics(chosen, _only(reader, names, 'camera_info', '--camera-info'))


def picture_topics(reader: BagReader) -> list[str]:
    """Image topics that a person would call pictures, one transport of each."""
    images = _of_type(reader, (IMAGE, COMPRESSED_IMAGE))
    return _without_copies([t for t in images if not _NOT_A_PICTURE.search(t.name)])


def same_picture(one: str, other: str) -> bool:
    """Whether two topics are transports of the same images."""
    return _base(one) == _base(other)


def find_depth_topic(reader: BagReader, name: str | None = None) -> str | None:
    """The topic of depth images; None where the bag has none.

    Raises:
        BagError: the given name is not there, or there are several and none was given.
    """
    images = _of_type(reader, (IMAGE, COMPRESSED_IMAGE))
    if name is not None:
        return _named(reader, images, name, 'depth image')
    found = [t for t in images if 'depth' in t.name.lower() and _holds_depth(reader, t)]
    names = _without_copies(found)
    return _only(reader, names, 'depth image', '--depth') if names else None


def find_mask_topic(reader: BagReader, name: str) -> str:
    """The topic of foreground masks that a name means, its transport left out or not.

    There is no choice without a name: what a bag calls masks may as well be labels, or what the
    camera cannot see.

    Raises:
        BagError: the bag has no such images.
    """
    return _named(reader, _of_type(reader, (IMAGE, COMPRESSED_IMAGE)), name, 'mask')


def find_cloud_topic(reader: BagReader, name: str | None = None) -> str | None:
    """The topic of sensor_msgs/PointCloud2; None where the bag has none.

    Raises:
        BagError: the given name is not there, or there are several and none was given.
    """
    found = _of_type(reader, (POINT_CLOUD,))
    if name is not None:
        return _named(reader, found, name, 'point cloud')
    names = [topic.name for topic in found]
    return _only(reader, names, 'point cloud', '--lidar') if names else None


def find_odometry_topic(reader: BagReader, name: str | None = None) -> str | None:
    """The topic of nav_msgs/Odometry or geometry_msgs/PoseStamped; None where there is none.

    Odometry before poses; goals and other commands were not measured.

    Raises:
        BagError: the given name is not there, or there are several and none was given.
    """
    if name is not None:
        return _named(reader, _of_type(reader, (ODOMETRY, POSE)), name, 'odometry')
    for kind in (ODOMETRY, POSE):
        names = [t.name for t in _of_type(reader, (kind,)) if not _COMMAND.search(t.name)]
        if names:
            return _only(reader, names, 'odometry', '--odometry or --scale-odometry')
    return None


def find_velocity_topic(reader: BagReader, name: str | None = None) -> str | None:
    """The topic that tells best how far a robot travelled; None where there is none.

    Odometry before velocities before poses; velocities that are commands were not measured.

    Raises:
        BagError: the given name is not there, or there are several and none was given.
    """
    kinds = ((ODOMETRY,), (TWIST, TWIST_WITH_COVARIANCE), (POSE,))
    if name is not None:
        every = [kind for group in kinds for kind in group]
        return _named(reader, _of_type(reader, every), name, 'velocity')
    for group in kinds:
        names = [t.name for t in _of_type(reader, group) if not _VELOCITY_COMMAND.search(t.name)]
        if names:
            return _only(reader, names, 'velocity', '--velocity')
    return None


def _of_type(reader: BagReader, types: Sequence[str]) -> list[Topic]:
    return [topic for topic in reader.topics if topic.type in types and topic.count > 0]


def _named(reader: BagReader, topics: Sequence[Topic], name: str, what: str) -> str:
    """The topic that a name given by the user means."""
    absolute = name if name.startswith('/') else '/' + name
    names = [topic.name for topic in topics]
    for candidate in (name, absolute, *(absolute + transport for transport in _TRANSPORTS)):
        if candidate in names:
            return candidate
    listed = ', '.join(names) or 'none'
    raise BagError(f'bag {reader.path} has no {what} topic {name}; it has: {listed}')


def _only(reader: BagReader, names: Sequence[str], what: str, option: str) -> str:
    if len(names) == 1:
        return names[0]
    if not names:
        raise BagError(
            f'bag {reader.path} has no {what} topic; it has: '
            f'{", ".join(f"{t.name} ({t.type})" for t in reader.topics) or "nothing"}'
        )
    raise BagError(
        f'bag {reader.path} has {len(names)} {what} topics, choose one with {option}: '
        f'{", ".join(names)}'
    )


def _base(name: str) -> str:
    """An image topic without its transport."""
    for transport in _TRANSPORTS:
        if name.endswith(transport):
            return name[: -len(transport)]
    return name


def _without_copies(topics: Sequence[Topic]) -> list[str]:
    """Names with one transport of each image, the raw one where there is a choice."""
    best: dict[str, str] = {}
    for topic in sorted(topics, key=lambda t: len(t.name)):
        best.setdefault(_base(topic.name), topic.name)
    return sorted(best.values())


def _sibling_infos(image: str) -> list[str]:
    """camera_info topics that may belong to an image, the nearest first."""
    base = _base(image)
    parts = base.strip('/').split('/')
    names = [f'{base}/camera_info']
    for depth in range(len(parts) - 1, -1, -1):
        names.append('/' + '/'.join([*parts[:depth], 'camera_info']))
    return [names[1], names[0], *names[2:]] if len(names) > 1 else names


def _holds_depth(reader: BagReader, topic: Topic) -> bool:
    message = reader.first(topic.name)
    encoding = getattr(message, 'encoding', None) or getattr(message, 'format', '')
    return str(encoding).startswith(_DEPTH_ENCODINGS)
