"""Frames of one camera, in order, to metric depth, odometry and confidence."""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass, field

import numpy as np

from depth_ros import se3
from depth_ros.camera import Intrinsics
from depth_ros.confidence import ReprojectionConfidence
from depth_ros.depth_pipeline import DepthPipeline, Frame
from depth_ros.egomotion import (
    Motion,
    OdometrySettings,
    OdometryState,
    OdometryTracker,
    Reference,
    Tracking,
)
from depth_ros.errors import ConfigError
from depth_ros.grids import CameraGrid, Grid, NetworkGrid
from depth_ros.motion_refinement import MotionRefiner
from depth_ros.scale import ScaleSettings, ScaleSource, ScaleState, make_scale
from depth_ros.standstill import is_blind, stands_still, thumbnail


class OutputSize(enum.Enum):
    """The pixels of depth and confidence."""

    CAMERA = 'camera'
    """Those of the rectified camera image."""
    NETWORK = 'network'
    """Those that the network answers: fewer, and nothing interpolated."""


@dataclass(frozen=True)
class Wanted:
    """What to compute besides depth; the rest costs nothing."""

    egomotion: bool = True
    confidence: bool = False
    image: bool = False
    """The colours on the pixels of the depth map."""


@dataclass(frozen=True)
class TrackSettings:
    """How frames become depth in metres."""

    output_size: OutputSize = OutputSize.CAMERA
    scale: ScaleSettings = field(default_factory=ScaleSettings)
    odometry: OdometrySettings = field(default_factory=OdometrySettings)
    min_confidence: float = 0.0
    """Depth of less confidence, or of an unknown one, becomes NaN; 0 keeps all of it."""

    def __post_init__(self) -> None:
        """Refuse impossible values.

        Raises:
            ConfigError: min_confidence outside 0..1.
        """
        if not 0.0 <= self.min_confidence <= 1.0:
            raise ConfigError(f'min_confidence is {self.min_confidence}, allowed: 0 to 1')


@dataclass(frozen=True)
class Estimate:
    """What one frame told. Arrays belong to the receiver."""

    stamp_ns: int
    frame_id: str
    depth_m: np.ndarray
    """float32 [h,w] along the optical axis in metres, NaN where unknown, which is everywhere while
    `scale` is not valid; in the model's unit with scale source NONE."""
    intrinsics: Intrinsics
    """Of the pixels of depth_m."""
    image: np.ndarray | None
    """uint8 [h,w,3] RGB on those pixels; may be the frame's own."""
    motion: Motion | None
    """From a keyframe, about one interval of training ago, to this frame; None where it is unknown
    or was not asked for."""
    odometry: OdometryState | None
    """None where it was not asked for, or the scale is not valid."""
    confidence: np.ndarray | None
    """float32 [h,w] 0..1, NaN where it cannot be judged; None where it was not asked for or there
    is no motion to judge by."""
    scale: ScaleState
    timings_ms: dict[str, float]
    """Milliseconds of each step by name, and of all as 'total'."""


@dataclass
class _Picture:
    """One frame as the networks see it."""

    pixels: np.ndarray
    """uint8 [1,H,W,3]."""
    thumbnail: np.ndarray


class _Camera:
    """What follows from a camera's intrinsics, made once."""

    def __init__(self, pipeline: DepthPipeline, frame: Frame) -> None:
        self.intrinsics = frame.intrinsics
        self.frame_id = frame.frame_id
        spec = pipeline.spec
        view = self.view = pipeline.view_of(frame.intrinsics)
        self.grids: dict[OutputSize, Grid] = {
            OutputSize.CAMERA: CameraGrid(view),
            OutputSize.NETWORK: NetworkGrid(view, spec.depth_width, spec.depth_height),
        }
        window = view.visible_window(spec.depth_width, spec.depth_height)
        self.seen = window.slices
        intrinsics = view.grid_intrinsics(spec.depth_width, spec.depth_height)
        self.rays = intrinsics.rays()[window.slices]
        self.reprojection = ReprojectionConfidence(view.network_intrinsics)
        self.refiner = MotionRefiner(view.network_intrinsics, view.visible)

    def took(self, frame: Frame) -> bool:
        return self.intrinsics == frame.intrinsics and self.frame_id == frame.frame_id


class _Clock:
    """Milliseconds between laps."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self._laps[name] = 1e3 * (now - self._last)
        self._last = now

    def timings_ms(self) -> dict[str, float]:
        return {**self._laps, 'total': 1e3 * (self._last - self._start)}


class CameraTrack:
    """The memory of one camera. Not thread-safe: one worker feeds it, frame by frame."""

    def __init__(self, pipeline: DepthPipeline, settings: TrackSettings | None = None) -> None:
        """Begin with nothing seen.

        Raises:
            ConfigError: the scale source does not fit the model.
        """
        self._pipeline = pipeline
        self._settings = settings or TrackSettings()
        spec = pipeline.spec
        self._scale = make_scale(self._settings.scale, spec)
        self._tracker: OdometryTracker | None = None
        if spec.motion is not None and pipeline.has_pose:
            self._tracker = OdometryTracker(spec.motion, self._settings.odometry)
        self._camera: _Camera | None = None
        self._world_is_metric = self._scale.state.valid
        # The pictures change places when the keyframe advances: no frame is ever copied.
        shape = (1, spec.height, spec.width, 3)
        nothing = np.zeros((2, 2), np.float32)
        self._current = _Picture(np.empty(shape, np.uint8), nothing)
        self._keyframes = {
            reference: _Picture(np.empty(shape, np.uint8), nothing) for reference in Reference
        }

    def reset(self, reason: str) -> None:
        """Start a new odometry world with the next frame; the scale stays known."""
        self._scale.reset()
        if self._tracker is not None:
            self._tracker.reset(reason)

    def change_settings(self, settings: TrackSettings) -> None:
        """Use other settings from the next frame on.

        Keyframe, path and measured scale stay, unless the scale's own settings change: then the
        odometry starts anew, in the new metres.

        Raises:
            ConfigError: the scale source does not fit the model; the old settings stay.
        """
        if settings.scale != self._settings.scale:
            self._scale = make_scale(settings.scale, self._pipeline.spec)
            self._world_is_metric = self._scale.state.valid
            self.reset('the scale settings changed')
        if self._tracker is not None:
            self._tracker.settings = settings.odometry
        self._settings = settings

    def add_odometry(self, stamp_ns: int, odom_T_cam: np.ndarray) -> None:
        """Tell the camera's pose by an external odometry, for scale source ODOMETRY.

        Args:
            stamp_ns: when, by the clock of the images.
            odom_T_cam: float64 [4,4] of the optical frame in any fixed frame, in metres.
        """
        self._scale.add_odometry(stamp_ns, odom_T_cam)

    def process(self, frame: Frame, wanted: Wanted | None = None) -> Estimate:
        """Estimate one frame; frames come in the order of their stamps.

        Args:
            frame: the next frame.
            wanted: what to compute besides depth; None: the defaults of Wanted.

        Raises:
            CameraError: the image is not of the size of its intrinsics.
            BackendError: the runtime failed.
        """
        wanted = wanted or Wanted()
        clock = _Clock()
        camera = self._camera_of(frame)
        pixels = self._current.pixels
        camera.view.to_network(frame.image, pixels[0], self._pipeline.spec.resize_filter)
        clock.lap('resize')
        tracker = self._tracker if self._needs_motion(wanted) else None
        comparison = _Comparison.NONE
        if tracker is not None:
            comparison = self._compare(tracker, frame.stamp_ns, camera)
            clock.lap('pose')
        depth = self._pipeline.depth(pixels, [camera.view])[0]
        clock.lap('depth')
        self._scale.observe_depth(depth[camera.seen], camera.rays)
        followed = _Followed()
        confidence = None
        if tracker is not None:
            followed = self._follow(tracker, frame.stamp_ns, camera, comparison, depth)
            clock.lap('motion')
            if self._judges(wanted) and followed.motion is not None:
                confidence = self._judged(camera, depth, followed.reference, followed.motion)
                clock.lap('confidence')
        scale = self._scale.state
        grid = camera.grids[self._settings.output_size]
        depth_m = grid.depth(depth * np.float32(scale.factor))
        if confidence is not None and self._settings.min_confidence > 0:
            depth_m[~(confidence >= self._settings.min_confidence)] = np.nan
        image = grid.image(frame.image, pixels[0]) if wanted.image else None
        if followed.is_keyframe:
            self._take_keyframe()
        clock.lap('output')
        return Estimate(
            stamp_ns=frame.stamp_ns,
            frame_id=frame.frame_id,
            depth_m=depth_m,
            intrinsics=grid.intrinsics,
            image=image,
            motion=followed.metric_motion(scale) if wanted.egomotion else None,
            odometry=followed.odometry if wanted.egomotion else None,
            confidence=confidence if wanted.confidence else None,
            scale=scale,
            timings_ms=clock.timings_ms(),
        )

    def _judges(self, wanted: Wanted) -> bool:
        return wanted.confidence or self._settings.min_confidence > 0

    def _needs_motion(self, wanted: Wanted) -> bool:
        measures = self._settings.scale.source is ScaleSource.ODOMETRY
        return wanted.egomotion or measures or self._judges(wanted)

    def _camera_of(self, frame: Frame) -> _Camera:
        if self._camera is None or not self._camera.took(frame):
            if self._camera is not None:
                self.reset('the camera changed')
            self._camera = _Camera(self._pipeline, frame)
        return self._camera

    def _take_keyframe(self) -> None:
        pictures = self._keyframes
        unused = pictures[Reference.EARLIER_KEYFRAME]
        pictures[Reference.EARLIER_KEYFRAME] = pictures[Reference.KEYFRAME]
        pictures[Reference.KEYFRAME], self._current = self._current, unused

    def _compare(
        self, tracker: OdometryTracker, stamp_ns: int, camera: _Camera
    ) -> _Comparison:
        """Begin to compare the current picture with its keyframe, before its depth is known."""
        current = self._current
        current.thumbnail = thumbnail(current.pixels[0][camera.view.visible])
        if tracker.break_before(stamp_ns) is not None:
            return _Comparison.NONE
        reference = tracker.reference(stamp_ns)
        previous = self._keyframes[reference]
        if is_blind(current.thumbnail):
            return _Comparison.BLIND
        if is_blind(previous.thumbnail):
            return _Comparison.KEYFRAME_BLIND
        if reference is Reference.KEYFRAME and stands_still(previous.thumbnail, current.thumbnail):
            return _Comparison.STILL
        self._pipeline.begin_motion(previous.pixels, current.pixels)
        return _Comparison.BEGUN

    def _follow(
        self,
        tracker: OdometryTracker,
        stamp_ns: int,
        camera: _Camera,
        comparison: _Comparison,
        depth: np.ndarray,
    ) -> _Followed:
        """Place the current picture against a keyframe."""
        scale = self._scale.state
        if scale.valid and not self._world_is_metric:
            tracker.reset('the scale was found')
        self._world_is_metric = scale.valid
        reason = tracker.break_before(stamp_ns)
        if reason is not None:
            state = tracker.start(stamp_ns, reason)
            return _Followed(odometry=state if scale.valid else None, is_keyframe=True)
        reference = tracker.reference(stamp_ns)
        previous, previous_ns = self._keyframes[reference], tracker.stamp_of(reference)
        motion: np.ndarray | None = None
        if comparison is _Comparison.BLIND:
            state = tracker.lose(stamp_ns)
        elif comparison is _Comparison.KEYFRAME_BLIND:
            state = tracker.lose(stamp_ns, at_once=True)
        elif comparison is _Comparison.STILL:
            state, motion = tracker.hold(stamp_ns), np.zeros(6)
        else:
            motion = self._pipeline.end_motion(camera.view)
            covariance = None
            if self._settings.odometry.refine:
                refined = camera.refiner(
                    previous.pixels[0], self._current.pixels[0], depth, motion
                )
                if refined is not None:
                    motion, covariance = refined.motion, refined.covariance
            factor = scale.factor if scale.valid else 1.0
            state = tracker.update(stamp_ns, motion, factor, reference, covariance)
            motion = None if state.tracking is Tracking.LOST else motion
        if motion is not None and tracker.advanced:
            self._scale.observe_motion(previous_ns, stamp_ns, motion)
        return _Followed(
            stamp_ns,
            previous_ns,
            reference,
            motion,
            state if scale.valid else None,
            state.tracking,
            tracker.advanced,
        )

    def _judged(
        self, camera: _Camera, depth: np.ndarray, reference: Reference, motion: np.ndarray
    ) -> np.ndarray:
        reprojection = camera.reprojection
        previous = self._keyframes[reference]
        agreement = reprojection(
            reprojection.reduced(previous.pixels[0]),
            reprojection.reduced(self._current.pixels[0]),
            depth,
            se3.motion_to_matrix(motion),
        )
        return camera.grids[self._settings.output_size].confidence(agreement)


class _Comparison(enum.Enum):
    """What a glance at the picture and its keyframe told."""

    NONE = enum.auto()
    """There is no keyframe to compare with."""
    BLIND = enum.auto()
    KEYFRAME_BLIND = enum.auto()
    STILL = enum.auto()
    BEGUN = enum.auto()
    """The pose network was asked."""


@dataclass(frozen=True)
class _Followed:
    """What comparing a frame with a keyframe told."""

    stamp_ns: int = 0
    previous_ns: int = 0
    reference: Reference = Reference.KEYFRAME
    motion: np.ndarray | None = None
    """[6] in the model's unit, previous_T_current."""
    odometry: OdometryState | None = None
    tracking: Tracking = Tracking.LOST
    is_keyframe: bool = False

    def metric_motion(self, scale: ScaleState) -> Motion | None:
        if self.motion is None or not scale.valid:
            return None
        previous_T_current = se3.motion_to_matrix(self.motion)
        previous_T_current[:3, 3] *= scale.factor
        return Motion(self.previous_ns, self.stamp_ns, previous_T_current, self.tracking)
