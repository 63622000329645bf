"""Image folders and videos as frames of one pinhole camera, for use without ROS."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from depth_ros.camera import Intrinsics
from depth_ros.errors import BagError, CameraError
from depth_ros.pipeline import Frame

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp')
VIDEO_SUFFIXES = ('.mp4', '.avi', '.mkv', '.mov', '.webm', '.m4v')
FRAME_ID = 'camera_optical_frame'
_FIRST_STAMP_NS = 1_000_000_000
"""Not 0, which means 'the latest' to tf."""


@dataclass(frozen=True)
class FieldOfView:
    """A camera known by its horizontal field of view: square pixels, axis through the centre."""

    horizontal_deg: float

    def __post_init__(self) -> None:
        """Refuse angles that a pinhole camera cannot have.

        Raises:
            CameraError: not between 1 and 170 degrees.
        """
        if not 1.0 <= self.horizontal_deg <= 170.0:
            raise CameraError(f'horizontal field of view {self.horizontal_deg} degrees: '
                              'need 1 to 170')

    def at(self, width: int, height: int) -> Intrinsics:
        """The intrinsics of images of this size."""
        focal = width / 2 / math.tan(math.radians(self.horizontal_deg) / 2)
        return Intrinsics(focal, focal, (width - 1) / 2, (height - 1) / 2, width, height)


@dataclass(frozen=True)
class PinholeValues:
    """A camera known by fx, fy, cx, cy in pixels of the images."""

    fx: float
    fy: float
    cx: float
    cy: float

    def at(self, width: int, height: int) -> Intrinsics:
        """The intrinsics of images of this size."""
        return Intrinsics(self.fx, self.fy, self.cx, self.cy, width, height)


Lens = FieldOfView | PinholeValues


def list_images(folder: Path) -> list[Path]:
    """Return the images of a folder, sorted by name.

    Raises:
        BagError: there is none.
    """
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        raise BagError(f'{folder} is neither a bag nor a folder of images '
                       f'({", ".join(IMAGE_SUFFIXES)})')
    return images


def read_images(paths: list[Path], lens: Lens, rate_hz: float) -> Iterator[Frame]:
    """Yield image files as frames taken at a steady rate, the first at 1 s.

    Raises:
        BagError: a file is no image, or its size differs from the first one's.
    """
    intrinsics = None
    for index, path in enumerate(paths):
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise BagError(f'{path} cannot be read as an image')
        height, width = image.shape[:2]
        if intrinsics is None:
            intrinsics = lens.at(width, height)
        elif (width, height) != (intrinsics.width, intrinsics.height):
            raise BagError(f'{path} is {width}x{height}, the images before it are '
                           f'{intrinsics.width}x{intrinsics.height}')
        yield _frame(image, index, rate_hz, intrinsics)


def video_size(path: Path) -> tuple[int, float]:
    """Return the number of frames (0 where the file does not tell) and their rate in Hz.

    Raises:
        BagError: the file is no video that OpenCV reads.
    """
    video = _open_video(path)
    count, rate_hz = video.get(cv2.CAP_PROP_FRAME_COUNT), video.get(cv2.CAP_PROP_FPS)
    video.release()
    return max(0, int(count)), rate_hz


def read_video(path: Path, lens: Lens, rate_hz: float) -> Iterator[Frame]:
    """Yield every frame of a video at a steady rate, the first at 1 s.

    Raises:
        BagError: the file is no video that OpenCV reads.
    """
    video = _open_video(path)
    try:
        index = 0
        intrinsics = None
        while True:
            more, image = video.read()
            if not more:
                return
            if intrinsics is None:
                intrinsics = lens.at(image.shape[1], image.shape[0])
            yield _frame(image, index, rate_hz, intrinsics)
            index += 1
    finally:
        video.release()


def _open_video(path: Path) -> cv2.VideoCapture:
    video = cv2.VideoCapture(str(path))
    if not video.isOpened():
        raise BagError(f'{path} cannot be read as a video')
    return video


def _frame(image_bgr: np.ndarray, index: int, rate_hz: float, intrinsics: Intrinsics) -> Frame:
    stamp_ns = _FIRST_STAMP_NS + round(index / rate_hz * 1e9)
    return Frame(stamp_ns, cv2.cvtColor(image_bgr, cv2.COLOR_BGR2RGB), intrinsics, FRAME_ID)
