"""Frames of one camera, in order, to metric depth, odometry and confidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np

from depth_ros.motion import se3
from depth_ros.motion.egomotion import (
    NS_PER_S,
    OdometryTracker,
    Reference,
    Tracking,
    TurnSource,
)
from depth_ros.motion.pose_record import PoseRecord
from depth_ros.motion.standstill import is_blind, stands_still, thumbnail
from depth_ros.pipeline.depth_pipeline import DepthPipeline, Frame, NetworkAnswer, Question
from depth_ros.pipeline.estimate import DepthEstimate, Estimate, TrackSettings, Wanted
from depth_ros.pipeline.ground_plane import Direction
from depth_ros.pipeline.scale import ScaleSource, make_scale
from depth_ros.pipeline.steady_scale import SteadyDepth, check_smoothing
from depth_ros.pipeline.track_camera import TrackCamera
from depth_ros.pipeline.track_steps import BegunFrame, Clock, Comparison, FollowedFrame, SeenFrame

DepthOut = Callable[[int, int], np.ndarray]
"""Gives float32 [height,width] for a height and a width."""


@dataclass
class _Picture:
    """One frame as the networks see it."""

    pixels: np.ndarray
    """uint8 [1,H,W,3]."""
    thumbnail: np.ndarray
    agreement: np.ndarray | None = None
    """Of its depth, see ReprojectionConfidence; None where nobody asked or nothing moved yet."""
    steady: SteadyDepth | None = None
    """Its depth where the camera sees; None where scale is not smoothed."""

    @property
    def unit(self) -> float:
        """What its depth, and motions found with that, are to be multiplied by."""
        return 1.0 if self.steady is None else self.steady.factor


class CameraTrack:
    """The memory of one camera. Not thread-safe: one worker feeds it, frame by frame."""

    def __init__(self, pipeline: DepthPipeline, settings: TrackSettings | None = None) -> None:
        """Begin with nothing seen.

        Raises:
            ConfigError: the scale source, or its smoothing, does not fit the model.
        """
        self._pipeline = pipeline
        self._settings = settings or TrackSettings()
        spec = pipeline.spec
        check_smoothing(self._settings.scale_smoothing_s, spec)
        self._scale = make_scale(self._settings.scale, spec)
        self._poses = PoseRecord()
        self._worlds_before = 0
        self._tracker: OdometryTracker | None = None
        if spec.motion is not None and pipeline.has_pose:
            self._tracker = OdometryTracker(spec.motion, self._settings.odometry)
        self._camera: TrackCamera | None = None
        self._world_is_metric = self._scale.state.valid
        # The pictures change places when the keyframe advances: no frame is ever copied.
        shape = (1, spec.height, spec.width, 3)
        nothing = np.zeros((2, 2), np.float32)
        self._current = _Picture(np.empty(shape, np.uint8), nothing)
        self._keyframes = {
            reference: _Picture(np.empty(shape, np.uint8), nothing) for reference in Reference
        }

    @property
    def pipeline(self) -> DepthPipeline:
        """The networks that it asks."""
        return self._pipeline

    @property
    def _worlds(self) -> int:
        return self._worlds_before if self._tracker is None else self._tracker.worlds

    def reset(self, reason: str) -> None:
        """Start a new odometry world with the next frame; the scale stays known."""
        self._scale.reset()
        self._poses.clear()
        if self._tracker is not None:
            self._tracker.reset(reason)

    def succeed(self, earlier: CameraTrack, reason: str) -> None:
        """Take the place of a track of the same camera, whose resets go on to be counted.

        Args:
            earlier: that one.
            reason: why its odometry world ends.
        """
        # A model without pose network has no tracker, and hands on what it was handed.
        self._worlds_before = earlier._worlds
        if self._tracker is not None:
            self._tracker.succeed(self._worlds_before, reason)

    def skip(self) -> None:
        """A frame came whose motion nobody wanted; where that tears the path, odometry says so."""
        if self._tracker is not None:
            self._tracker.skip()

    def change_settings(self, settings: TrackSettings) -> None:
        """Use other settings from the next frame on.

        Keyframe, path and measured scale stay, unless the scale's own settings change, or whether
        it is smoothed: then the odometry starts anew, in the new metres.

        Raises:
            ConfigError: the scale source, or its smoothing, does not fit the model; the old
                settings stay.
        """
        check_smoothing(settings.scale_smoothing_s, self._pipeline.spec)
        smooths = settings.scale_smoothing_s > 0
        if settings.scale != self._settings.scale or smooths is not self._smooths:
            self._scale = make_scale(settings.scale, self._pipeline.spec)
            self._world_is_metric = self._scale.state.valid
            self.reset('the scale settings changed')
        if self._tracker is not None:
            self._tracker.settings = settings.odometry
        self._settings = settings

    def add_odometry(self, stamp_ns: int, odom_T_cam: np.ndarray) -> None:
        """Tell the camera's pose by an external odometry, for scale or turns by ODOMETRY.

        Args:
            stamp_ns: when, by the clock of the images.
            odom_T_cam: float64 [4,4] of the optical frame in any fixed frame, in metres.
        """
        self._scale.add_odometry(stamp_ns, odom_T_cam)
        self._poses.add(stamp_ns, odom_T_cam)

    def tell_down(self, down: Direction) -> None:
        """Tell how the camera is tilted, for scale source CAMERA_HEIGHT.

        Args:
            down: unit vector of gravity in the optical frame.
        """
        self._scale.tell_down(down)

    def process(self, frame: Frame, wanted: Wanted | None = None) -> Estimate:
        """Estimate one frame; frames come in the order of their stamps.

        Args:
            frame: the next frame.
            wanted: what to compute besides depth; None: the defaults of Wanted.

        Raises:
            CameraError: the image, or what is seen of it, is not of the size of its intrinsics.
            BackendError: the runtime failed.
        """
        begun = self.begin(frame, wanted)
        (answer,) = self._pipeline.ask([begun.question])
        seen = self.see(begun, answer)
        (motion,) = self._pipeline.motions([begun.question])
        return self.follow(seen, motion)

    def begin(self, frame: Frame, wanted: Wanted | None = None) -> BegunFrame:
        """Prepare a frame for the networks, which may be asked about several cameras at once.

        The frame is seen and followed before the next one begins, or was in vain.

        Args:
            frame: see `process`.
            wanted: see `process`.

        Raises:
            CameraError: the image, or what is seen of it, is not of the size of its intrinsics.
        """
        wanted = wanted or Wanted()
        clock = Clock()
        camera = self._camera_of(frame)
        pixels = self._current.pixels
        camera.view.to_network(frame.image, pixels[0], self._pipeline.spec.resize_filter)
        clock.lap('resize')
        self._current.agreement = self._current.steady = None
        tracker = self._tracker if self._needs_motion(wanted) else None
        if tracker is None:
            self.skip()
        comparison, previous = Comparison.NONE, None
        if tracker is not None:
            comparison, previous = self._compare(tracker, frame.stamp_ns, camera)
            clock.lap('comparison')
        question = Question(pixels, camera.view, previous)
        return BegunFrame(question, frame, wanted, camera, tracker, comparison, clock)

    def see(
        self, begun: BegunFrame, answer: NetworkAnswer, depth_out: DepthOut | None = None
    ) -> SeenFrame:
        """Depth of a frame that was begun, which does not wait for its motion.

        Args:
            begun: the frame.
            answer: to its question.
            depth_out: gives the memory of the estimate's depth_m; None: it is made.
        """
        frame, camera, clock = begun.frame, begun.camera, begun.clock
        clock.lap('depth network')
        depth = camera.of_the_world(answer.depth)
        shown = depth[camera.shown]
        if self._smooths:
            # Metres are of smoothed depth; that of this frame is not known before its motion.
            shown = shown * np.float32(self._keyframes[Reference.KEYFRAME].unit)
        self._scale.observe_depth(shown, camera.rays)
        scale = self._scale.state
        if self._smooths and scale.valid:
            window = f'{self._settings.scale_smoothing_s:g} s'
            scale = replace(scale, text=f'{scale.text}, smoothed over {window}')
        grid = camera.grids[self._settings.output_size]
        size = grid.intrinsics
        out = None if depth_out is None else depth_out(size.height, size.width)
        # Of the whole answer: interpolating would spread its NaN over pixels that were seen.
        depth_m = grid.depth(answer.depth * np.float32(scale.factor), out)
        image = grid.image(frame.image, begun.question.pixels[0]) if begun.wanted.image else None
        clock.lap('output')
        estimate = DepthEstimate(
            stamp_ns=frame.stamp_ns,
            frame_id=frame.frame_id,
            depth_m=depth_m,
            intrinsics=grid.intrinsics,
            image=image,
            scale=scale,
            fov_deg=answer.fov_deg,
        )
        is_final = begun.tracker is None or not self._settings.waits_for_motion
        return SeenFrame(begun, depth, estimate, is_final)

    def follow(self, seen: SeenFrame, motion: np.ndarray | None) -> Estimate:
        """Estimate a frame that was seen, its motion and what is judged by that.

        Args:
            seen: the frame.
            motion: what the pose network says to its question, see DepthPipeline.motions.
        """
        begun, estimate = seen.begun, seen.estimate
        wanted, clock = begun.wanted, begun.clock
        followed = FollowedFrame()
        confidence = None
        if begun.tracker is not None:
            clock.lap('pose network')
            followed = self._follow(begun.tracker, seen, motion)
            clock.lap('motion')
            if self._judges(wanted) and followed.motion is not None:
                confidence = self._judged(begun, seen.depth, followed.reference, followed.motion)
                clock.lap('confidence')
        if not seen.is_final:
            if followed.unit != 1.0:
                np.multiply(estimate.depth_m, np.float32(followed.unit), out=estimate.depth_m)
            if confidence is not None and self._settings.min_confidence > 0:
                estimate.depth_m[~(confidence >= self._settings.min_confidence)] = np.nan
        if followed.is_keyframe:
            self._take_keyframe()
        told = {one.name: getattr(estimate, one.name) for one in fields(estimate)}
        return Estimate(
            **told,
            motion=followed.metric_motion(estimate.scale) if wanted.egomotion else None,
            odometry=followed.odometry if wanted.egomotion else None,
            confidence=confidence if wanted.confidence else None,
            timings_ms=clock.timings_ms(),
        )

    def without_motion(self, seen: SeenFrame) -> DepthEstimate | None:
        """What there is of a frame whose motion cannot be found, which is not followed then.

        None where its depth was final, or must not be told without being judged by the motion.
        """
        if seen.is_final or self._settings.min_confidence > 0:
            return None
        unit = np.float32(self._keyframes[Reference.KEYFRAME].unit)
        np.multiply(seen.estimate.depth_m, unit, out=seen.estimate.depth_m)
        return seen.estimate

    @property
    def _smooths(self) -> bool:
        return self._settings.scale_smoothing_s > 0

    def _judges(self, wanted: Wanted) -> bool:
        return wanted.confidence or self._settings.min_confidence > 0

    def _needs_motion(self, wanted: Wanted) -> bool:
        measures = self._smooths or self._settings.scale.source is ScaleSource.ODOMETRY
        return wanted.egomotion or measures or self._judges(wanted)

    def _camera_of(self, frame: Frame) -> TrackCamera:
        if self._camera is None or not self._camera.took(frame):
            if self._camera is not None:
                self.reset('the camera changed')
            self._camera = TrackCamera(self._pipeline, frame)
        return self._camera

    def _take_keyframe(self) -> None:
        pictures = self._keyframes
        unused = pictures[Reference.EARLIER_KEYFRAME]
        pictures[Reference.EARLIER_KEYFRAME] = pictures[Reference.KEYFRAME]
        pictures[Reference.KEYFRAME], self._current = self._current, unused

    def _compare(
        self, tracker: OdometryTracker, stamp_ns: int, camera: TrackCamera
    ) -> tuple[Comparison, np.ndarray | None]:
        """What a glance at the current picture and its keyframe tells, before its depth is known;
        and the keyframe's pixels, where the pose network is to be asked."""
        current = self._current
        current.thumbnail = thumbnail(current.pixels[0][camera.view.visible])
        if tracker.break_before(stamp_ns) is not None:
            return Comparison.NONE, None
        reference = tracker.reference(stamp_ns)
        previous = self._keyframes[reference]
        if tracker.gap_before(stamp_ns) is not None:
            stayed = not is_blind(current.thumbnail) and stands_still(
                previous.thumbnail, current.thumbnail
            )
            return Comparison.STILL if stayed else Comparison.NONE, None
        if is_blind(current.thumbnail):
            return Comparison.BLIND, None
        if is_blind(previous.thumbnail):
            return Comparison.KEYFRAME_BLIND, None
        if reference is Reference.KEYFRAME and stands_still(previous.thumbnail, current.thumbnail):
            return Comparison.STILL, None
        return Comparison.ASKED, previous.pixels

    def _follow(
        self, tracker: OdometryTracker, seen: SeenFrame, motion: np.ndarray | None
    ) -> FollowedFrame:
        """Place the current picture against a keyframe."""
        begun = seen.begun
        stamp_ns, comparison = begun.frame.stamp_ns, begun.comparison
        scale = self._scale.state
        if scale.valid and not self._world_is_metric:
            tracker.reset('the scale was found')
        self._world_is_metric = scale.valid
        reason = tracker.break_before(stamp_ns)
        if reason is not None:
            self._remember_depth(seen, None)
            state = tracker.start(stamp_ns, reason)
            return FollowedFrame(odometry=state if scale.valid else None, is_keyframe=True)
        gap = tracker.gap_before(stamp_ns)
        if gap is not None and comparison is not Comparison.STILL:
            self._remember_depth(seen, self._keyframes[Reference.KEYFRAME].steady)
            state = tracker.resume(stamp_ns, gap)
            return FollowedFrame(
                odometry=state if scale.valid else None,
                is_keyframe=True,
                unit=self._current.unit,
            )
        reference = tracker.reference(stamp_ns)
        previous, previous_ns = self._keyframes[reference], tracker.stamp_of(reference)
        self._remember_depth(seen, previous.steady)
        if comparison is Comparison.BLIND:
            state = tracker.lose(stamp_ns)
        elif comparison is Comparison.KEYFRAME_BLIND:
            state = tracker.lose(stamp_ns, at_once=True)
        elif comparison is Comparison.STILL:
            state, motion = tracker.hold(stamp_ns), np.zeros(6)
            self._steady(begun, previous, previous_ns, motion)
            previous.steady = self._current.steady  # at the same place, but later
        elif motion is None:
            raise RuntimeError('the networks were not asked for the motion of this frame')
        else:
            covariance = None
            turn = self._known_turn(previous_ns, stamp_ns)
            if turn is not None:
                motion = np.concatenate([se3.matrix_to_axis_angle(turn), motion[3:]])
            if self._settings.odometry.refine:
                refined = begun.camera.refiner(
                    previous.pixels[0], self._current.pixels[0], seen.depth, motion, turn
                )
                if refined is not None:
                    motion, covariance = refined.motion, refined.covariance
            self._steady(begun, previous, previous_ns, motion)
            factor = self._current.unit * (scale.factor if scale.valid else 1.0)
            state = tracker.update(stamp_ns, motion, factor, reference, covariance)
            if state.tracking is Tracking.LOST:
                motion = None
                self._remember_depth(seen, previous.steady)
        if motion is not None and tracker.advanced:
            steadied = motion * np.repeat([1.0, self._current.unit], 3)
            self._scale.observe_motion(previous_ns, stamp_ns, steadied)
        return FollowedFrame(
            stamp_ns,
            previous_ns,
            reference,
            motion,
            state if scale.valid else None,
            state.tracking,
            tracker.advanced,
            self._current.unit,
        )

    def _known_turn(self, previous_ns: int, current_ns: int) -> np.ndarray | None:
        """previous_R_current [3,3] of the camera, where the robot's odometry is to tell it."""
        if self._settings.odometry.turns is not TurnSource.ODOMETRY:
            return None
        motion = self._poses.motion(previous_ns, current_ns)
        return None if motion is None else motion[:3, :3]

    def _remember_depth(self, seen: SeenFrame, known: SteadyDepth | None) -> None:
        """Keep the current depth, at the scale of an earlier one until more is known."""
        if self._smooths:
            depth = seen.depth[seen.begun.camera.shown].copy()
            self._current.steady = replace(known or SteadyDepth(depth), depth=depth)

    def _steady(
        self, begun: BegunFrame, previous: _Picture, previous_ns: int, motion: np.ndarray
    ) -> None:
        """Bring the current depth to the mean scale, by the motion from a keyframe."""
        if self._current.steady is None or previous.steady is None:
            return
        self._current.steady = begun.camera.steady.follow(
            previous.steady,
            self._current.steady.depth,
            se3.motion_to_matrix(motion),
            (begun.frame.stamp_ns - previous_ns) / NS_PER_S,
            self._settings.scale_smoothing_s,
        )

    def _judged(
        self, begun: BegunFrame, depth: np.ndarray, reference: Reference, motion: np.ndarray
    ) -> np.ndarray | None:
        """Confidence on the pixels of the answer; None where there never was any parallax."""
        camera, previous = begun.camera, self._keyframes[reference]
        if begun.comparison is Comparison.STILL:
            # The same picture at the same place agrees with any depth; what was found on the way
            # here still holds.
            agreement = previous.agreement
        else:
            reprojection = camera.reprojection
            agreement = reprojection(
                reprojection.reduced(previous.pixels[0]),
                reprojection.reduced(self._current.pixels[0]),
                depth,
                se3.motion_to_matrix(motion),
            )
        self._current.agreement = agreement
        if agreement is None:
            return None
        return camera.grids[self._settings.output_size].confidence(agreement)
