"""Where metres come from: the factor from a model's unit to metres, and whether it is known."""

from __future__ import annotations

import enum
import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from depth_ros.errors import ConfigError
from depth_ros.model_folder.spec import ModelSpec, ScaleKind
from depth_ros.motion import se3
from depth_ros.motion.pose_record import PoseRecord
from depth_ros.pipeline.ground_plane import LEVEL, MAX_TILT_RAD, Direction, height_above_ground


class ScaleSource(enum.Enum):
    """What tells the factor."""

    MODEL = 'model'
    """The model itself, which must be metric."""
    FIXED = 'fixed'
    """A number given by the user."""
    ODOMETRY = 'odometry'
    """Wheel or inertial odometry over the same motions that the pose network saw."""
    CAMERA_HEIGHT = 'camera_height'
    """The camera's known height over the ground it sees."""
    NONE = 'none'
    """Nothing: depth and path are right up to one unknown factor, by the user's own word."""


@dataclass(frozen=True)
class ScaleSettings:
    """The source and what it needs."""

    source: ScaleSource = ScaleSource.MODEL
    factor: float = 1.0
    """FIXED: metres per unit of the model."""
    camera_height_m: float = 1.0
    """CAMERA_HEIGHT: the optical centre's height over the ground [m]."""
    down: Direction | None = None
    """CAMERA_HEIGHT: unit vector of gravity in the camera's optical frame; None: it is not known,
    and the camera is taken for level until it is told."""
    min_translation_m: float = 0.05
    """ODOMETRY: shorter motions say too little; they are joined until they reach this."""
    max_rotation_rad: float = math.radians(5.0)
    """ODOMETRY: larger turns hide errors of the camera's mounting."""

    def __post_init__(self) -> None:
        """Refuse impossible values.

        Raises:
            ConfigError: naming the value.
        """
        for name in ('factor', 'camera_height_m', 'min_translation_m', 'max_rotation_rad'):
            value = getattr(self, name)
            if not math.isfinite(value) or value <= 0:
                raise ConfigError(f'scale: {name} is {value}, not a positive number')
        if self.down is not None and not math.isclose(math.hypot(*self.down), 1.0, abs_tol=1e-3):
            raise ConfigError(f'scale: down is {self.down}, not a vector of length 1')


@dataclass(frozen=True)
class ScaleState:
    """The factor as it stands."""

    factor: float
    """Metres per unit of the model; NaN while it is unknown."""
    source: ScaleSource
    valid: bool
    """Whether the factor may be used; with source NONE it may, but the unit is no metre."""
    text: str
    """For people and diagnostics."""


class Scale:
    """A constant factor; the base of those that are measured."""

    def __init__(self, state: ScaleState) -> None:
        """Start from `state`."""
        self._state = state

    @property
    def state(self) -> ScaleState:
        """The factor to use now."""
        return self._state

    def observe_depth(self, depth: np.ndarray, rays: np.ndarray) -> None:
        """See a depth map [H,W] in the model's unit, with its rays [H,W,2]."""

    def observe_motion(self, previous_ns: int, current_ns: int, motion: np.ndarray) -> None:
        """See a motion [6] between two frames, translation in the model's unit."""

    def add_odometry(self, stamp_ns: int, odom_T_cam: np.ndarray) -> None:
        """See the camera's pose [4,4] by an external odometry, in metres."""

    def tell_down(self, down: Direction) -> None:
        """Learn which way gravity pulls in the camera's optical frame."""

    def reset(self) -> None:
        """Forget the moments seen, after a jump in time; the factor stays."""


class HeightScale(Scale):
    """CAMERA_HEIGHT: true height over the height seen, the median of the last frames."""

    _WINDOW = 20
    _MAX_JUMP = 2.0

    def __init__(self, settings: ScaleSettings) -> None:
        """Begin without a factor."""
        self._settings = settings
        self._down = settings.down
        super().__init__(self._unseen())
        self._factors: deque[float] = deque(maxlen=self._WINDOW)
        self._rejected = 0

    def tell_down(self, down: Direction) -> None:
        """See Scale; what was taken for ground by another direction counts no longer."""
        if down == self._down:
            return
        self._down = down
        self._factors.clear()
        if not self._state.valid:
            self._state = self._unseen()

    def observe_depth(self, depth: np.ndarray, rays: np.ndarray) -> None:
        """See Scale; a frame without ground changes nothing."""
        seen = height_above_ground(depth, rays, self._down or LEVEL)
        if seen is None:
            return
        factor = self._settings.camera_height_m / seen
        known = self._state.factor
        jumped = not known / self._MAX_JUMP < factor < known * self._MAX_JUMP
        if self._state.valid and jumped:
            self._rejected += 1
            if self._rejected < self._WINDOW:
                return
            self._factors.clear()  # what has been rejected so often is the truth
        self._rejected = 0
        self._factors.append(factor)
        median = float(np.median(self._factors))
        height_m = self._settings.camera_height_m
        text = f'camera height {height_m:g} m: factor {median:.4g}, {self._tilt_text()}'
        self._state = ScaleState(median, self._settings.source, True, text)

    def _unseen(self) -> ScaleState:
        why = f'no ground plane seen yet, {self._tilt_text()}'
        if self._down is None:
            why += f'; more than {math.degrees(MAX_TILT_RAD):g} deg of it hide the ground'
        return _unknown(self._settings.source, why)

    def _tilt_text(self) -> str:
        if self._down is None:
            return 'taking the camera for level since its tilt is not known'
        cosine = min(1.0, float(np.dot(self._down, LEVEL)))
        return f'camera tilted by {math.degrees(math.acos(cosine)):.1f} deg'


@dataclass(frozen=True, eq=False)
class _Span:
    """A motion between two moments, translation in the model's unit."""

    previous_ns: int
    current_ns: int
    previous_T_current: np.ndarray

    @property
    def length(self) -> float:
        return float(np.linalg.norm(self.previous_T_current[:3, 3]))

    def then(self, following: _Span) -> _Span:
        """Both in a row; `following` begins where this one ends."""
        joined = self.previous_T_current @ following.previous_T_current
        return _Span(self.previous_ns, following.current_ns, joined)


class OdometryScale(Scale):
    """ODOMETRY: the median of true over seen length of the last motions; frozen at standstill.

    Motions in a row of a slow robot count together once they are long enough.
    """

    _WINDOW = 40
    _ENOUGH = 3
    _MAX_WAITING = 20
    _STILL = 0.1
    """Share of the least translation below which a motion is none."""

    def __init__(self, settings: ScaleSettings) -> None:
        """Begin without a factor."""
        super().__init__(_unknown(settings.source, 'no motion with odometry yet'))
        self._settings = settings
        self._factors: deque[float] = deque(maxlen=self._WINDOW)
        self._poses = PoseRecord()
        self._waiting: deque[_Span] = deque(maxlen=self._MAX_WAITING)
        self._begun: _Span | None = None

    def add_odometry(self, stamp_ns: int, odom_T_cam: np.ndarray) -> None:
        """See Scale; a stamp before the last one starts the record anew."""
        self._poses.add(stamp_ns, odom_T_cam)
        self._settle()

    def observe_motion(self, previous_ns: int, current_ns: int, motion: np.ndarray) -> None:
        """See Scale; kept until odometry has reached it."""
        if np.any(motion[3:]):
            self._waiting.append(_Span(previous_ns, current_ns, se3.motion_to_matrix(motion)))
            self._settle()

    def reset(self) -> None:
        """See Scale."""
        self._poses.clear()
        self._waiting.clear()
        self._begun = None

    def _settle(self) -> None:
        """Compare every motion whose end odometry has reached."""
        measured = []
        while self._waiting and self._poses.reaches(self._waiting[0].current_ns):
            measured += self._factor_of(self._waiting.popleft())
        self._factors.extend(measured)
        if measured and len(self._factors) >= self._ENOUGH:
            median = float(np.median(self._factors))
            text = f'odometry over {len(self._factors)} motions: factor {median:.4g}'
            self._state = ScaleState(median, self._settings.source, True, text)

    def _factor_of(self, span: _Span) -> list[float]:
        """One factor, or none where the motion tells nothing or odometry has a gap."""
        begun, self._begun = self._begun, None
        spans = [span]
        if begun is not None and begun.current_ns == span.previous_ns:
            spans.insert(0, begun.then(span))
        for candidate in spans:
            true = self._true_motion(candidate)
            if true is None or se3.rotation_angle(true[:3, :3]) > self._settings.max_rotation_rad:
                continue
            length_m = float(np.linalg.norm(true[:3, 3]))
            if length_m >= self._settings.min_translation_m and candidate.length > 0:
                return [length_m / candidate.length]
            if not self._stands_still(span):
                self._begun = candidate
            return []
        return []

    def _stands_still(self, span: _Span) -> bool:
        """Whether joining it would only add noise."""
        true = self._true_motion(span)
        least_m = self._STILL * self._settings.min_translation_m
        return true is None or float(np.linalg.norm(true[:3, 3])) < least_m

    def _true_motion(self, span: _Span) -> np.ndarray | None:
        """previous_T_current [4,4] by odometry, in metres; None where it has a gap."""
        return self._poses.motion(span.previous_ns, span.current_ns)


def make_scale(settings: ScaleSettings, spec: ModelSpec) -> Scale:
    """The scale that `settings` asks for, of a model.

    Raises:
        ConfigError: the source does not fit the model.
    """
    source = settings.source
    if source is ScaleSource.MODEL:
        if spec.scale is not ScaleKind.METRIC:
            raise ConfigError(
                f'model {spec.name!r} is known up to scale only: choose scale fixed, odometry or '
                'camera_height, or none to run without metres'
            )
        return Scale(ScaleState(1.0, source, True, f'model, metric by {spec.scale_source}'))
    if source is ScaleSource.FIXED:
        text = f'fixed factor {settings.factor:g}'
        return Scale(ScaleState(settings.factor, source, True, text))
    if source is ScaleSource.NONE:
        return Scale(ScaleState(1.0, source, True, 'none: up to an unknown factor, no metres'))
    if source is ScaleSource.ODOMETRY:
        if spec.motion is None:
            raise ConfigError(
                f'scale odometry needs a pose network, which model {spec.name!r} does not have'
            )
        return OdometryScale(settings)
    return HeightScale(settings)


def _unknown(source: ScaleSource, why: str) -> ScaleState:
    return ScaleState(math.nan, source, False, f'{source.value}: no scale, {why}')
