"""What is wanted of a frame, how it is made, and what comes out."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

import numpy as np

from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.errors import ConfigError
from depth_ros.motion.egomotion import Motion, OdometrySettings, OdometryState, TurnSource
from depth_ros.pipeline.scale import ScaleSettings, ScaleSource, ScaleState

LONGEST_SMOOTHING_S = 10.0
"""Over more than this the errors of neighbours' ratios add up to more than those of scales."""


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
    """Depth of less confidence, or of an unknown one, becomes NaN; 0 keeps all of it. Frames that
    cannot be judged at all, such as the first and those before the camera moved, are kept."""
    scale_smoothing_s: float = 0.0
    """Time constant of the mean scale that depth and motion are brought to, see SteadyScale; 0
    leaves every frame as the network answers it."""

    def __post_init__(self) -> None:
        """Refuse impossible values.

        Raises:
            ConfigError: min_confidence outside 0..1, or a time outside 0..LONGEST_SMOOTHING_S.
        """
        if not 0.0 <= self.min_confidence <= 1.0:
            raise ConfigError(f'min_confidence is {self.min_confidence}, allowed: 0 to 1')
        if not 0.0 <= self.scale_smoothing_s <= LONGEST_SMOOTHING_S:
            raise ConfigError(
                f'scale_smoothing_s is {self.scale_smoothing_s}, allowed: 0 to '
                f'{LONGEST_SMOOTHING_S:g} seconds'
            )

    @property
    def needs_odometry(self) -> bool:
        """Whether the robot's own odometry is listened to."""
        return (self.scale.source is ScaleSource.ODOMETRY
                or self.odometry.turns is TurnSource.ODOMETRY)

    @property
    def waits_for_motion(self) -> bool:
        """Whether the motion of a frame changes its depth."""
        return self.min_confidence > 0 or self.scale_smoothing_s > 0


@dataclass(frozen=True)
class DepthEstimate:
    """What one frame told by itself. Arrays belong to the receiver."""

    stamp_ns: int
    frame_id: str
    depth_m: np.ndarray
    """float32 [h,w] along the optical axis in metres, NaN where unknown: where the camera saw
    nothing, and everywhere while `scale` is not valid; in the model's unit with scale source
    NONE."""
    intrinsics: Intrinsics
    """Of the pixels of depth_m."""
    image: np.ndarray | None
    """uint8 [h,w,3] RGB on those pixels; may be the frame's own."""
    scale: ScaleState
    fov_deg: float | None
    """Horizontal field of view of the camera as the model sees it, whatever the intrinsics say;
    None where the model tells none."""


@dataclass(frozen=True)
class Estimate(DepthEstimate):
    """What one frame told, compared with those before it."""

    motion: Motion | None
    """From a keyframe, about one interval of training ago, to this frame; None where it is unknown
    or was not asked for."""
    odometry: OdometryState | None
    """None where it was not asked for, or the scale is not valid."""
    confidence: np.ndarray | None
    """float32 [h,w] 0..1, NaN where it cannot be judged; None where it was not asked for or there
    is no motion to judge by."""
    timings_ms: dict[str, float]
    """Milliseconds of each step by name, and of all as 'total'."""
