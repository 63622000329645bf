"""Visual odometry from the relative motions that a pose network answers.

The current frame is always compared with a keyframe, and the path grows only when the keyframe
advances, about once in the interval that the network was trained on: the errors of the frames in
between do not add up. Right after it advanced, frames are still compared with the keyframe before,
since a network answers poorly to motions much smaller than it ever saw.

After a pause the path goes on where it was, as REP 105 wants it, and its covariance says that
nobody knows where the camera went meanwhile. A new world begins where the old one has no meaning
any more: stamps that go back, another camera, another scale, or because somebody asks for it.

Frames are optical (x right, y down, z forward); the world is the camera's frame at the last reset.
depth_ros.motion.body_odometry turns the result into body axes.

Covariances [6,6] are ordered (translation, rotation vector), as in ROS, both along world axes.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, field

import numpy as np

from depth_ros.model_folder.spec import MotionSpec
from depth_ros.motion import se3

NS_PER_S = 1_000_000_000

_IMPLAUSIBLE = 10.0
"""A motion this many times the typical one of its interval is taken for a failure."""
_LARGE = 1.5
"""The keyframe advances early when the motion exceeds the typical one this many times."""
_MIN_ELAPSED_S = 1e-3
"""Bounds the velocity of two frames with one stamp."""
_START_SIGMA = 1e-3
"""Standard deviation of the first pose [m and rad]: exact by definition, but never zero."""
_LEAST_SIGMA = 1e-4
"""No motion is known better than this [m and rad]."""
_TOO_SOON = 0.5
"""Share of the interval before which the keyframe is too young to compare with."""
_RELATIVE_FLOOR = 0.1
"""A translation is never known better than sigma_translation of this share of a typical one."""
_GAP_INTERVALS = 3.0
"""A pause of so many intervals of training is no gap, however long they are."""
_LOST_VARIANCE = np.diag([1e4, 1e4, 1e4, 10.0, 10.0, 10.0])
"""What an unknown motion adds: 100 m and half a turn [m^2, rad^2]."""


class Tracking(enum.Enum):
    """How the last frame was placed."""

    STARTED = 'started'
    """It is the origin: the first frame, or the first after a reset."""
    MOVING = 'moving'
    STILL = 'still'
    """It shows what the keyframe shows; the motion is zero by decision, not by estimate."""
    LOST = 'lost'
    """The motion is unknown; the pose is the last known one with a huge covariance."""


@dataclass(frozen=True)
class Motion:
    """Where the camera went between two frames."""

    previous_stamp_ns: int
    stamp_ns: int
    previous_T_current: np.ndarray
    """float64 [4,4], X_previous = R X_current + t; metres where the scale is known."""
    tracking: Tracking


@dataclass(frozen=True)
class OdometryState:
    """The camera's pose and velocity, in optical axes."""

    stamp_ns: int
    world_T_cam: np.ndarray
    """float64 [4,4]."""
    covariance: np.ndarray
    """float64 [6,6] of the pose; never singular."""
    linear_velocity: np.ndarray
    """float64 [3], m/s along the camera's axes."""
    angular_velocity: np.ndarray
    """float64 [3], rad/s about the camera's axes."""
    velocity_covariance: np.ndarray
    """float64 [6,6] along the camera's axes."""
    tracking: Tracking
    resets: int
    """Resets so far; whenever it grows, the world is a new one."""
    reset_reason: str
    gaps: int
    """Pauses in this world; no motion joins the path before one with that after it."""
    gap_reason: str

    @property
    def text(self) -> str:
        """For people: whether it follows, why the world is not the first one, and what tore it."""
        parts = [self.tracking.value]
        if self.resets:
            parts.append(f'started anew {self.resets} times, last: {self.reset_reason}')
        if self.gaps:
            parts.append(
                f'uncertain since the path was torn {self.gaps} times, last: {self.gap_reason}'
            )
        return '; '.join(parts)


class TurnSource(enum.Enum):
    """What tells how the camera turns from frame to frame."""

    FEATURES = 'features'
    """Features tracked between the frames, which tell a small turn from a step to the side only
    by the depth of what they see."""
    ODOMETRY = 'odometry'
    """The robot's own odometry, whose gyroscope knows; where it has not reached a frame, or what
    is seen contradicts it, features."""


@dataclass(frozen=True)
class OdometrySettings:
    """How motions are found, and limits of the odometry."""

    max_gap_s: float = 1.0
    """Over a longer pause between frames, unless it is short for the pose network, no motion is
    asked for."""
    refine: bool = True
    """Make the network's motions exact with tracked features (depth_ros.motion.refinement)."""
    turns: TurnSource = TurnSource.FEATURES


@dataclass
class _Keyframe:
    stamp_ns: int
    world_T_cam: np.ndarray = field(default_factory=lambda: np.eye(4))
    covariance: np.ndarray = field(default_factory=lambda: np.eye(6) * _START_SIGMA**2)


class Reference(enum.Enum):
    """What a frame is compared with."""

    KEYFRAME = 'keyframe'
    EARLIER_KEYFRAME = 'earlier keyframe'
    """The one before it."""


class OdometryTracker:
    """Chains keyframes; see the module.

    The caller holds the images of the last two keyframes: whenever a call returns with `advanced`
    true, the frame just given is the new keyframe, and the keyframe the earlier one. `worlds`
    counts those that were started; every one but the first is a reset.
    """

    def __init__(self, spec: MotionSpec, settings: OdometrySettings | None = None) -> None:
        """Track with the pairs and errors that `spec` tells of."""
        self._spec = spec
        self.settings = settings or OdometrySettings()
        self._key: _Keyframe | None = None
        self._earlier: _Keyframe | None = None
        self._last_stamp_ns = 0
        self._skipped = False
        self.worlds = self._gaps = 0
        self._reason = self._gap_reason = ''
        self.advanced = False

    def reference(self, stamp_ns: int) -> Reference:
        """What a frame of this stamp should be compared with, once `break_before` is None."""
        age_s = (stamp_ns - self._keyframe().stamp_ns) / NS_PER_S
        young = age_s < _TOO_SOON * self._spec.interval_s
        use_earlier = young and self._earlier is not None
        return Reference.EARLIER_KEYFRAME if use_earlier else Reference.KEYFRAME

    def stamp_of(self, reference: Reference) -> int:
        """When the frame that `reference` means was taken [ns]."""
        return self._keyframe(reference).stamp_ns

    def break_before(self, stamp_ns: int) -> str | None:
        """Why a frame of this stamp has to `start` a new world; None where it has not."""
        if self._key is None:
            return self._reason or 'first frame'
        elapsed_s = (stamp_ns - self._last_stamp_ns) / NS_PER_S
        if elapsed_s < 0:
            return f'time went back by {-elapsed_s:.3f} s'
        return None

    def gap_before(self, stamp_ns: int) -> str | None:
        """Why the path has to `resume` with a frame of this stamp, once `break_before` is None.

        None where the motion since the keyframe can be told. A frame that shows what the keyframe
        shows may `hold` after any pause.
        """
        elapsed_s = (stamp_ns - self._last_stamp_ns) / NS_PER_S
        if elapsed_s <= max(self.settings.max_gap_s, _GAP_INTERVALS * self._spec.interval_s):
            return None
        what = 'nobody asked for odometry' if self._skipped else 'no frame was followed'
        return f'{what} for {elapsed_s:.1f} s'

    def skip(self) -> None:
        """A frame came whose place nobody asked for."""
        self._skipped = True

    def reset(self, reason: str) -> None:
        """Forget the world; the next frame starts a new one."""
        self._key = self._earlier = None
        self._reason = reason

    def succeed(self, worlds: int, reason: str) -> None:
        """Go on counting where other trackers of the same camera ended.

        Args:
            worlds: how many they started.
            reason: why the next frame starts a new one.
        """
        self.worlds = worlds
        self._reason = reason

    def start(self, stamp_ns: int, reason: str) -> OdometryState:
        """Make this frame the keyframe and the origin of a new world."""
        self.worlds += 1
        self._reason = reason
        self._gaps, self._gap_reason = 0, ''
        self._key, self._earlier = _Keyframe(stamp_ns), None
        self._placed(stamp_ns)
        self.advanced = True
        return self._state(self._key, Tracking.STARTED, np.zeros(6), _LOST_VARIANCE)

    def resume(self, stamp_ns: int, reason: str) -> OdometryState:
        """Go on after a gap: where the path was, but nobody knows how far from the truth."""
        self._gaps += 1
        self._gap_reason = reason
        return self.lose(stamp_ns, at_once=True)

    def hold(self, stamp_ns: int) -> OdometryState:
        """The frame shows what the keyframe shows: the camera stands still.

        The keyframe's image stays, so that a slow creep shows at last; its stamp follows.
        """
        key = self._keyframe()
        self._earlier = None  # too long ago as soon as the camera moves again
        key.stamp_ns = stamp_ns
        self._placed(stamp_ns)
        self.advanced = False
        return self._state(key, Tracking.STILL, np.zeros(6), np.eye(6) * _START_SIGMA**2)

    def lose(self, stamp_ns: int, at_once: bool = False) -> OdometryState:
        """The frame could not be compared, for want of texture or of a plausible answer.

        A single such frame leaves the keyframe as it is. After two intervals of them, or
        `at_once` where the keyframe is of no use, the frame becomes the keyframe, and the
        uncertainty stays in the pose until a reset.
        """
        key = self._keyframe()
        lost = _Keyframe(stamp_ns, key.world_T_cam, key.covariance + _LOST_VARIANCE)
        self._placed(stamp_ns)
        elapsed_s = (stamp_ns - key.stamp_ns) / NS_PER_S
        self.advanced = at_once or elapsed_s >= 2.0 * self._spec.interval_s
        if self.advanced:
            self._key, self._earlier = lost, None
        return self._state(lost, Tracking.LOST, np.zeros(6), _LOST_VARIANCE)

    def update(
        self,
        stamp_ns: int,
        motion: np.ndarray,
        scale: float,
        reference: Reference = Reference.KEYFRAME,
        covariance: np.ndarray | None = None,
    ) -> OdometryState:
        """Place a frame by its motion from a keyframe.

        Args:
            stamp_ns: the frame's stamp, not before the previous frame's.
            motion: [6] axis-angle [rad] and translation in the model's unit, previous_T_current.
            scale: metres per unit of the model.
            reference: the keyframe that the motion starts from.
            covariance: [6,6] of (translation in the model's unit, rotation vector) along the
                keyframe's axes; None: the errors that the spec tells of the pose network.

        Returns:
            The pose; tracking LOST where the motion is not plausible.
        """
        key = self._keyframe(reference)
        elapsed_s = max((stamp_ns - key.stamp_ns) / NS_PER_S, _MIN_ELAPSED_S)
        intervals = elapsed_s / self._spec.interval_s
        turn, length = float(np.linalg.norm(motion[:3])), float(np.linalg.norm(motion[3:]))
        if not self._is_plausible(turn, length, intervals):
            return self.lose(stamp_ns)
        key_T_current = se3.motion_to_matrix(motion)
        key_T_current[:3, 3] *= scale
        if covariance is None:
            noise = self._pair_covariance(length, scale)
        else:
            unit = np.array([scale, scale, scale, 1.0, 1.0, 1.0])
            noise = covariance * np.outer(unit, unit) + np.eye(6) * _LEAST_SIGMA**2
        current = _Keyframe(
            stamp_ns,
            se3.orthonormalised(key.world_T_cam @ key_T_current),
            _chained_covariance(key, key_T_current, noise),
        )
        velocity = se3.matrix_to_motion(key_T_current)[[3, 4, 5, 0, 1, 2]] / elapsed_s
        velocity[:3] = key_T_current[:3, :3].T @ velocity[:3]
        self._placed(stamp_ns)
        is_large = (
            length > _LARGE * self._spec.translation or turn > _LARGE * self._spec.rotation_rad
        )
        # Stamps jitter: a frame one tenth early completes the interval too.
        is_due = intervals >= 0.9 or is_large
        self.advanced = reference is Reference.KEYFRAME and is_due
        if self.advanced:
            # After a large motion the next pair is large soon enough from the new keyframe.
            self._key, self._earlier = current, None if is_large else key
        return self._state(current, Tracking.MOVING, velocity, noise / elapsed_s**2)

    def _placed(self, stamp_ns: int) -> None:
        """A frame got its place."""
        self._last_stamp_ns, self._skipped = stamp_ns, False

    def _is_plausible(self, turn: float, length: float, intervals: float) -> bool:
        limit = _IMPLAUSIBLE * max(1.0, intervals)
        return (
            math.isfinite(turn + length)
            and length <= limit * self._spec.translation
            and turn <= min(limit * self._spec.rotation_rad, math.pi)
        )

    def _keyframe(self, reference: Reference = Reference.KEYFRAME) -> _Keyframe:
        keyframe = self._key if reference is Reference.KEYFRAME else self._earlier
        if keyframe is None:
            raise RuntimeError(f'OdometryTracker has no {reference.value} yet')
        return keyframe

    def _pair_covariance(self, length: float, scale: float) -> np.ndarray:
        spec = self._spec
        floor = _RELATIVE_FLOOR * spec.translation
        sigma_t = scale * spec.sigma_translation * math.hypot(length, floor)
        sigma_r = spec.sigma_rotation_rad
        return np.diag([sigma_t**2] * 3 + [sigma_r**2] * 3)

    def _state(
        self,
        frame: _Keyframe,
        tracking: Tracking,
        velocity: np.ndarray,
        velocity_covariance: np.ndarray,
    ) -> OdometryState:
        return OdometryState(
            stamp_ns=frame.stamp_ns,
            world_T_cam=frame.world_T_cam.copy(),
            covariance=frame.covariance.copy(),
            linear_velocity=velocity[:3],
            angular_velocity=velocity[3:],
            velocity_covariance=velocity_covariance,
            tracking=tracking,
            resets=max(0, self.worlds - 1),
            reset_reason=self._reason,
            gaps=self._gaps,
            gap_reason=self._gap_reason,
        )


def _chained_covariance(
    key: _Keyframe, key_T_current: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """First-order error of world_T_key @ key_T_current.

    An error dr of the key's rotation moves the far end of the step by dr x (R t); errors of the
    step itself turn from the key's axes into the world's.
    """
    world_R_key = key.world_T_cam[:3, :3]
    carry = np.eye(6)
    carry[:3, 3:] = -se3.skew(world_R_key @ key_T_current[:3, 3])
    turn = np.zeros((6, 6))
    turn[:3, :3] = turn[3:, 3:] = world_R_key
    return carry @ key.covariance @ carry.T + turn @ noise @ turn.T
