"""Pinhole intrinsics, calibrated cameras as camera_info tells them, and rectification.

Pixel centres lie at integer coordinates, so the image of a `width` x `height` camera covers
[-0.5, width - 0.5] x [-0.5, height - 0.5] (optical frame: x right, y down, z forward).
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from depth_ros.errors import CameraError
from depth_ros.lens_fold import fisheye_fold, polynomial_fold

# Largest image side accepted [pixels], which is also OpenCV's for maps; beyond it a size is taken
# for a damaged message.
MAX_SIDE = 32766

# What a calibration may tell; beyond it a number is taken for a damaged message. In widths or
# heights of the image: the focal length, from a field of view of 179.9 degrees to one of 20
# arc seconds, and how far from the middle the optical axis goes through the image plane.
_MIN_FOCAL, _MAX_FOCAL = 4e-4, 1e4
_MAX_OFF_AXIS = 1e3

_IDENTITY_R = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
_POLYNOMIAL_MODELS = ('plumb_bob', 'rational_polynomial')
_FISHEYE_MODELS = ('equidistant', 'fisheye')
_POLYNOMIAL_LENGTHS = (4, 5, 8, 12, 14)
_FISHEYE_LENGTH = 4
_OUTSIDE = -2
"""Row and column of a pixel that no image has, nor has one a neighbour there."""


@dataclass(frozen=True)
class Intrinsics:
    """A pinhole camera without distortion; every value in pixels."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    def __post_init__(self) -> None:
        """Refuse what no camera has: sizes below 1, focal lengths that are not positive.

        Raises:
            CameraError: a size or a value is out of range.
        """
        _check_size(self.width, self.height)
        values = (self.fx, self.fy, self.cx, self.cy)
        if not all(map(math.isfinite, values)) or self.fx <= 0 or self.fy <= 0:
            raise CameraError(
                f'intrinsics (fx, fy, cx, cy) = {values} must be finite, with fx and fy above 0'
            )

    def scaled(self, width: int, height: int) -> Intrinsics:
        """The same view resampled to `width` x `height` pixels."""
        sx, sy = width / self.width, height / self.height
        return Intrinsics(
            fx=sx * self.fx,
            fy=sy * self.fy,
            cx=sx * (self.cx + 0.5) - 0.5,
            cy=sy * (self.cy + 0.5) - 0.5,
            width=width,
            height=height,
        )

    def cropped(self, x0: int, y0: int, width: int, height: int) -> Intrinsics:
        """The window whose upper left pixel is (x0, y0); it may reach beyond the image."""
        return Intrinsics(self.fx, self.fy, self.cx - x0, self.cy - y0, width, height)

    def flipped(self) -> Intrinsics:
        """The image mirrored left to right."""
        return Intrinsics(
            self.fx, self.fy, self.width - 1 - self.cx, self.cy, self.width, self.height
        )

    @property
    def matrix(self) -> np.ndarray:
        """K, float64 [3,3]."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    @property
    def inverse_matrix(self) -> np.ndarray:
        """The inverse of K, float64 [3,3]."""
        return np.array([
            [1 / self.fx, 0.0, -self.cx / self.fx],
            [0.0, 1 / self.fy, -self.cy / self.fy],
            [0.0, 0.0, 1.0],
        ])

    def rays(self) -> np.ndarray:
        """((u - cx) / fx, (v - cy) / fy) of every pixel, float32 [height,width,2].

        Times the depth of a pixel they are its x and y in the optical frame.
        """
        rays = np.empty((self.height, self.width, 2), np.float32)
        rays[..., 0] = (np.arange(self.width) - self.cx) / self.fx
        rays[..., 1] = ((np.arange(self.height) - self.cy) / self.fy)[:, None]
        return rays


class RectifyMode(enum.Enum):
    """Whether incoming images still have to be rectified.

    AUTO rectifies unless the topic is image_rect* or there is nothing to undo;
    NEVER says that images come rectified, so that P describes them.
    """

    AUTO = 'auto'
    ALWAYS = 'always'
    NEVER = 'never'


@dataclass(frozen=True)
class CameraModel:
    """What one camera_info says about the images as they are delivered (binning and ROI applied).

    Matrices are row-major tuples, so that models compare and hash by value:
    k [3,3] and d of the raw image, r [3,3] raw to rectified axes, p [3,4] of the rectified image.
    Field meanings: sensor_msgs/CameraInfo.
    """

    frame_id: str
    width: int
    height: int
    k: tuple[float, ...]
    d: tuple[float, ...]
    r: tuple[float, ...]
    p: tuple[float, ...]
    distortion_model: str

    def __post_init__(self) -> None:
        """Check sizes and finiteness.

        Raises:
            CameraError: a matrix has the wrong length, or a value is not finite.
        """
        _check_size(self.width, self.height)
        for name, length in (('K', 9), ('R', 9), ('P', 12)):
            values = getattr(self, name.lower())
            if len(values) != length:
                raise CameraError(
                    f'camera_info of {self.frame_id!r}: {name} has {len(values)} values, '
                    f'not {length}'
                )
        for name in 'KDRP':
            if not all(map(math.isfinite, getattr(self, name.lower()))):
                raise CameraError(
                    f'camera_info of {self.frame_id!r}: {name} has values that are not finite'
                )

    @classmethod
    def from_info(cls, info: Any) -> CameraModel:
        """Read a sensor_msgs/CameraInfo of rclpy, rosbags or ROS 1 (K, D, R, P in upper case).

        Width, height, K and P of the message belong to the full sensor; here they become those
        of the image that is delivered, cropped to the region of interest, then binned. A missing
        R is the identity and a missing P is K.

        Raises:
            CameraError: a size or a matrix makes no sense.
        """
        k, d, r, p = (_matrix(info, name) for name in 'kdrp')
        if len(r) == 9 and not any(r):
            r = _IDENTITY_R
        if len(p) == 12 and len(k) == 9 and not p[0]:
            p = (*k[:3], 0.0, *k[3:6], 0.0, *k[6:9], 0.0)
        full = cls(
            info.header.frame_id, int(info.width), int(info.height), k, d, r, p,
            str(info.distortion_model),
        )  # fmt: skip
        return full._windowed(info.roi, int(info.binning_x) or 1, int(info.binning_y) or 1)

    @property
    def calibrated(self) -> bool:
        """Whether K is known; ROS marks an uncalibrated camera with K[0] = 0."""
        return self.k[0] > 0 and self.k[4] > 0

    @property
    def baseline_m(self) -> float:
        """Distance to the right of the stereo partner [m]; 0 of a left or single camera."""
        return 0.0 - self.p[3] / self.p[0] if self.p[0] else 0.0

    def _windowed(self, roi: Any, binning_x: int, binning_y: int) -> CameraModel:
        x0, y0 = int(roi.x_offset), int(roi.y_offset)
        width = int(roi.width) or self.width
        height = int(roi.height) or self.height
        if x0 + width > self.width or y0 + height > self.height:
            raise CameraError(
                f'camera_info of {self.frame_id!r}: region of interest {width}x{height} at '
                f'({x0}, {y0}) leaves the {self.width}x{self.height} image'
            )
        if (x0, y0, width, height, binning_x, binning_y) == (
            0, 0, self.width, self.height, 1, 1
        ):  # fmt: skip
            return self
        # A pixel (u, v) of the full image is (sx (u - x0 + 0.5) - 0.5, ...) of the delivered one.
        sx, sy = 1 / binning_x, 1 / binning_y
        window = np.array(
            [[sx, 0, sx * (0.5 - x0) - 0.5], [0, sy, sy * (0.5 - y0) - 0.5], [0, 0, 1]]
        )
        k = np.reshape(self.k, (3, 3))
        p = np.reshape(self.p, (3, 4))
        return CameraModel(
            self.frame_id, max(width // binning_x, 1), max(height // binning_y, 1),
            tuple((window @ k).ravel().tolist()), self.d, self.r,
            tuple((window @ p).ravel().tolist()), self.distortion_model,
        )  # fmt: skip


class Rectifier:
    """Takes images of one camera to its rectified pinhole view; maps are computed once.

    Attributes:
        intrinsics: of the images returned.
        active: whether images are resampled at all.
        seen: bool [H,W], which pixels of the images returned show what the camera saw; the others
            are black. None: all of them.
    """

    def __init__(
        self,
        camera: CameraModel,
        mode: RectifyMode = RectifyMode.AUTO,
        image_topic: str = '',
    ) -> None:
        """Decide by mode, topic name and calibration whether there is anything to undo.

        Raises:
            CameraError: the camera is uncalibrated, or its distortion model is not supported.
        """
        if not camera.calibrated:
            raise CameraError(
                f'camera {camera.frame_id!r} is not calibrated (K[0] = {camera.k[0]:g} in '
                f'camera_info); calibrate it, for example with camera_calibration, or allow an '
                f'estimated focal length (allow_estimated_focal) with a model that tells the '
                f'field of view'
            )
        self.camera = camera
        # A fisheye model without coefficients still bends: its radius goes with the angle itself.
        distorted = (
            any(camera.d)
            or camera.distortion_model in _FISHEYE_MODELS
            or not np.allclose(camera.r, _IDENTITY_R, atol=1e-9)
        )
        comes_rectified = mode is RectifyMode.NEVER or (
            mode is RectifyMode.AUTO and is_rectified_topic(image_topic)
        )
        self.active = not comes_rectified and (distorted or mode is RectifyMode.ALWAYS)
        if self.active or comes_rectified:
            fx, fy, cx, cy = camera.p[0], camera.p[5], camera.p[2], camera.p[6]
        else:
            # A raw image without distortion is a pinhole image already, and K is its matrix.
            fx, fy, cx, cy = camera.k[0], camera.k[4], camera.k[2], camera.k[5]
        self.intrinsics = Intrinsics(fx, fy, cx, cy, camera.width, camera.height)
        _check_plausible(self.intrinsics, camera.frame_id)
        self._maps = None
        self.seen: np.ndarray | None = None
        if self.active:
            try:
                self._maps = _rectify_maps(camera)
            except (cv2.error, np.linalg.LinAlgError) as error:  # P or R has no inverse
                raise CameraError(
                    f'camera_info of {camera.frame_id!r} cannot be rectified by: {error}'
                ) from None
            self.seen = self._find_seen()

    def _find_seen(self) -> np.ndarray | None:
        # Of a white image; a pixel at its border counts where at least half of it is inside.
        white = np.full((self.camera.height, self.camera.width), 255, np.uint8)
        seen = self(white) > 127
        return None if seen.all() else seen

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Rectify an image uint8 [H,W,3] or [H,W]; what the camera never saw is black, see `seen`.

        Raises:
            CameraError: the image has another size than the camera.
        """
        height, width = image.shape[:2]
        if (width, height) != (self.camera.width, self.camera.height):
            raise CameraError(
                f'image is {width}x{height} but camera_info of {self.camera.frame_id!r} is for '
                f'{self.camera.width}x{self.camera.height}'
            )
        if self._maps is None:
            return image
        return cv2.remap(image, *self._maps, interpolation=cv2.INTER_LINEAR)


def _check_size(width: int, height: int) -> None:
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise CameraError(f'image size {width}x{height}: each side must be 1 to {MAX_SIDE}')


def _check_plausible(intrinsics: Intrinsics, frame_id: str) -> None:
    for name, focal, centre, side in (
        ('x', intrinsics.fx, intrinsics.cx, intrinsics.width),
        ('y', intrinsics.fy, intrinsics.cy, intrinsics.height),
    ):
        if not _MIN_FOCAL * side <= focal <= _MAX_FOCAL * side:
            raise CameraError(
                f'camera_info of {frame_id!r}: f{name} = {focal:g} for {side} pixels; allowed: '
                f'{_MIN_FOCAL * side:g} to {_MAX_FOCAL * side:g}'
            )
        if abs(centre) > _MAX_OFF_AXIS * side:
            raise CameraError(
                f'camera_info of {frame_id!r}: c{name} = {centre:g} for {side} pixels; allowed: '
                f'{-_MAX_OFF_AXIS * side:g} to {_MAX_OFF_AXIS * side:g}'
            )


def _matrix(info: Any, name: str) -> tuple[float, ...]:
    values = getattr(info, name) if hasattr(info, name) else getattr(info, name.upper())
    return tuple(float(value) for value in values)


def is_rectified_topic(image_topic: str) -> bool:
    """Whether the name of an image topic says that its images are rectified: image_rect*."""
    return any(part.startswith('image_rect') for part in image_topic.split('/'))


def _padded(d: Sequence[float], lengths: Sequence[int]) -> np.ndarray | None:
    """Coefficients with zeros up to a length OpenCV knows; None where there are too many."""
    values = list(d)
    while values and len(values) > lengths[-1] and not values[-1]:
        values.pop()
    length = next((n for n in lengths if n >= len(values)), None)
    return None if length is None else np.array(values + [0.0] * (length - len(values)))


def _rectify_maps(camera: CameraModel) -> tuple[np.ndarray, np.ndarray]:
    k = np.reshape(camera.k, (3, 3))
    r = np.reshape(camera.r, (3, 3))
    p = np.reshape(camera.p, (3, 4))[:, :3]
    size = (camera.width, camera.height)
    model = camera.distortion_model
    if model in _FISHEYE_MODELS:
        d = _padded(camera.d, (_FISHEYE_LENGTH,))
        if d is not None:
            maps = cv2.fisheye.initUndistortRectifyMap(k, d, r, p, size, cv2.CV_16SC2)
            return _unfolded(maps, p @ r, fisheye_fold(camera.d))
    elif model in _POLYNOMIAL_MODELS or not any(camera.d):
        d = _padded(camera.d, _POLYNOMIAL_LENGTHS)
        if d is not None:
            maps = cv2.initUndistortRectifyMap(k, d, r, p, size, cv2.CV_16SC2)
            return _unfolded(maps, p @ r, polynomial_fold(camera.d))
    supported = ', '.join(_POLYNOMIAL_MODELS + _FISHEYE_MODELS)
    raise CameraError(
        f'camera {camera.frame_id!r}: distortion model {model!r} with {len(camera.d)} '
        f'coefficients is not supported (supported: {supported})'
    )


def _unfolded(
    maps: Sequence[np.ndarray], p_of_raw: np.ndarray, fold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Maps that show nothing of rays beyond the tangent `fold`, nor of any behind the camera.

    Args:
        maps: of OpenCV, of whole pixels [H,W,2] and of fractions [H,W].
        p_of_raw: [3,3], points of the raw camera to rectified pixels.
        fold: see depth_ros.lens_fold.
    """
    whole, fractions = maps
    height, width = fractions.shape
    v, u = np.ogrid[:height, :width]
    x, y, z = (row[0] * u + row[1] * v + row[2] for row in np.linalg.inv(p_of_raw))
    with np.errstate(over='ignore', invalid='ignore'):
        folded = ~((z > 0) & (x * x + y * y < (fold * z) ** 2))
    whole[folded], fractions[folded] = _OUTSIDE, 0
    return whole, fractions
