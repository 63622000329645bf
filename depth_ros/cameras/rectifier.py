"""Images of a calibrated camera to those of a pinhole camera without distortion."""

from __future__ import annotations

import enum
from collections.abc import Sequence

import cv2
import numpy as np

from depth_ros.cameras.camera_model import IDENTITY_R, CameraModel
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.cameras.lens_fold import fisheye_fold, polynomial_fold
from depth_ros.errors import CameraError

# What a calibration may tell; beyond it a number is taken for a damaged message. In widths or
# heights of the image: the focal length, from a field of view of 179.9 degrees to one of 20
# arc seconds, and how far from the middle the optical axis goes through the image plane.
_MIN_FOCAL, _MAX_FOCAL = 4e-4, 1e4
_MAX_OFF_AXIS = 1e3

_POLYNOMIAL_MODELS = ('plumb_bob', 'rational_polynomial')
_FISHEYE_MODELS = ('equidistant', 'fisheye')
_POLYNOMIAL_LENGTHS = (4, 5, 8, 12, 14)
_FISHEYE_LENGTH = 4
_OUTSIDE = -2
"""Row and column of a pixel that no image has, nor has one a neighbour there."""


class RectifyMode(enum.Enum):
    """Whether incoming images still have to be rectified.

    AUTO rectifies unless the topic is image_rect* or there is nothing to undo;
    NEVER says that images come rectified, so that P describes them.
    """

    AUTO = 'auto'
    ALWAYS = 'always'
    NEVER = 'never'


def is_rectified_topic(image_topic: str) -> bool:
    """Whether the name of an image topic says that its images are rectified: image_rect*."""
    return any(part.startswith('image_rect') for part in image_topic.split('/'))


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
            or not np.allclose(camera.r, IDENTITY_R, atol=1e-9)
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
        fold: see depth_ros.cameras.lens_fold.
    """
    whole, fractions = maps
    height, width = fractions.shape
    v, u = np.ogrid[:height, :width]
    x, y, z = (row[0] * u + row[1] * v + row[2] for row in np.linalg.inv(p_of_raw))
    with np.errstate(over='ignore', invalid='ignore'):
        folded = ~((z > 0) & (x * x + y * y < (fold * z) ** 2))
    whole[folded], fractions[folded] = _OUTSIDE, 0
    return whole, fractions
