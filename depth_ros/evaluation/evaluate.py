"""Runs the robot's pipeline over a bag and compares it with the truth that the bag holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from depth_ros.bags import (
    BagReader,
    CameraTopics,
    Selection,
    Trajectory,
    find_camera_topics,
    find_depth_topic,
    find_odometry_topic,
    read_depth,
    read_frames,
    read_trajectory,
)
from depth_ros.camera import RectifyMode
from depth_ros.egomotion import OdometrySettings, OdometryState
from depth_ros.errors import BagError
from depth_ros.evaluation.alignment import Alignment, align
from depth_ros.evaluation.depth_scores import DepthScorer, DepthScores
from depth_ros.evaluation.guesses import depth_guesses
from depth_ros.evaluation.metrics import DepthRange
from depth_ros.evaluation.motion_scores import MotionEvaluation, evaluate_motion, make_pairing
from depth_ros.evaluation.samples import EvenSamples, Sample
from depth_ros.evaluation.trajectories import associate
from depth_ros.messages import NSEC, stamp_ns
from depth_ros.model import ModelSpec, ScaleKind
from depth_ros.offline import rectified
from depth_ros.pipeline import CameraTrack, DepthPipeline, Frame, TrackSettings, Wanted
from depth_ros.scale import ScaleSettings, ScaleSource

STAMP_TOLERANCE_NS = 20_000_000
"""Truth this close in time belongs to a frame (common practice of the TUM benchmark)."""


@dataclass(frozen=True)
class EvaluationRequest:
    """What to evaluate on. Topics that are None are found, where there is one choice."""

    bag: Path
    selection: Selection
    training: Selection | None = None
    """Frames whose depth the guesses know; None: only the guess that needs none."""
    depth_range: DepthRange = field(default_factory=DepthRange)
    rectify: RectifyMode = RectifyMode.AUTO
    image_topic: str | None = None
    camera_info_topic: str | None = None
    depth_topic: str | None = None
    odometry_topic: str | None = None
    samples: int = 6
    """Frames kept to look at."""
    refine_motion: bool = True
    """Whether tracked features refine the pose network's motions, as the node does."""


@dataclass(frozen=True)
class Paths:
    """True and predicted poses `world_T_cam` [N, 4, 4], the latter aligned as named."""

    alignment: Alignment
    true: np.ndarray
    predicted: np.ndarray


@dataclass(frozen=True)
class Latency:
    """Milliseconds from rectified image to estimate, without decoding and transport."""

    p50: float
    p95: float


@dataclass(frozen=True)
class Evaluation:
    """What came out; `depth` has the model first and the guesses after it."""

    bag: str
    frames: int
    spec: ModelSpec
    backend: str
    depth_range: DepthRange
    depth: tuple[DepthScores, ...]
    motion: MotionEvaluation | None
    paths: Paths | None
    samples: tuple[Sample, ...]
    latency_ms: Latency


@dataclass(frozen=True)
class _Topics:
    camera: CameraTopics
    depth: str | None
    odometry: str | None


def evaluate(request: EvaluationRequest, pipeline: DepthPipeline,
             on_frame: Callable[[int], None]) -> Evaluation:
    """Run every selected frame through a track of its own and score it.

    `on_frame` is told the number of frames done after each. A model without a metric scale runs
    with scale source NONE, any other with its own.

    Raises:
        BagError: no frames, or neither depth nor odometry to compare with.
    """
    topics = _find_topics(request)
    frames = read_frames(request.bag, topics.camera, request.selection)
    truths = _true_depths(request.bag, topics, request.selection)
    track = CameraTrack(pipeline, _track_settings(pipeline.spec, request))
    comparison = _DepthComparison(request, topics)
    samples = EvenSamples(request.samples)
    placed: list[OdometryState] = []
    latencies: list[float] = []
    for frame, truth_m in pair_by_stamp(
            rectified(frames, request.rectify, topics.camera.image), truths):
        estimate = track.process(frame, Wanted())
        latencies.append(estimate.timings_ms['total'])
        if truth_m is not None:
            comparison.add(truth_m, estimate.depth_m)
        samples.offer(frame.image, estimate.depth_m, truth_m)
        if estimate.odometry is not None:
            placed.append(estimate.odometry)
        on_frame(len(latencies))
    if not latencies:
        raise BagError(f'{request.bag}: no frame of {topics.camera.image} is selected')
    motion, paths = None, None
    if topics.odometry is not None:
        truth = read_trajectory(request.bag, topics.odometry, frame.frame_id)
        motion, paths = _motion(placed, truth, pipeline.spec)
    p50, p95 = np.percentile(latencies, [50, 95])
    return Evaluation(request.bag.name, len(latencies), pipeline.spec, pipeline.description,
                      request.depth_range, comparison.scores(), motion, paths, samples.kept(),
                      Latency(float(p50), float(p95)))


def pair_by_stamp(frames: Iterable[Frame], truths: Iterable[tuple[int, np.ndarray]],
                  tolerance_ns: int = STAMP_TOLERANCE_NS
                  ) -> Iterator[tuple[Frame, np.ndarray | None]]:
    """Yield each frame with the truth nearest in time, None where there is none close enough.

    Both come in the order of their stamps; two truths at most are held at a time.
    """
    source = iter(truths)
    current, following = next(source, None), next(source, None)
    for frame in frames:
        while (current is not None and following is not None
               and abs(following[0] - frame.stamp_ns) <= abs(current[0] - frame.stamp_ns)):
            current, following = following, next(source, None)
        close = current is not None and abs(current[0] - frame.stamp_ns) <= tolerance_ns
        yield frame, current[1] if current is not None and close else None


def _find_topics(request: EvaluationRequest) -> _Topics:
    with BagReader(request.bag) as reader:
        topics = _Topics(
            find_camera_topics(reader, request.image_topic, request.camera_info_topic),
            find_depth_topic(reader, request.depth_topic),
            find_odometry_topic(reader, request.odometry_topic))
    if topics.depth is None and topics.odometry is None:
        raise BagError(f'{request.bag} has neither depth images nor odometry to compare with; '
                       'name them with --depth or --odometry')
    return topics


def _track_settings(spec: ModelSpec, request: EvaluationRequest) -> TrackSettings:
    metric = spec.scale is ScaleKind.METRIC
    return TrackSettings(
        scale=ScaleSettings(source=ScaleSource.MODEL if metric else ScaleSource.NONE),
        odometry=OdometrySettings(refine=request.refine_motion),
    )


class _DepthComparison:
    """The model and the guesses against true depth; the guesses are made at its first image."""

    def __init__(self, request: EvaluationRequest, topics: _Topics):
        self._request = request
        self._topics = topics
        self._model = DepthScorer('model', request.depth_range)
        self._guesses: list[tuple[np.ndarray, DepthScorer]] | None = None

    def add(self, truth_m: np.ndarray, predicted_m: np.ndarray) -> None:
        if self._guesses is None:
            height, width = truth_m.shape
            guesses = depth_guesses(height, width, self._training_depths())
            self._guesses = [
                (depth_m, DepthScorer(name, self._request.depth_range,
                                      has_unit=depth_m is not guesses.constant))
                for name, depth_m in guesses.items()]
        self._model.add(truth_m, predicted_m)
        for depth_m, scorer in self._guesses:
            scorer.add(truth_m, depth_m)

    def scores(self) -> tuple[DepthScores, ...]:
        scorers = [self._model, *(scorer for _, scorer in self._guesses or ())]
        scores = [scorer.scores() for scorer in scorers]
        return tuple(score for score in scores if score is not None)

    def _training_depths(self) -> Iterator[np.ndarray]:
        if self._request.training is not None:
            for _, depth_m in _true_depths(self._request.bag, self._topics,
                                           self._request.training):
                yield depth_m


def _true_depths(bag: Path, topics: _Topics,
                 selection: Selection) -> Iterator[tuple[int, np.ndarray]]:
    """Yield stamps and depth of the time of the selected frames; nothing without such a topic."""
    if topics.depth is None:
        return
    with BagReader(bag) as reader:
        stamps_ns = [stamp_ns(message.header)
                     for _, _, message in reader.messages([topics.camera.image])]
    selected = [stamp for index, stamp in enumerate(stamps_ns)
                if selection.contains(index, (stamp - stamps_ns[0]) / NSEC)]
    if selected:
        yield from read_depth(bag, topics.depth, min(selected) - STAMP_TOLERANCE_NS,
                              max(selected) + STAMP_TOLERANCE_NS)


def _motion(placed: list[OdometryState], truth: Trajectory,
            spec: ModelSpec) -> tuple[MotionEvaluation | None, Paths | None]:
    """Score the longest stretch without a reset; nothing where fewer than two poses have truth."""
    if spec.motion is None or not placed:
        return None, None
    longest = Counter(state.resets for state in placed).most_common(1)[0][0]
    stretch = [state for state in placed if state.resets == longest]
    stamps_ns = np.array([state.stamp_ns for state in stretch])
    ours, theirs = associate(stamps_ns, truth.stamps_ns, STAMP_TOLERANCE_NS)
    if len(ours) < 2:
        return None, None
    predicted = np.stack([stretch[index].world_T_cam for index in ours])
    true = truth.world_T_cam[theirs]
    alignment = Alignment.SE3 if spec.scale is ScaleKind.METRIC else Alignment.SIM3
    pairing = make_pairing(stamps_ns[ours], spec.motion.interval_s, alignment)
    aligned = align(predicted, true, alignment).apply_to_poses(predicted)
    return evaluate_motion(predicted, true, pairing), Paths(alignment, true, aligned)
