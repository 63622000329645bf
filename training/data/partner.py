"""Images of the other camera of a stereo pair, beside those of a cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np

from depth_ros import bags
from depth_ros.bags.frames import BagFrame
from depth_ros.cameras.camera_model import CameraModel
from depth_ros.cameras.rectifier import Rectifier, RectifyMode
from depth_ros.errors import BagError, CameraError
from depth_ros.messages.stamps import NSEC, stamp_ns
from depth_ros.model_folder.spec import ResizeFilter
from training.config import BagSource
from training.data.cached_frame import CachedFrame, nearest, sync

PARTNER_FILE = 'partner.raw'
TOLERANCE_NS = 5_000_000
"""A pair is exposed together: at 1 m/s this is 5 mm of a baseline of some centimetres."""

_SAME_PIXELS = 0.1
"""Rectified cameras may differ by this in fx, fy, cx and cy."""
_SHORTEST_M = 1e-3


def write_partners(
    source: BagSource,
    rectify: RectifyMode,
    resize_filter: ResizeFilter,
    frames: Sequence[CachedFrame],
    folder: Path,
) -> np.ndarray | None:
    """Write the partner's images, fitted to the network as the frames' own, to PARTNER_FILE.

    Args:
        source: bag and topics.
        rectify: whether images still have to be rectified.
        resize_filter: how pixels are averaged.
        frames: whose partners are wanted, in order of their stamps.
        folder: of the cache.

    Returns:
        how far right of each frame's camera its partner is, negative to the left, NaN without a
        partner image, float64 [n] metres; None where the bag has no second camera.

    Raises:
        BagError: the second camera is never seen at the same time.
        CameraError: the two are not rectified to one plane, or lie in one place.
    """
    with bags.BagReader(source.path) as reader:
        own = bags.find_camera_topics(reader, source.image_topic, source.camera_info_topic)
        partner = bags.find_stereo_partner(
            reader, own, source.stereo_image_topic, source.stereo_camera_info_topic
        )
    if partner is None:
        return None
    stamps = np.array([frame.stamp_ns for frame in frames])
    right_m = np.full(len(frames), np.nan)
    rectifiers: dict[CameraModel, Rectifier] = {}
    network = frames[0].view.network_intrinsics
    nothing = np.zeros((network.height, network.width, 3), np.uint8)
    with (folder / PARTNER_FILE).open('wb') as file:
        # Every byte is written before any is sought to: a full disk shows here, as an error.
        for _ in frames:
            file.write(nothing.data)
        for image in _images(source.path, partner, stamps):
            index = nearest(stamps, image.stamp_ns, TOLERANCE_NS)
            if index is None:
                continue
            if image.camera not in rectifiers:
                rectifiers[image.camera] = Rectifier(image.camera, rectify, partner.image)
            rectifier, frame = rectifiers[image.camera], frames[index]
            right_m[index] = _offset(frame, rectifier, f'{own.image} and {partner.image}')
            seen = frame.view.to_network(rectifier(image.image), resize_filter=resize_filter)
            file.seek(index * nothing.nbytes)
            file.write(np.ascontiguousarray(seen).data)
        sync(file)
    if np.isnan(right_m).all():
        raise BagError(
            f'{source.path}: no image of {partner.image} is within {TOLERANCE_NS / 1e6:g} ms of '
            f'one of {own.image}; stereo needs cameras that are exposed together'
        )
    return right_m


def _images(
    path: Path, partner: bags.CameraTopics, stamps: np.ndarray
) -> Iterator[BagFrame]:
    """The partner's images of the time of the frames."""
    with bags.BagReader(path) as reader:
        first = reader.first(partner.image)
    assert first is not None
    start, margin = stamp_ns(first.header), 2 * TOLERANCE_NS
    end_s = (int(stamps[-1]) + margin - start) / NSEC
    if end_s > 0:
        begin_s = max(0.0, (int(stamps[0]) - margin - start) / NSEC)
        yield from bags.read_frames(path, partner, bags.Selection(from_s=begin_s, to_s=end_s))


def _offset(frame: CachedFrame, partner: Rectifier, pair: str) -> float:
    """How far right of the frame's camera the partner is [m].

    Raises:
        CameraError: the two are no rectified pair.
    """
    one, two = frame.camera, partner.intrinsics
    if not np.allclose(astuple(one), astuple(two), rtol=0, atol=_SAME_PIXELS):
        raise CameraError(
            f'{pair} are no rectified stereo pair: (fx, fy, cx, cy, width, height) are '
            f'{_numbers(astuple(one))} and {_numbers(astuple(two))}; they must be equal'
        )
    # P[7] is the vertical offset: pairs above each other are not rectified along rows.
    if abs(frame.model.p[7] - partner.camera.p[7]) > _SAME_PIXELS * _SHORTEST_M * one.fy:
        raise CameraError(f'{pair} lie above each other (P[7]); only pairs side by side are known')
    right_m = partner.camera.baseline_m - frame.model.baseline_m
    if abs(right_m) < _SHORTEST_M:
        raise CameraError(
            f'{pair} lie in one place, by P[3] of their camera_infos ({frame.model.p[3]:g} and '
            f'{partner.camera.p[3]:g}); the right one must hold -fx * baseline'
        )
    return right_m


def _numbers(values: tuple[float, ...]) -> str:
    return '(' + ', '.join(f'{value:g}' for value in values) + ')'
