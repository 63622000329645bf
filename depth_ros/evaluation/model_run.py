"""One model on its way through a bag: what it answers, and how well."""

from __future__ import annotations

from collections import Counter

import numpy as np

from depth_ros.bags import Trajectory
from depth_ros.evaluation.alignment import Alignment, align
from depth_ros.evaluation.confidence_curve import ConfidenceScorer
from depth_ros.evaluation.depth_scores import DepthScorer
from depth_ros.evaluation.mask_scores import MaskScorer
from depth_ros.evaluation.motion_scores import MotionEvaluation, evaluate_motion, make_pairing
from depth_ros.evaluation.request import EvaluationRequest
from depth_ros.evaluation.results import Latency, Paths
from depth_ros.evaluation.truth import STAMP_TOLERANCE_NS
from depth_ros.model_folder.spec import ModelSpec, ScaleKind
from depth_ros.motion.egomotion import OdometryState
from depth_ros.offline.recordings import OdometryFeed
from depth_ros.pipeline import CameraTrack, DepthPipeline, Estimate, Frame, TrackSettings, Wanted
from depth_ros.pipeline.scale import ScaleSettings, ScaleSource


class ModelRun:
    """A track of its own for one model, with what it answered so far.

    Attributes:
        pipeline: of the model.
        scorer: of its depth.
        confidence: of its confidence in it.
        masks: of its depth at the outlines of foreground masks.
        scale: the state of its scale after the last frame.
    """

    def __init__(self, pipeline: DepthPipeline, request: EvaluationRequest,
                 odometry: Trajectory | None) -> None:
        """Begin before the first frame.

        Args:
            pipeline: of the model.
            request: what is asked.
            odometry: poses of the camera that scale or turns by ODOMETRY may use.

        Raises:
            ConfigError: the scale source does not fit the model.
        """
        self.pipeline = pipeline
        settings = _track_settings(pipeline.spec, request)
        self._has_metres = settings.scale.source is not ScaleSource.NONE
        self._track = CameraTrack(pipeline, settings)
        self._odometry = None if odometry is None else OdometryFeed(odometry)
        self._placed: list[OdometryState] = []
        self._latencies: list[float] = []
        self.scorer = DepthScorer('model', request.protocol)
        self.confidence = ConfidenceScorer(request.protocol)
        self.masks = MaskScorer()

    def process(self, frame: Frame) -> Estimate:
        """Answer the next frame, knowing the odometry up to its time.

        Raises:
            CameraError, BackendError: see CameraTrack.
        """
        if self._odometry is not None:
            self._odometry.tell(self._track, frame.stamp_ns)
        estimate = self._track.process(frame, Wanted(confidence=True))
        self.scale = estimate.scale
        timings_ms = estimate.timings_ms
        self._latencies.append(timings_ms['total'] - timings_ms.get('confidence', 0.0))
        if estimate.odometry is not None:
            self._placed.append(estimate.odometry)
        return estimate

    @property
    def latency_ms(self) -> Latency:
        """Over the frames so far, at least one."""
        p50, p95 = np.percentile(self._latencies, [50, 95])
        return Latency(float(p50), float(p95))

    def motion(self, truth: Trajectory) -> tuple[MotionEvaluation | None, Paths | None]:
        """Score the longest stretch without reset or gap; nothing where `no_motion` says why."""
        spec = self.pipeline.spec
        stretch, ours = self._covered(truth)
        if spec.motion is None or len(ours) < 2:
            return None, None
        stamps_ns = np.array([stretch[index].stamp_ns for index in ours])
        predicted = np.stack([stretch[index].world_T_cam for index in ours])
        true = truth.at(stamps_ns)
        alignment = Alignment.SE3 if self._has_metres else Alignment.SIM3
        pairing = make_pairing(stamps_ns, spec.motion.interval_s, alignment)
        aligned = align(predicted, true, alignment).apply_to_poses(predicted)
        motion = evaluate_motion(predicted, true, stamps_ns, pairing)
        return motion, Paths(alignment, true, aligned)

    def no_motion(self, truth: Trajectory) -> str:
        """For people: why there is no motion to score; empty where there is."""
        stretch, ours = self._covered(truth)
        if self.pipeline.spec.motion is None:
            return 'the model has no pose network'
        if not stretch:
            return f'no frame has a place; metres: {self.scale.text}'
        if len(ours) < 2:
            return (f'{len(ours)} of the {len(stretch)} frames without a reset or gap between '
                    f'them have a true pose within {STAMP_TOLERANCE_NS * 1e-6:g} ms, and it '
                    'takes two')
        return ''

    def _covered(self, truth: Trajectory) -> tuple[list[OdometryState], np.ndarray]:
        """The longest stretch without reset or gap, and indices of its poses that have truth."""
        if not self._placed:
            return [], np.empty(0, np.int64)
        # Images whose stamps repeat are one pose.
        placed = {(_stretch(state), state.stamp_ns): state for state in self._placed}
        longest = Counter(stretch for stretch, _ in placed).most_common(1)[0][0]
        stretch = [state for (own, _), state in placed.items() if own == longest]
        stamps_ns = np.array([state.stamp_ns for state in stretch])
        return stretch, truth.near(stamps_ns, STAMP_TOLERANCE_NS)


def _stretch(state: OdometryState) -> tuple[int, int]:
    """Poses are joined by motions where this is the same: a pause says nothing of the model."""
    return state.resets, state.gaps


def _track_settings(spec: ModelSpec, request: EvaluationRequest) -> TrackSettings:
    metric = spec.scale is ScaleKind.METRIC
    own = ScaleSettings(source=ScaleSource.MODEL if metric else ScaleSource.NONE)
    return TrackSettings(
        scale=request.scale or own,
        odometry=request.odometry,
        scale_smoothing_s=request.scale_smoothing_s,
    )
