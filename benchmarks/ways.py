"""How far depth, features and turns tell the ways of a camera: on a bag with true depth and poses.

Features tracked between two frames tell their motion by the depth of what they see. Here that
depth is the true one or a model's, brought to the true median so that scale plays no part, and the
turn is left to the features or taken from the true poses. Where ways are long with true depth too,
images and poses disagree; where only a model's are, its depth has the wrong shape; and what a
known turn mends was taken for a step to the side.

    python -m benchmarks.ways --bag kitchen --first 280 --model lite0 --step 8
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from depth_ros.bags import BagReader, Selection, read_frames, read_trajectory
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.errors import BagError, DepthRosError
from depth_ros.evaluation.request import EvaluationRequest
from depth_ros.evaluation.truth import NearestInTime, find_topics, tolerance_ns, true_depths
from depth_ros.model_folder.model import Model
from depth_ros.motion import se3
from depth_ros.motion.refinement import MotionRefiner
from depth_ros.offline.recordings import rectified
from depth_ros.pipeline import CameraTrack, DepthPipeline, Frame, Wanted

_WIDTH = 256
"""Of the pictures that features are tracked in, as the bundled model sees them."""
_SHORTEST_M = 0.01
_TRUTH = 'true depth'


@dataclass(frozen=True)
class Row:
    """Ways found, as shares of the true ones, and how far turns are from the true ones."""

    depth: str
    turn: str
    pairs: int
    tenth: float
    median: float
    ninth_tenth: float
    turn_error_deg: float
    """Median."""


@dataclass(frozen=True)
class Recording:
    """Frames with truth; arrays [N,...] in their order."""

    frames: list[Frame]
    depths_m: list[np.ndarray]
    world_T_cam: np.ndarray


def read(bag: Path, first: int) -> Recording:
    """The frames from `first` on that have true depth."""
    request = EvaluationRequest(bag, Selection(first))
    topics = find_topics(request)
    if topics.odometry is None:
        raise BagError(f'{bag} has no true poses')
    with BagReader(bag) as reader:
        camera_frame = reader.frame_of(topics.camera.image)
    path = read_trajectory(bag, topics.odometry, camera_frame)
    truths = NearestInTime(true_depths(request, topics, request.selection),
                           tolerance_ns(request, topics))
    recorded = read_frames(bag, topics.camera, request.selection)
    frames, depths_m = [], []
    for frame in rectified(recorded, request.rectify, topics.camera.image):
        true = truths.to(frame.stamp_ns)
        if true is not None:
            frames.append(frame)
            depths_m.append(true.on(frame.intrinsics))
    return Recording(frames, depths_m, path.at(np.array([frame.stamp_ns for frame in frames])))


def predicted(model: str, recording: Recording) -> list[np.ndarray]:
    """A model's depths, each at the median of the true one where that is known."""
    found = []
    with closing(DepthPipeline.open(Model.load(model))) as pipeline:
        track = CameraTrack(pipeline)
        for frame, true_m in zip(recording.frames, recording.depths_m):
            depth_m = track.process(frame, Wanted(egomotion=False)).depth_m
            known = np.isfinite(true_m) & np.isfinite(depth_m)
            found.append(depth_m * np.float32(np.median(true_m[known])
                                              / np.median(depth_m[known])))
    return found


def motions(recording: Recording, depths_m: Sequence[np.ndarray], step: int,
            turn_known: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Found and true previous_T_current [4,4] of frames `step` apart, where features tell one."""
    camera = recording.frames[0].intrinsics
    small = camera.scaled(_WIDTH, round(_WIDTH * camera.height / camera.width))
    pictures = [_small(frame.image, small) for frame in recording.frames]
    refiner = MotionRefiner(small, (slice(None), slice(None)))
    for current in range(step, len(pictures)):
        true = (se3.inverse(recording.world_T_cam[current - step])
                @ recording.world_T_cam[current])
        if np.linalg.norm(true[:3, 3]) < _SHORTEST_M:
            continue
        start = np.concatenate([se3.matrix_to_axis_angle(true[:3, :3]), true[:3, 3]])
        refined = refiner(pictures[current - step], pictures[current], depths_m[current], start,
                          true[:3, :3] if turn_known else None)
        if refined is not None:
            yield se3.motion_to_matrix(refined.motion), true


def _small(image: np.ndarray, size: Intrinsics) -> np.ndarray:
    return cv2.resize(image, (size.width, size.height), interpolation=cv2.INTER_AREA)


def measure(recording: Recording, name: str, depths_m: Sequence[np.ndarray], step: int,
            turn_known: bool) -> Row:
    """One row of the table."""
    pairs = list(motions(recording, depths_m, step, turn_known))
    if not pairs:
        raise BagError(f'no two frames {step} apart tell a motion with {name}')
    shares = [np.linalg.norm(found[:3, 3]) / np.linalg.norm(true[:3, 3]) for found, true in pairs]
    turns = [se3.rotation_angle(found[:3, :3].T @ true[:3, :3]) for found, true in pairs]
    tenth, median, ninth = (float(value) for value in np.quantile(shares, [0.1, 0.5, 0.9]))
    return Row(name, 'known' if turn_known else 'of features', len(pairs), tenth, median, ninth,
               float(np.degrees(np.median(turns))))


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--bag', type=Path, required=True)
    parser.add_argument('--first', type=int, default=0, help='frame (default: %(default)s)')
    parser.add_argument('--model', nargs='*', default=['lite0'], help='folders or names')
    parser.add_argument('--step', type=int, default=8,
                        help='frames between the two of a pair (default: %(default)s)')
    parser.add_argument('--out', type=Path, help='JSON to write')
    arguments = parser.parse_args()
    try:
        recording = read(arguments.bag, arguments.first)
        depths = {_TRUTH: recording.depths_m}
        depths |= {Path(model).name: predicted(model, recording) for model in arguments.model}
        rows = [measure(recording, name, depths_m, arguments.step, turn_known)
                for name, depths_m in depths.items() for turn_known in (False, True)]
    except DepthRosError as error:
        print(f'benchmarks.ways: error: {error}', file=sys.stderr)
        return 2
    print('| depth | turn | pairs | ways, tenth | median | ninth tenth | turn off by [deg] |\n'
          '|---|---|---|---|---|---|---|')
    for row in rows:
        print(f'| {row.depth} | {row.turn} | {row.pairs} | {row.tenth:.0%} | {row.median:.0%} | '
              f'{row.ninth_tenth:.0%} | {row.turn_error_deg:.2f} |')
    if arguments.out is not None:
        arguments.out.write_text(json.dumps([asdict(row) for row in rows], indent=2) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
