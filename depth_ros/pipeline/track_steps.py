"""What a frame carries from one step of a track to the next: begun, seen, followed."""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass

import numpy as np

from depth_ros.motion import se3
from depth_ros.motion.egomotion import Motion, OdometryState, OdometryTracker, Reference, Tracking
from depth_ros.pipeline.depth_pipeline import Frame, Question
from depth_ros.pipeline.estimate import DepthEstimate, Wanted
from depth_ros.pipeline.scale import ScaleState
from depth_ros.pipeline.track_camera import TrackCamera


class Clock:
    """Milliseconds between laps."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """End a lap, which began where the one before ended."""
        now = time.perf_counter()
        self._laps[name] = 1e3 * (now - self._last)
        self._last = now

    def timings_ms(self) -> dict[str, float]:
        """Of every lap by its name, and from the start to the last lap's end as `total`."""
        return {**self._laps, 'total': 1e3 * (self._last - self._start)}


class Comparison(enum.Enum):
    """What a glance at the picture and its keyframe told."""

    NONE = enum.auto()
    """There is no keyframe to compare with."""
    BLIND = enum.auto()
    KEYFRAME_BLIND = enum.auto()
    STILL = enum.auto()
    ASKED = enum.auto()
    """Nothing: the pose network is asked."""


@dataclass(frozen=True)
class BegunFrame:
    """A frame that the networks are to be asked about; of the track that began it."""

    question: Question
    """For the networks."""
    frame: Frame
    wanted: Wanted
    camera: TrackCamera
    tracker: OdometryTracker | None
    comparison: Comparison
    clock: Clock


@dataclass(frozen=True)
class SeenFrame:
    """A frame whose depth is known, before its motion is; of the track that saw it."""

    begun: BegunFrame
    depth: np.ndarray
    """As the network answered it; NaN where the camera saw nothing."""
    estimate: DepthEstimate
    is_final: bool
    """Whether its depth stays as it is; not so where that waits for its motion."""


@dataclass(frozen=True)
class FollowedFrame:
    """What comparing a frame with a keyframe told."""

    stamp_ns: int = 0
    previous_ns: int = 0
    reference: Reference = Reference.KEYFRAME
    motion: np.ndarray | None = None
    """[6] in the model's unit, previous_T_current."""
    odometry: OdometryState | None = None
    tracking: Tracking = Tracking.LOST
    is_keyframe: bool = False
    unit: float = 1.0
    """Of depth and motion: they are to be multiplied by it."""

    def metric_motion(self, scale: ScaleState) -> Motion | None:
        """The motion in metres; None where it or the scale is not known."""
        if self.motion is None or not scale.valid:
            return None
        previous_T_current = se3.motion_to_matrix(self.motion)
        previous_T_current[:3, 3] *= self.unit * scale.factor
        return Motion(self.previous_ns, self.stamp_ns, previous_T_current, self.tracking)
