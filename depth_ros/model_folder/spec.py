"""What a model file says of itself: the JSON spec in the metadata of its ONNX graph."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
from dataclasses import dataclass
from typing import Any

from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.errors import CameraError, ModelError

FORMAT_VERSION = 1
METADATA_KEY = 'depth_ros'
"""The metadata key of depth.onnx under which the spec stands."""


class ScaleKind(enum.Enum):
    """What one unit of the model's depth is."""

    METRIC = 'metric'
    UP_TO_SCALE = 'up-to-scale'


class Fit(enum.Enum):
    """How a camera image is brought to the network's size."""

    STRETCH = 'stretch'
    """All of it, each side scaled by itself."""
    CROP = 'crop'
    """As much of it as fills the network's input without distortion."""
    LETTERBOX = 'letterbox'
    """All of it without distortion, between grey bands."""


class ResizeFilter(enum.Enum):
    """How pixels are averaged when the image shrinks."""

    AREA = 'area'
    """Of all pixels that an output pixel covers; nearly so where that is much faster."""
    LANCZOS = 'lanczos'
    """Lanczos of three lobes widened to the output's pixels, as PIL does it; slower than AREA."""
    BILINEAR = 'bilinear'
    """Of the four nearest pixels, however much it shrinks: some networks were trained so."""


class Precision(enum.Enum):
    """The arithmetic of the graph; inputs and outputs keep their types."""

    FP32 = 'fp32'
    FP16 = 'fp16'
    INT8 = 'int8'


@dataclass(frozen=True, kw_only=True)
class MotionSpec:
    """The frame pairs that the pose network was trained on, and how well it does on them."""

    interval_s: float
    """Typical time from previous to current frame [s]."""
    translation: float
    """Typical length of the motion, in the unit of the model's depth."""
    rotation_rad: float
    """Typical angle of the motion [rad]."""
    sigma_translation: float
    """Standard error of the translation of one pair, relative to its length."""
    sigma_rotation_rad: float
    """Standard error of the rotation of one pair [rad]."""

    def __post_init__(self) -> None:
        """Refuse values that are not finite and positive.

        Raises:
            ModelError: naming the value.
        """
        for field in dataclasses.fields(self):
            _check_positive(f'motion.{field.name}', getattr(self, field.name))


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """Everything the runtime must know of a model besides its graph."""

    name: str
    family: str
    """Kind of network, such as 'monodepth2'; for people and reports, nothing branches on it."""
    width: int
    """Size of the input image [pixels]."""
    height: int
    depth_width: int
    """Size of the depth map, covering the same view as the input."""
    depth_height: int
    precision: Precision
    min_depth: float
    """Range of the depth that is known, in the graph's own unit."""
    max_depth: float
    """What the graph answers beyond, as where it saturates in the sky, is unknown."""
    scale: ScaleKind
    scale_source: str
    """Where the unit comes from: 'none', 'depth truth', 'odometry', 'stereo baseline', ..."""
    intrinsics: Intrinsics | None
    """The training camera in pixels of the input; None: the model is tied to no camera."""
    fit: Fit
    resize_filter: ResizeFilter
    motion: MotionSpec | None
    """Present where the folder has a pose network."""
    licence: str
    training_run: str
    """What made the model: command, data, date, or where its weights come from."""
    tolerance: float
    """Relative difference from the training framework's depth that export accepted: of the worst
    pixel, in int8 of the mean one."""
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ModelError: naming the value and what is allowed.
        """
        if self.format_version != FORMAT_VERSION:
            raise ModelError(
                f'model spec has format version {self.format_version!r}; this depth_ros '
                f'reads version {FORMAT_VERSION}'
            )
        for name in ('width', 'height', 'depth_width', 'depth_height'):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 8 <= value <= 8192:
                raise ModelError(f'model spec: {name} is {value!r}, not a whole number 8..8192')
        for name in ('min_depth', 'max_depth', 'tolerance'):
            _check_positive(name, getattr(self, name))
        if self.min_depth >= self.max_depth:
            raise ModelError(
                f'model spec: min_depth {self.min_depth} is not below max_depth {self.max_depth}'
            )
        if not self.name or not self.name.isprintable() or '/' in self.name:
            raise ModelError(f'model spec: name {self.name!r} is not a plain word')
        size = (self.width, self.height)
        if self.intrinsics is not None and size != (self.intrinsics.width, self.intrinsics.height):
            raise ModelError(
                f'model spec: intrinsics belong to {self.intrinsics.width} x '
                f'{self.intrinsics.height} pixels, the input has {self.width} x {self.height}'
            )

    def to_json(self) -> str:
        """One JSON object; `from_json` reads it back equal."""
        return json.dumps(dataclasses.asdict(self), default=_plain, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """Read what `to_json` wrote.

        Raises:
            ModelError: no JSON, an unknown version, unknown, missing or impossible values.
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise ModelError(f'model spec is no JSON: {error}') from error
        if not isinstance(values, dict):
            raise ModelError(f'model spec is a {type(values).__name__}, not a JSON object')
        version = values.get('format_version')
        if version != FORMAT_VERSION:
            raise ModelError(
                f'model spec has format version {version!r}; this depth_ros reads '
                f'version {FORMAT_VERSION}'
            )
        return _build(cls, values, 'model spec')


def _build(kind: type, values: Any, where: str) -> Any:
    """Make the dataclass `kind` of a JSON object, every key known, present and of its type."""
    if not isinstance(values, dict):
        raise ModelError(f'{where} is {values!r}, not a JSON object')
    names = {field.name for field in dataclasses.fields(kind)}
    for problem, keys in (('unknown', values.keys() - names), ('missing', names - values.keys())):
        if keys:
            raise ModelError(f'{where}: {problem} keys {", ".join(sorted(keys))}')
    try:
        return kind(**{name: _read(name, value) for name, value in values.items()})
    except (CameraError, TypeError) as error:
        raise ModelError(f'{where}: {error}') from error


def _read(name: str, value: Any) -> Any:
    if name in _ENUMS:
        return _member(_ENUMS[name], name, value)
    if name in _RECORDS:
        return None if value is None else _build(_RECORDS[name], value, f'model spec, {name}')
    expected = str if name in _TEXTS else (int, float)
    if not isinstance(value, expected) or isinstance(value, bool):
        kind = 'text' if name in _TEXTS else 'a number'
        raise ModelError(f'model spec: {name} is {value!r}, not {kind}')
    return value


def _member(kind: type[enum.Enum], name: str, value: Any) -> enum.Enum:
    try:
        return kind(value)
    except ValueError as error:
        allowed = ', '.join(member.value for member in kind)
        raise ModelError(f'model spec: {name} is {value!r}, allowed: {allowed}') from error


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    raise TypeError(f'{value!r} has no JSON form')


def _check_positive(name: str, value: Any) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value <= 0:
        raise ModelError(f'model spec: {name} is {value!r}, not a positive finite number')


_ENUMS: dict[str, type[enum.Enum]] = {
    'precision': Precision,
    'scale': ScaleKind,
    'fit': Fit,
    'resize_filter': ResizeFilter,
}
_RECORDS: dict[str, type] = {'intrinsics': Intrinsics, 'motion': MotionSpec}
_TEXTS = frozenset({'name', 'family', 'scale_source', 'licence', 'training_run'})
