"""Image folders and videos as frames of one pinhole camera, for use without ROS."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import cv2
import numpy as np

from depth_ros.cameras.lens import Lens
from depth_ros.errors import BagError
from depth_ros.pipeline import Frame

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp')
VIDEO_SUFFIXES = ('.mp4', '.avi', '.mkv', '.mov', '.webm', '.m4v')
FRAME_ID = 'camera_optical_frame'
_FIRST_STAMP_NS = 1_000_000_000
"""Not 0, which means 'the latest' to tf."""
_NUMBER = re.compile(r'([0-9]+(?:\.[0-9]+)?)')
"""In the name of a file, maybe a time in seconds."""


def list_images(folder: Path) -> list[Path]:
    """Return the images of a folder, sorted by name, numbers in it by value.

    Raises:
        BagError: there is none.
    """
    found = (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    images = sorted(found, key=_natural_key)
    if not images:
        raise BagError(f'{folder} is neither a bag nor a folder of images '
                       f'({", ".join(IMAGE_SUFFIXES)})')
    return images


def read_images(paths: list[Path], lens: Lens, rate_hz: float) -> Iterator[Frame]:
    """Yield image files as frames taken at a steady rate, the first at 1 s.

    Raises:
        BagError: a file is no image, or its size differs from the first one's.
    """
    size = None
    for index, path in enumerate(paths):
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise BagError(f'{path} cannot be read as an image')
        height, width = image.shape[:2]
        if (width, height) != (size := size or (width, height)):
            raise BagError(f'{path} is {width}x{height}, the images before it are '
                           f'{size[0]}x{size[1]}')
        yield _frame(image, index, rate_hz, lens)


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
        while True:
            more, image = video.read()
            if not more:
                return
            yield _frame(image, index, rate_hz, lens)
            index += 1
    finally:
        video.release()


def _natural_key(path: Path) -> tuple[list[str | Decimal], str]:
    """Text and numbers of a name by turns, so that frame_2 comes before frame_10."""
    parts = enumerate(_NUMBER.split(path.stem))
    return [Decimal(part) if index % 2 else part for index, part in parts], path.name


def _open_video(path: Path) -> cv2.VideoCapture:
    video = cv2.VideoCapture(str(path))
    if not video.isOpened():
        raise BagError(f'{path} cannot be read as a video')
    return video


def _frame(image_bgr: np.ndarray, index: int, rate_hz: float, lens: Lens) -> Frame:
    stamp_ns = _FIRST_STAMP_NS + round(index / rate_hz * 1e9)
    image = cv2.cvtColor(image_bgr, cv2.COLOR_BGR2RGB)
    return Frame(stamp_ns, image, lens.intrinsics(image), FRAME_ID)
