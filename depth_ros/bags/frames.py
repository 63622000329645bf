"""Camera frames, depth images and masks of a bag, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from depth_ros.bags.reader import BagReader
from depth_ros.bags.stamped import read_stamped
from depth_ros.bags.topics import CameraTopics
from depth_ros.cameras.camera_model import CameraModel
from depth_ros.errors import BagError, CameraError, ConfigError, MessageError
from depth_ros.messages.camera_infos import CameraInfos
from depth_ros.messages.images import depth_to_metres, image_to_rgb, mask_to_alpha
from depth_ros.messages.stamps import NSEC, stamp_ns

# camera_info may be recorded a little after its image.
_PATIENCE = 16


@dataclass(frozen=True)
class Selection:
    """Which frames of a bag.

    Attributes:
        first: index of the first frame.
        last: index after the last frame; None: to the end.
        from_s: time of the first frame, counted from the first image of the bag [s].
        to_s: time after the last frame [s].
    """

    first: int = 0
    last: int | None = None
    from_s: float | None = None
    to_s: float | None = None

    def __post_init__(self) -> None:
        """Refuse what selects nothing.

        Raises:
            ConfigError: a bound is negative, or the end is not after the start.
        """
        if self.first < 0 or (self.last is not None and self.last <= self.first):
            raise ConfigError(
                f'frames {self.first} to {self.last}: the first must be 0 or more, the last '
                f'(exclusive) above it'
            )
        start = self.from_s or 0.0
        if start < 0 or (self.to_s is not None and self.to_s <= start):
            raise ConfigError(
                f'time {self.from_s} to {self.to_s} s: the start must be 0 or more, the end '
                f'after it'
            )

    def contains(self, index: int, time_s: float) -> bool:
        """Whether the frame of this index and time since the first image is selected."""
        return (
            index >= self.first
            and (self.last is None or index < self.last)
            and (self.from_s is None or time_s >= self.from_s)
            and (self.to_s is None or time_s < self.to_s)
        )

    def is_past(self, index: int, time_s: float) -> bool:
        """Whether neither this frame nor a later one is selected."""
        return (self.last is not None and index >= self.last) or (
            self.to_s is not None and time_s >= self.to_s
        )

    def common(self, other: Selection) -> Selection | None:
        """What both select; None where their bounds leave nothing."""
        first = max(self.first, other.first)
        last = min((one.last for one in (self, other) if one.last is not None), default=None)
        from_s = max((one.from_s for one in (self, other) if one.from_s is not None), default=None)
        to_s = min((one.to_s for one in (self, other) if one.to_s is not None), default=None)
        if (last is not None and first >= last) or (to_s is not None and (from_s or 0.0) >= to_s):
            return None
        return Selection(first, last, from_s, to_s)

    @property
    def needs_stamps(self) -> bool:
        """Whether only stamps tell if any frame is in it: it is bound by numbers and by times."""
        numbers, times = self.first or self.last is not None, self.from_s or self.to_s is not None
        return bool(numbers and times)

    @property
    def text(self) -> str:
        """For people: its bounds."""
        last = 'the end' if self.last is None else f'{self.last} (exclusive)'
        text = f'frames {self.first} to {last}'
        if self.from_s or self.to_s is not None:
            end = 'the end' if self.to_s is None else f'{self.to_s:g} s (exclusive)'
            text += f' from {self.from_s or 0.0:g} s to {end}'
        return text


@dataclass(frozen=True, eq=False)
class BagFrame:
    """One image of a bag.

    Attributes:
        index: counted from the first image of the bag.
        stamp_ns: of its header.
        frame_id: of its header.
        image: as recorded, uint8 RGB [H,W,3].
        camera: the camera_info that belongs to it.
    """

    index: int
    stamp_ns: int
    frame_id: str
    image: np.ndarray
    camera: CameraModel


def read_frames(
    path: Path | str, topics: CameraTopics, selection: Selection | None = None
) -> Iterator[BagFrame]:
    """Selected images with their camera, in order of recording.

    Which camera_info belongs to an image is told by CameraInfos, as it is in the node.

    Raises:
        BagError: the bag is damaged, or no camera_info fits an image or it makes no sense.
        MessageError: an image cannot be decoded.
    """
    chosen = selection or Selection()
    infos = CameraInfos()
    waiting: deque[tuple[int, Any]] = deque()
    index, start_ns = -1, 0
    with BagReader(path) as reader:
        # One that comes now and then may first come after more images than are kept waiting.
        first_info = reader.first(topics.camera_info)
        if first_info is not None:
            infos.store(first_info)
        for topic, _, message in reader.messages([topics.image, topics.camera_info]):
            if topic == topics.camera_info:
                infos.store(message)
            else:
                index += 1
                start_ns = start_ns if index else stamp_ns(message.header)
                time_s = (stamp_ns(message.header) - start_ns) / NSEC
                if chosen.is_past(index, time_s):
                    break
                if chosen.contains(index, time_s):
                    waiting.append((index, message))
            while waiting and _is_due(waiting, infos):
                yield _frame(reader, topics, infos, *waiting.popleft())
        while waiting:
            yield _frame(reader, topics, infos, *waiting.popleft())


def read_depth(
    path: Path | str,
    topic: str,
    from_ns: int | None = None,
    to_ns: int | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Stamps [ns] and depth images, float32 [H,W] in metres with NaN where unknown.

    Only images stamped within `from_ns` <= stamp < `to_ns` are decoded.

    Raises:
        BagError: the topic is not in the bag, or the bag is damaged.
        MessageError: an image is not depth, or cannot be decoded.
    """
    return read_stamped(path, topic, depth_to_metres, from_ns, to_ns)


def read_masks(
    path: Path | str,
    topic: str,
    from_ns: int | None = None,
    to_ns: int | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Stamps [ns] and foreground masks, float32 [H,W] from 0 to 1 (foreground).

    Only masks stamped within `from_ns` <= stamp < `to_ns` are decoded.

    Raises:
        BagError: the topic is not in the bag, or the bag is damaged.
        MessageError: an image is not a mask, or cannot be decoded.
    """
    return read_stamped(path, topic, mask_to_alpha, from_ns, to_ns)


def _is_due(waiting: deque[tuple[int, Any]], infos: CameraInfos) -> bool:
    """Whether the oldest waiting image has its camera_info, or has waited enough for it."""
    header = waiting[0][1].header
    return infos.is_settled(stamp_ns(header), header.frame_id) or len(waiting) > _PATIENCE


def _frame(
    reader: BagReader, topics: CameraTopics, infos: CameraInfos, index: int, message: Any
) -> BagFrame:
    try:
        image = image_to_rgb(message)
    except MessageError as error:
        raise MessageError(
            f'{topics.image} of bag {reader.path}, image {index}: {error}'
        ) from None
    stamp, frame_id = stamp_ns(message.header), message.header.frame_id
    height, width = image.shape[:2]
    try:
        camera = infos.match(stamp, frame_id, width, height)
    except CameraError as error:
        raise BagError(
            f'bag {reader.path}: {topics.camera_info} has no camera_info for image {index} of '
            f'{topics.image}: {error}'
        ) from None
    return BagFrame(index, stamp, frame_id, image, camera)
