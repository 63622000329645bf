"""One pass over a bag by one or more models, beside the guesses: all see the same frames once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from depth_ros.bags import (
    BagFrame,
    BagReader,
    Selection,
    Trajectory,
    find_odometry_topic,
    read_frames,
    read_trajectory,
)
from depth_ros.cameras.camera_model import CameraModel
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.cameras.rectifier import Rectifier
from depth_ros.errors import BagError
from depth_ros.evaluation.boundaries import FOREGROUND_ALPHA
from depth_ros.evaluation.depth_scores import DepthScorer, DepthScores, FrameScore, TrueFrame
from depth_ros.evaluation.guesses import depth_guesses
from depth_ros.evaluation.model_run import ModelRun
from depth_ros.evaluation.protocol import DepthProtocol, ProtocolKind
from depth_ros.evaluation.registration import Picture, registration_caveat
from depth_ros.evaluation.request import EvaluationRequest
from depth_ros.evaluation.results import Evaluation
from depth_ros.evaluation.samples import Sample
from depth_ros.evaluation.truth import (
    STAMP_TOLERANCE_NS,
    NearestInTime,
    Topics,
    find_topics,
    refuse_shared_frames,
    tolerance_ns,
    true_depths,
    true_masks,
)
from depth_ros.motion.egomotion import TurnSource
from depth_ros.offline.recordings import rectified
from depth_ros.pipeline import DepthPipeline, Frame
from depth_ros.pipeline.focal_estimate import FocalEstimate
from depth_ros.pipeline.scale import ScaleSource

_SWEEP = ('LiDAR points stand where the sweep saw them: motion of the robot during a sweep is not '
          'compensated, and points that nearer ones hide from the camera are left out.')
_KITTI = ("Truth is depth along the camera's axis; the published figures of this protocol use the "
          "LiDAR's forward coordinate, some 0.27 m more, and do not leave out hidden points.")
_CIRCULAR_METRES = ('Metres come from the true path itself: lengths without alignment say nothing '
                    'of the model.')
_CIRCULAR_TURNS = ('Turns come from the true path itself: errors of rotation say nothing of the '
                   'model.')


@dataclass(frozen=True, eq=False)
class Answer:
    """What one model says of one frame."""

    depth_m: np.ndarray
    """float32 [H,W]."""
    score: FrameScore | None
    """None where nothing could be compared."""


@dataclass(frozen=True, eq=False)
class AnsweredFrame:
    """One frame after all models have answered it, in their order."""

    frame: Frame
    truth: TrueFrame | None
    answers: tuple[Answer, ...]


class BagPass:
    """Frames of a bag, answered by models and scored on the way."""

    def __init__(self, request: EvaluationRequest, pipelines: Sequence[DepthPipeline]) -> None:
        """Find topics and begin before the first frame.

        Raises:
            BagError: no truth to compare with, or topics that are not there.
            ConfigError: the scale source does not fit a model, or the guesses know frames that
                are judged.
        """
        self._request = request
        self._topics = find_topics(request)
        refuse_shared_frames(request, self._topics)
        self._true_path = _path(request, self._topics, self._topics.odometry)
        self._told_topic = _told_topic(request, self._topics)
        odometry = (self._true_path if self._told_topic == self._topics.odometry
                    else _path(request, self._topics, self._told_topic))
        self._metres_caveat = _caveat(request, self._topics, odometry)
        self._path_caveat = _caveat(request, self._topics, self._true_path)
        self._runs = [ModelRun(pipeline, request, odometry) for pipeline in pipelines]
        estimating = next((one for one in pipelines if one.tells_fov), pipelines[0])
        self._focal = FocalEstimate(estimating)
        self._guesses: _Guesses | None = None
        self._camera: CameraModel | None = None
        self._depth_caveat: str | None = None
        self._known_bags = 0
        self._frames = 0
        self._paired = 0
        self._masked = 0

    def frames(self) -> Iterator[AnsweredFrame]:
        """Answer and score every selected frame, each when it is asked for.

        Raises:
            BagError: there is no frame, or the bag is damaged.
            MessageError: an image, a truth or a mask cannot be decoded.
            BackendError: the runtime failed.
        """
        request, topics = self._request, self._topics
        # Points of a LiDAR fall on other pixels with another focal length: no guess will do.
        lens = self._focal if request.allow_estimated_focal and topics.lidar is None else None
        frames = rectified(self._recorded(), request.rectify, topics.camera.image, lens)
        truths = NearestInTime(true_depths(request, topics, request.selection),
                               tolerance_ns(request, topics))
        masks = NearestInTime(true_masks(request, topics), STAMP_TOLERANCE_NS)
        for frame in frames:
            true, alpha = truths.to(frame.stamp_ns), masks.to(frame.stamp_ns)
            truth = None
            if true is not None:
                truth = TrueFrame.of(self._frames, frame.image, true.on(frame.intrinsics),
                                     request.protocol, has_contours=topics.lidar is None,
                                     seen=frame.seen)
                self._guess(truth, frame.intrinsics)
                if self._depth_caveat is None:
                    self._depth_caveat = self._doubt(frame, truth)
            yield AnsweredFrame(frame, truth, tuple(self._answer(run, frame, truth, alpha)
                                                    for run in self._runs))
            self._frames += 1
            self._paired += truth is not None
            self._masked += alpha is not None
        if self._frames == 0:
            raise BagError(f'{request.bag}: no frame of {topics.camera.image} is selected')

    def evaluation(self, model: int, samples: tuple[Sample, ...] = ()) -> Evaluation:
        """What there is to say of a model, after the last frame."""
        run = self._runs[model]
        motion, paths = None, None
        if self._true_path is not None:
            motion, paths = run.motion(self._true_path)
        scores = run.scorer.scores()
        guesses = self._guesses.scores() if self._guesses is not None else ()
        return Evaluation(
            bag=self._request.bag.name,
            frames=self._frames,
            spec=run.pipeline.spec,
            backend=run.pipeline.description,
            scale=run.scale,
            truth=self._topics.lidar or self._topics.depth or '',
            protocol=self._request.protocol,
            depth=() if scores is None else (scores, *guesses),
            confidence=run.confidence.curve(),
            masks=run.masks.scores(),
            mask_topic=self._topics.masks or '',
            motion=motion,
            paths=paths,
            samples=samples,
            latency_ms=run.latency_ms,
            remarks=self._remarks(run, compared=scores is not None),
        )

    def _answer(self, run: ModelRun, frame: Frame, truth: TrueFrame | None,
                alpha: np.ndarray | None) -> Answer:
        estimate = run.process(frame)
        if run.pipeline is self._focal.pipeline:
            self._focal.observe(estimate.fov_deg)
        depth_m = estimate.depth_m
        score = None if truth is None else run.scorer.add(truth, depth_m)
        if truth is not None and score is not None:
            run.confidence.add(truth.depth_m, depth_m, estimate.confidence, score.ratio)
        if alpha is not None:
            run.masks.add(alpha, depth_m)
        return Answer(depth_m, score)

    def _recorded(self) -> Iterator[BagFrame]:
        request = self._request
        for frame in read_frames(request.bag, self._topics.camera, request.selection):
            self._camera = frame.camera
            yield frame

    def _doubt(self, frame: Frame, truth: TrueFrame) -> str:
        """What speaks against depth images being those of the camera; empty: nothing."""
        request, topics, camera = self._request, self._topics, self._camera
        if topics.depth is None or camera is None:
            return ''
        with BagReader(request.bag) as reader:
            depth_frame = reader.frame_of(topics.depth)
        (height, width), (rows, columns) = truth.depth_m.shape, frame.image.shape[:2]
        resampled = (camera.calibrated
                     and Rectifier(camera, request.rectify, topics.camera.image).active)
        return registration_caveat(Picture(topics.depth, depth_frame, width, height),
                                   Picture(topics.camera.image, frame.frame_id, columns, rows),
                                   rectified=resampled)

    def _guess(self, truth: TrueFrame, intrinsics: Intrinsics) -> None:
        if self._guesses is None:
            height, width = truth.depth_m.shape
            training = (_of_size(depth_m, height, width)
                        for depth_m in self._training_depths(intrinsics))
            self._guesses = _Guesses(height, width, training, self._request.protocol)
        self._guesses.add(truth)

    def _training_depths(self, intrinsics: Intrinsics) -> Iterator[np.ndarray]:
        """Those of other bags first: what is held is the last frame before the evaluated ones."""
        request = self._request
        for bag in request.training_bags:
            other = replace(request, bag=bag, training_bags=(), mask_topic=None)
            depths = true_depths(other, find_topics(other), Selection())
            for index, (_, true) in enumerate(depths):
                if index == 0:
                    self._known_bags += 1
                yield true.on(intrinsics)
        if request.training is not None:
            for _, true in true_depths(request, self._topics, request.training):
                yield true.on(intrinsics)

    def _remarks(self, run: ModelRun, *, compared: bool) -> tuple[str, ...]:
        remarks = list(self._topics.remarks)
        if self._request.training_bags:
            remarks.append(f'The guesses know the depth of {self._known_bags} of '
                           f'{len(self._request.training_bags)} other bags.')
        if self._focal.begun:
            remarks.append(f'The camera is not calibrated; its focal length is {self._focal.text} '
                           f'({self._focal.pipeline.spec.name}).')
        if self._topics.lidar is not None:
            remarks.append(_SWEEP)
            if self._request.protocol.kind is ProtocolKind.KITTI_EIGEN:
                remarks.append(_KITTI)
        if self._depth_caveat:
            remarks.append(self._depth_caveat)
        if self._paired == 0 and (self._topics.lidar or self._topics.depth):
            remarks.append('No frame has true depth close enough in time.')
        elif self._paired and not compared:
            remarks.append(f'No depth could be compared; metres: {run.scale.text}.')
        if self._topics.masks is not None and self._masked == 0:
            remarks.append(f'No frame has a mask of {self._topics.masks} close enough in time.')
        elif self._masked and run.masks.scores() is None:
            remarks.append(f'No mask of {self._topics.masks} has an outline where depth is known; '
                           f'foreground is above {FOREGROUND_ALPHA:.0%} of the largest value that '
                           'its encoding holds.')
        why = '' if self._true_path is None else run.no_motion(self._true_path)
        if why:
            remarks.append(f'No motion is compared with {self._topics.odometry}: {why}.')
        if self._told_topic is not None and self._told_topic == self._topics.odometry:
            if run.scale.source is ScaleSource.ODOMETRY:
                remarks.append(_CIRCULAR_METRES)
            if self._request.odometry.turns is TurnSource.ODOMETRY:
                remarks.append(_CIRCULAR_TURNS)
        if self._metres_caveat:
            remarks.append(f'Metres: {self._metres_caveat}, and turns spoil the metres.')
        if self._path_caveat:
            remarks.append(f'True path: {self._path_caveat}; its axes may be others, '
                           'and turns spoil its lengths.')
        return tuple(remarks)


class _Guesses:
    """The guesses that need no network, against the truth of each frame."""

    def __init__(self, height: int, width: int, training_m: Iterator[np.ndarray],
                 protocol: DepthProtocol) -> None:
        guesses = depth_guesses(height, width, training_m)
        self._scorers = [
            (depth_m, DepthScorer(name, protocol, has_unit=depth_m is not guesses.constant))
            for name, depth_m in guesses.items()]

    def add(self, truth: TrueFrame) -> None:
        for depth_m, scorer in self._scorers:
            scorer.add(truth, depth_m)

    def scores(self) -> tuple[DepthScores, ...]:
        scores = [scorer.scores() for _, scorer in self._scorers]
        return tuple(score for score in scores if score is not None)


def _of_size(depth_m: np.ndarray, height: int, width: int) -> np.ndarray:
    """Depth [height,width]; other bags may have images of other sizes."""
    if depth_m.shape == (height, width):
        return depth_m
    return cv2.resize(depth_m, (width, height), interpolation=cv2.INTER_NEAREST)


def _told_topic(request: EvaluationRequest, topics: Topics) -> str | None:
    """The odometry that tells metres or turns; None where nothing asks for it."""
    if not request.needs_odometry:
        return None
    if request.scale_odometry_topic is None and topics.odometry is not None:
        return topics.odometry
    with BagReader(request.bag) as reader:
        topic = find_odometry_topic(reader, request.scale_odometry_topic)
    if topic is None:
        raise BagError(f'{request.bag} has no odometry to take metres or turns from; '
                       'name it with --scale-odometry')
    return topic


def _path(request: EvaluationRequest, topics: Topics, topic: str | None) -> Trajectory | None:
    """Poses of the camera by an odometry topic."""
    if topic is None:
        return None
    with BagReader(request.bag) as reader:
        camera_frame = reader.frame_of(topics.camera.image)
    return read_trajectory(request.bag, topic, camera_frame)


def _caveat(request: EvaluationRequest, topics: Topics, odometry: Trajectory | None) -> str:
    """Whose poses these are, where they are not the camera's."""
    if odometry is None:
        return ''
    with BagReader(request.bag) as reader:
        return odometry.caveat(reader.frame_of(topics.camera.image))
