"""Frames of a bag for a model that exists: some to calibrate it on, others to judge it by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depth_ros.bags import Selection
from depth_ros.cameras.rectifier import RectifyMode
from depth_ros.errors import BagError
from depth_ros.model_folder.spec import ModelSpec
from training.config import BagSource
from training.data.cache import CacheSettings, FrameCache, open_cache
from training.data.pairs import split_validation
from training.progress import Progress

# Ranges and means of a convolution's answers settle within some thirty frames, since every frame
# shows it thousands of pixels.
CALIBRATED_ON = 32
JUDGED_BY = 40
JUDGED_SHARE = 0.2
# Beyond this many the figures no longer change, and the waiting gets long.
_MOST_JUDGED = 200
MIN_FRAMES = 20
# A pair this much longer than the typical interval spans a gap in the recording.
_LONGEST_INTERVAL = 2.0


Inputs = dict[str, np.ndarray]
"""Of one run of a graph, by name, a batch of one."""


@dataclass(frozen=True)
class GraphInputs:
    """What the graphs are run on."""

    depth: tuple[Inputs, ...]
    pose: tuple[Inputs, ...]
    """Pairs at about the interval of the spec; empty for a model without a pose network."""


@dataclass(frozen=True)
class CalibrationFrames:
    """Frames as the network sees them, those judged by later than all that are calibrated on."""

    calibrated: GraphInputs
    judged: GraphInputs
    judged_selection: Selection
    """Of the bag, for the evaluation against its truth; all `judged` lie within."""


def read_calibration_frames(
    spec: ModelSpec,
    source: BagSource,
    rectify: RectifyMode,
    cache_root: Path,
    progress: Progress,
) -> CalibrationFrames:
    """Split the frames of a bag: the last fifth judges, the others calibrate.

    Raises:
        BagError: fewer than MIN_FRAMES frames, or no two at the interval of the pose network.
        CameraError, DepthRosError: as open_cache.
    """
    settings = CacheSettings(
        source, spec.width, spec.height, spec.fit, rectify, spec.intrinsics, spec.resize_filter,
        depth_truth=False, odometry_truth=False,
    )  # fmt: skip
    cache = open_cache(settings, cache_root, progress)
    if len(cache) < MIN_FRAMES:
        raise BagError(
            f'{source.path}: {len(cache)} frames are selected; calibrating and judging int8 '
            f'needs {MIN_FRAMES} or more'
        )
    judged = np.flatnonzero(split_validation(len(cache), JUDGED_SHARE, blocks=1))[-_MOST_JUDGED:]
    calibrated = np.arange(judged[0])
    return CalibrationFrames(
        _inputs(cache, spec, calibrated, CALIBRATED_ON),
        _inputs(cache, spec, judged, JUDGED_BY),
        Selection(int(cache.indices[judged[0]]), source.last),
    )


def _inputs(cache: FrameCache, spec: ModelSpec, frames: np.ndarray, count: int) -> GraphInputs:
    depth = tuple(
        {'image': cache.images[i : i + 1], 'intrinsics': cache.intrinsics[i : i + 1]}
        for i in evenly(frames, count)
    )
    if spec.motion is None:
        return GraphInputs(depth, ())
    pairs = pairs_at(cache.stamps_ns[frames], spec.motion.interval_s)
    if len(pairs) == 0:
        raise BagError(
            f'no frames from {cache.indices[frames[0]]} to {cache.indices[frames[-1]]} are '
            f'{spec.motion.interval_s:.2g} s apart, as the pose network needs them'
        )
    pose = tuple(
        {'previous': cache.images[i : i + 1], 'current': cache.images[k : k + 1]}
        for i, k in frames[evenly(pairs, count)]
    )
    return GraphInputs(depth, pose)


def evenly(rows: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the rows, spread evenly from the first to the last."""
    chosen = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)
    return rows[chosen]


def pairs_at(stamps_ns: np.ndarray, interval_s: float) -> np.ndarray:
    """For each frame the later one nearest to an interval after it, indices int [n,2].

    Args:
        stamps_ns: int64 [N], rising.
        interval_s: time wanted between the two [s]; pairs of over twice that are left out.
    """
    pairs = []
    for first in range(len(stamps_ns) - 1):
        elapsed_s = (stamps_ns[first + 1 :] - stamps_ns[first]) * 1e-9
        nearest = int(np.argmin(np.abs(elapsed_s - interval_s)))
        if elapsed_s[nearest] <= _LONGEST_INTERVAL * interval_s:
            pairs.append((first, first + 1 + nearest))
    return np.array(pairs, int).reshape(-1, 2)
