"""The truth that a bag holds: depth images, LiDAR clouds and masks, beside their frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from depth_ros.bags import (
    BagReader,
    BagTransforms,
    CameraTopics,
    Selection,
    find_camera_topics,
    find_cloud_topic,
    find_depth_topic,
    find_mask_topic,
    find_odometry_topic,
    read_clouds,
    read_depth,
    read_masks,
)
from depth_ros.cameras.camera_model import CameraModel
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.errors import BagError
from depth_ros.evaluation.lidar import OcclusionRule, lidar_depth
from depth_ros.evaluation.request import EvaluationRequest, overlap_error
from depth_ros.messages.stamps import NSEC, stamp_ns
from depth_ros.motion.body_odometry import DEFAULT_BASE_T_CAM
from depth_ros.motion.mounting import parent_T_child
from depth_ros.motion.se3 import inverse

STAMP_TOLERANCE_NS = 20_000_000
"""Truth this close in time belongs to a frame (common practice of the TUM benchmark)."""


class TrueDepth(Protocol):
    """Depth truth of one moment."""

    def on(self, intrinsics: Intrinsics) -> np.ndarray:
        """Depth in metres as a rectified camera sees it, float32 [h,w], NaN where unknown."""


@dataclass(frozen=True, eq=False)
class DepthImage:
    """A depth image [h,w] of the camera itself, of any size; assumed registered to its image."""

    depth_m: np.ndarray

    def on(self, intrinsics: Intrinsics) -> np.ndarray:
        """See TrueDepth; the image as it is."""
        return self.depth_m


@dataclass(frozen=True, eq=False)
class Scan:
    """Points of a LiDAR in the camera's optical frame, floats [N,3] in metres."""

    points_cam: np.ndarray
    rule: OcclusionRule

    def on(self, intrinsics: Intrinsics) -> np.ndarray:
        """See TrueDepth; without the points that the camera does not see."""
        return lidar_depth(self.points_cam, intrinsics, self.rule)


@dataclass(frozen=True)
class Topics:
    """What is compared with what; at most one of depth and LiDAR is named."""

    camera: CameraTopics
    depth: str | None
    lidar: str | None
    odometry: str | None
    masks: str | None
    remarks: tuple[str, ...] = ()
    """What a reader of the figures should know of how these were chosen."""


def find_topics(request: EvaluationRequest) -> Topics:
    """Find images and truths.

    Raises:
        BagError: something named is missing, there is more than one choice, or no truth at all.
    """
    with BagReader(request.bag) as reader:
        camera = find_camera_topics(reader, request.image_topic, request.camera_info_topic)
        odometry = find_odometry_topic(reader, request.odometry_topic)
        masks = None
        if request.mask_topic is not None:
            masks = find_mask_topic(reader, request.mask_topic)
        depth = None
        if request.lidar.topic is None:
            depth = find_depth_topic(reader, request.depth_topic)
        lidar: str | None = None
        remarks: tuple[str, ...] = ()
        if depth is None:
            optional = odometry is not None or masks is not None
            lidar, remarks = _find_lidar(reader, request, camera, optional=optional)
    if depth is None and lidar is None and odometry is None and masks is None:
        raise BagError(f'{request.bag} has neither depth images nor a LiDAR nor odometry to '
                       'compare with; name them with --depth, --lidar or --odometry, or '
                       'foreground masks with --masks')
    return Topics(camera, depth, lidar, odometry, masks, remarks)


def refuse_shared_frames(request: EvaluationRequest, topics: Topics) -> None:
    """See to it that the guesses know nothing of what is judged, where only stamps tell.

    Raises:
        ConfigError: the bag has frames both of the selection and of the training frames.
        BagError: the bag is damaged.
    """
    if request.training is None:
        return
    common = request.selection.common(request.training)
    if common is not None and _span(request, topics.camera.image, common, 0) is not None:
        raise overlap_error(request.bag, request.selection, request.training)


def true_depths(request: EvaluationRequest, topics: Topics,
                selection: Selection) -> Iterator[tuple[int, TrueDepth]]:
    """Yield stamps and depth of the time of the selected frames; nothing without such a topic.

    A cloud whose place in the camera is not known at its time is left out.

    Raises:
        BagError: the bag is damaged.
        MessageError: a message is malformed.
    """
    if topics.depth is None and topics.lidar is None:
        return
    span = _span(request, topics.camera.image, selection, tolerance_ns(request, topics))
    if span is None:
        return
    if topics.depth is not None:
        for stamp, depth_m in read_depth(request.bag, topics.depth, *span):
            yield stamp, DepthImage(depth_m)
    elif topics.lidar is not None:
        yield from _scans(request, topics, topics.lidar, span)


def true_masks(request: EvaluationRequest, topics: Topics) -> Iterator[tuple[int, np.ndarray]]:
    """Yield stamps and foreground masks, float32 [h,w] from 0 to 1, of the selected frames' time.

    Nothing without such a topic.

    Raises:
        BagError: the bag is damaged.
        MessageError: a message is no mask.
    """
    if topics.masks is None:
        return
    span = _span(request, topics.camera.image, request.selection, STAMP_TOLERANCE_NS)
    if span is not None:
        yield from read_masks(request.bag, topics.masks, *span)


def tolerance_ns(request: EvaluationRequest, topics: Topics) -> int:
    """How far in time true depth may be from a frame [ns]."""
    return STAMP_TOLERANCE_NS if topics.lidar is None else round(request.lidar.tolerance_s * NSEC)


Truth = TypeVar('Truth')


class NearestInTime(Generic[Truth]):
    """Truths of a bag by the stamps of frames; both come in the order of their stamps.

    Two truths at most are held at a time.
    """

    def __init__(self, truths: Iterable[tuple[int, Truth]], tolerance_ns: int) -> None:
        """Begin before the first frame.

        Args:
            truths: each with its stamp [ns].
            tolerance_ns: how far in time the truth of a frame may be from it.
        """
        self._source = iter(truths)
        self._tolerance_ns = tolerance_ns
        self._current = next(self._source, None)
        self._following = next(self._source, None)

    def to(self, stamp_ns: int) -> Truth | None:
        """The truth nearest to a frame no earlier than the last one; None: none is close."""
        while (self._current is not None and self._following is not None
               and abs(self._following[0] - stamp_ns) <= abs(self._current[0] - stamp_ns)):
            self._current, self._following = self._following, next(self._source, None)
        if self._current is None or abs(self._current[0] - stamp_ns) > self._tolerance_ns:
            return None
        return self._current[1]


def _find_lidar(
    reader: BagReader, request: EvaluationRequest, camera: CameraTopics, *, optional: bool
) -> tuple[str | None, tuple[str, ...]]:
    """The LiDAR and remarks; one `optional` that nobody named is left out if unusable."""
    named = request.lidar.topic is not None
    try:
        topic = find_cloud_topic(reader, request.lidar.topic)
        if topic is not None:
            _check_place(reader, request, camera, topic)
        return topic, ()
    except BagError as error:
        if named or not optional:
            raise
        return None, (f'no LiDAR is compared: {error}',)


def _check_place(
    reader: BagReader, request: EvaluationRequest, camera: CameraTopics, topic: str
) -> None:
    """Refuse a LiDAR whose place is unknown."""
    if request.lidar.in_camera is not None:
        return
    camera_frame, lidar_frame = (reader.frame_of(name) for name in (camera.image, topic))
    transforms = BagTransforms(reader)
    if not transforms.connects(camera_frame, lidar_frame):
        known = ', '.join(transforms.frames) or 'none'
        raise BagError(
            f'{reader.path}: /tf_static and /tf do not connect the camera {camera_frame!r} with '
            f'the LiDAR {lidar_frame!r} of {topic} (they know: {known}); give --lidar-in-camera'
        )


def _scans(request: EvaluationRequest, topics: Topics, topic: str,
           span: tuple[int, int]) -> Iterator[tuple[int, Scan]]:
    settings = request.lidar
    with BagReader(request.bag) as reader:
        transforms = BagTransforms(reader)
        camera_frame = reader.frame_of(topics.camera.image)
        centre = _optical_centre(reader, topics.camera)
        for cloud in read_clouds(request.bag, topic, *span):
            if settings.in_camera is not None:
                cam_T_lidar = inverse(DEFAULT_BASE_T_CAM) @ parent_T_child(settings.in_camera)
            else:
                known = transforms.find(camera_frame, cloud.frame_id, cloud.stamp_ns)
                if known is None:
                    continue
                cam_T_lidar = centre @ known
            points = cloud.xyz_m.reshape(-1, 3) @ cam_T_lidar[:3, :3].T + cam_T_lidar[:3, 3]
            yield cloud.stamp_ns, Scan(points, settings.occlusion)


def _optical_centre(reader: BagReader, camera: CameraTopics) -> np.ndarray:
    """camera_T_frame [4,4] of the frame that the camera's messages name.

    The right camera of a stereo pair may carry the frame of the left one, as camera_info's
    definition has it, or one of its own: it carries the left one's where another camera_info has
    the same frame and no baseline.
    """
    ours = CameraModel.from_info(reader.first(camera.camera_info))
    camera_T_frame = np.eye(4)
    if ours.baseline_m == 0.0:
        return camera_T_frame
    for topic in reader.topics:
        if topic.type.endswith('/CameraInfo') and topic.count and topic.name != camera.camera_info:
            other = CameraModel.from_info(reader.first(topic.name))
            if other.frame_id == ours.frame_id and other.baseline_m == 0.0:
                camera_T_frame[0, 3] = -ours.baseline_m
    return camera_T_frame


def _span(request: EvaluationRequest, image_topic: str, selection: Selection,
          margin_ns: int) -> tuple[int, int] | None:
    """Time of the selected frames with a margin, the end exclusive; None: there are none."""
    selected: list[int] = []
    start_ns = None
    with BagReader(request.bag) as reader:
        for index, (_, _, message) in enumerate(reader.messages([image_topic])):
            stamp = stamp_ns(message.header)
            start_ns = stamp if start_ns is None else start_ns
            time_s = (stamp - start_ns) / NSEC
            if selection.is_past(index, time_s):
                break
            if selection.contains(index, time_s):
                selected.append(stamp)
    return (min(selected) - margin_ns, max(selected) + margin_ns + 1) if selected else None
