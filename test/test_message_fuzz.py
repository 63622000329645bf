"""Messages as nobody should send them, by the ten thousand: refused with a reason, or answered.

DEPTH_ROS_FUZZ_CASES=1000000 tries so many, and others each time.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from random import Random
from types import SimpleNamespace
from typing import Any

import cv2
import graphs
import numpy as np
import pytest
from helpers import make_camera_info, make_header, make_intrinsics
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from depth_ros.cameras.camera_model import CameraModel
from depth_ros.cameras.rectifier import Rectifier, RectifyMode
from depth_ros.errors import CameraError, DepthRosError, MessageError
from depth_ros.messages.camera_infos import CameraInfos
from depth_ros.messages.images import depth_to_metres, image_to_rgb, mask_to_alpha
from depth_ros.messages.stamps import NSEC, stamp_ns
from depth_ros.pipeline import CameraTrack, DepthPipeline, Frame, OutputSize, TrackSettings, Wanted

pytestmark = [pytest.mark.slow, pytest.mark.timeout(0)]  # it takes as long as cases are wanted

_ASKED = os.environ.get('DEPTH_ROS_FUZZ_CASES', '')
_CASES = int(_ASKED or 10_000)

CHANNEL_BYTES = {
    'mono8': 1, '8UC1': 1, 'mono16': 2, 'rgb8': 3, 'bgr8': 3, 'rgba8': 4, 'bgra8': 4,
    'rgb16': 6, 'bgr16': 6, 'bayer_rggb8': 1, 'bayer_grbg16': 2, 'uyvy': 2, 'yuyv': 2,
}  # fmt: skip
DEPTH_BYTES = {'16UC1': 2, 'mono16': 2, '32FC1': 4}
MASK_BYTES = {'mono8': 1, '8UC1': 1, 'mono16': 2, '16UC1': 2, 'rgba8': 4, 'bgra8': 4}
SIZES = (0, 1, 2, 3, 5, 8, 31, 64, 96)
SPOILT_SIZES = (0, 1, 7, 97, 255, 32766, 32767, 32768, 65535, 1 << 20, 1 << 31, (1 << 32) - 1)
NUMBERS = (
    0.0, -0.0, 1.0, -1.0, 1e-300, 1e-12, 1e-3, 0.3, 31.5, 60.0, 1e4, 1e9, 1e300,
    float('nan'), float('inf'), float('-inf'),
)  # fmt: skip
STAMPS = (0, 1, 10 * NSEC, 10 * NSEC + 1, 11 * NSEC, -5 * NSEC, (1 << 31) * NSEC)
NOISE = np.random.default_rng(7).integers(0, 256, 1 << 19, dtype=np.uint8)


dices = st.randoms(use_true_random=True)
"""One draw a case, its seed: what hypothesis does for each draw takes longer than an answer."""


def cases(share: float):
    """This share of the cases of the file, the same ones on every run unless more are wanted."""
    return settings(
        max_examples=max(1, round(share * _CASES)),
        derandomize=not _ASKED,
        database=None,
        deadline=None,
        phases=[Phase.generate],  # a seed cannot be made simpler
        suppress_health_check=list(HealthCheck),
    )


@contextlib.contextmanager
def refusing(allowed: bool) -> Iterator[None]:
    """Ends where a message is refused, if that is allowed; any other error goes through."""
    try:
        yield
    except DepthRosError:
        if not allowed:
            raise


class Answering:
    """What the node does with an image and a camera_info, one after the other on one track."""

    def __init__(self, pipeline: DepthPipeline, size: OutputSize) -> None:
        self._track = CameraTrack(pipeline, TrackSettings(output_size=size))
        self._size = size

    def __call__(self, image: Any, info: Any, mode: RectifyMode) -> None:
        """Depth of the right size and kind, or a DepthRosError."""
        picture = image_to_rgb(image)
        height, width = picture.shape[:2]
        infos = CameraInfos()
        infos.store(info)
        stamp = stamp_ns(image.header)
        camera = infos.match(stamp, image.header.frame_id, width, height)
        rectifier = Rectifier(camera, mode)
        rectified = rectifier(picture)
        frame = Frame(stamp, rectified, rectifier.intrinsics, seen=rectifier.seen)
        wanted = Wanted(egomotion=True, confidence=True, image=True)
        estimate = self._track.process(frame, wanted)
        network = self._size is OutputSize.NETWORK
        shape = (graphs.HEIGHT, graphs.WIDTH) if network else (height, width)
        assert estimate.depth_m.shape == shape
        assert estimate.depth_m.dtype == np.float32
        assert (estimate.intrinsics.height, estimate.intrinsics.width) == shape
        assert estimate.image.shape == (*shape, 3)
        known = estimate.depth_m[~np.isnan(estimate.depth_m)]
        assert ((known > 0) & (known < np.inf)).all()


@pytest.fixture(scope='module')
def answerings(tmp_path_factory: pytest.TempPathFactory) -> list[Answering]:
    """Models tied to no camera and to one, in the pixels of the camera and of the network."""
    folder = tmp_path_factory.mktemp('models')
    free = graphs.write_model(folder / 'free')
    tied = graphs.write_model(folder / 'tied', graphs.spec(intrinsics=graphs.training_camera()))
    pipelines = [DepthPipeline.open(model) for model in (free, tied)]
    return [Answering(p, s) for p, s in itertools.product(pipelines, OutputSize)]


def image_of(
    width: int, height: int, encoding: str, pixel_bytes: int, padding: int = 0
) -> SimpleNamespace:
    """A whole Image of noise."""
    step = width * pixel_bytes + padding
    return SimpleNamespace(
        header=make_header(), height=height, width=width, encoding=encoding, is_bigendian=0,
        step=step, data=NOISE[: height * step],
    )  # fmt: skip


def info_of(width: int, height: int) -> SimpleNamespace:
    """A sound CameraInfo for images of that size, as far as there are any."""
    info = make_camera_info(make_intrinsics(96, 72))
    info.width, info.height = width, height
    return info


def images(dice: Random, bytes_of: dict[str, int]) -> tuple[SimpleNamespace, bool]:
    """An Image, and whether it is a whole one."""
    encoding = dice.choice(sorted(bytes_of))
    height, width = dice.choice(SIZES), dice.choice(SIZES)
    padding = dice.choice((0, 0, 1, 9))
    message = image_of(width, height, encoding, bytes_of[encoding], padding)
    message.header = make_header(dice.choice(STAMPS))
    message.is_bigendian = dice.choice((0, 1, 255))
    whole = height > 0 and width > 0 and not (encoding in ('uyvy', 'yuyv') and width % 2)
    for _ in range(dice.randint(0, 2)):
        whole = False
        spoil = dice.choice(('height', 'width', 'step', 'encoding', 'short', 'long'))
        if spoil in ('height', 'width', 'step'):
            setattr(message, spoil, dice.choice(SPOILT_SIZES))
        elif spoil == 'encoding':
            others = (*sorted(bytes_of), '', 'RGB8', '64FC9', 'rgb8\0', 'bayer_', 'é' * 99)
            message.encoding = dice.choice(others)
        elif spoil == 'short':
            message.data = message.data[: dice.randint(0, max(0, message.data.size - 1))]
        else:
            message.data = NOISE[: message.data.size + dice.choice((1, 100, 40_000))]
    return message, whole


def camera_infos(dice: Random, width: int, height: int) -> SimpleNamespace:
    """A CameraInfo, mostly for images of that size, with numbers that may be anything."""
    focal = dice.choice((60.0, dice.choice(NUMBERS)))
    info = info_of(width, height)
    info.header.frame_id = dice.choice(('camera', 'camera', '', '', '', 'other'))
    info.k[[0, 4]] = info.p[[0, 5]] = focal
    info.distortion_model = dice.choice(
        ('plumb_bob', 'plumb_bob', 'equidistant', 'rational_polynomial', '', 'banana'))
    info.d = [dice.choice((0.0, 0.1, -0.01)) for _ in range(dice.choice((0, 4, 5, 5, 8, 12, 15)))]
    for _ in range(dice.choice((0, 0, 0, 0, 1))):
        info.d.insert(dice.randrange(len(info.d) + 1), dice.choice(NUMBERS))
    for name, length in (('k', 9), ('r', 9), ('p', 12)):
        for _ in range(dice.choice((0, 0, 0, 0, 0, 1, 3))):
            getattr(info, name)[dice.randint(0, length - 1)] = dice.choice(NUMBERS)
    for holder, name in ((info, 'width'), (info, 'height'), (info, 'binning_x'),
                         (info, 'binning_y'), (info.roi, 'x_offset'), (info.roi, 'y_offset'),
                         (info.roi, 'width'), (info.roi, 'height')):  # fmt: skip
        if dice.random() < 0.03:
            setattr(holder, name, dice.choice((*SIZES, *SPOILT_SIZES)))
    return info


@cases(0.35)
@given(dice=dices)
def test_an_image_is_answered_in_its_size_or_refused(answerings, dice):
    message, whole = images(dice, CHANNEL_BYTES)
    info = info_of(message.width, message.height)
    answering = dice.choice(answerings)
    with refusing(not whole):
        answering(message, info, RectifyMode.AUTO)


@cases(0.25)
@given(dice=dices)
def test_a_camera_is_understood_or_refused(answerings, dice):
    width, height = dice.choice(((96, 72), (64, 48), (31, 5), (1, 1), (32766, 2)))
    message = image_of(width, height, 'rgb8', 3)
    info = camera_infos(dice, width, height)
    mode = dice.choice(list(RectifyMode))
    answering = dice.choice(answerings)
    with refusing(True):
        answering(message, info, mode)


@cases(0.1)
@given(dice=dices)
def test_depth_is_read_in_its_size_or_refused(dice):
    message, whole = images(dice, DEPTH_BYTES)
    with refusing(not whole):
        metres = depth_to_metres(message)
        assert metres.shape == (message.height, message.width)
        assert metres.dtype == np.float32
        known = metres[~np.isnan(metres)]
        assert ((known > 0) & (known < np.inf)).all()


@cases(0.05)
@given(dice=dices)
def test_a_mask_is_read_in_its_size_or_refused(dice):
    message, whole = images(dice, MASK_BYTES)
    with refusing(not whole):
        alpha = mask_to_alpha(message)
        assert alpha.shape == (message.height, message.width)
        assert alpha.dtype == np.float32
        assert ((alpha >= 0) & (alpha <= 1)).all()


def _files() -> list[bytes]:
    """Whole PNG and JPEG files of several kinds."""
    picture = NOISE[: 40 * 24 * 4].reshape(24, 40, 4)
    kinds = [picture[..., 0], picture[..., :3], picture]
    pngs = [*kinds, *(kind.astype(np.uint16) * 257 for kind in kinds)]
    files = [cv2.imencode('.png', kind)[1].tobytes() for kind in pngs]
    for flags in ([], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 2]):
        files += [cv2.imencode('.jpg', kind, flags)[1].tobytes() for kind in kinds[:2]]
    return files


FILES = _files()
FORMS = ('jpeg', 'png', 'rgb8; png compressed bgr8', 'rgb8; png compressed rgb8', '', ';;',
         'bayer_rggb8; png compressed ', 'bayer_rggb16; jpeg compressed ', '16UC1; png',
         '16UC1; compressedDepth png', '32FC1; compressedDepth png')  # fmt: skip


def compressed_images(dice: Random) -> tuple[SimpleNamespace, bool]:
    """A CompressedImage, and whether it is a whole one."""
    data = bytearray(dice.choice(FILES))
    form = dice.choice(FORMS)
    prefix = dice.choice((b'', b'', b'', bytes(12), struct.pack('<iff', 0, 1e4, 1.0)))
    spoils = dice.randint(0, 3)
    for _ in range(spoils):
        # Headers are where a decoder is led astray.
        at = dice.randint(0, dice.choice((40, len(data))))
        spoil = dice.choice(('set', 'cut', 'insert', 'end'))
        if spoil == 'set':
            data[at : at + 1] = bytes([dice.randint(0, 255)])
        elif spoil == 'cut':
            del data[at : at + dice.choice((1, 4, 100))]
        elif spoil == 'insert':
            inserted = (b'\0', b'\xff', b'\xff\xd8', b'\xff\x01', b'IEND')
            data[at:at] = dice.choice(inserted)
        else:
            del data[at:]
    if data[:4] == b'\x89PNG' and dice.random() < 0.5:  # or else only its checksum is seen
        data[29:33] = struct.pack('>I', zlib.crc32(data[12:29]))
    message = SimpleNamespace(
        header=make_header(dice.choice(STAMPS)), format=form,
        data=np.frombuffer(prefix + bytes(data), np.uint8),
    )  # fmt: skip
    return message, not spoils and not prefix


@cases(0.3)
@given(dice=dices)
def test_a_compressed_image_is_answered_or_refused(answerings, dice):
    message, whole = compressed_images(dice)
    answering = dice.choice(answerings)
    info = make_camera_info(make_intrinsics(40, 24))
    with refusing(not whole):
        answering(message, info, RectifyMode.AUTO)
    with refusing(True):
        metres = depth_to_metres(message)
        assert metres.ndim == 2
        assert metres.dtype == np.float32
    with refusing(True):
        alpha = mask_to_alpha(message)
        assert alpha.ndim == 2
        assert alpha.dtype == np.float32


LITTLE = 100_000
"""Bytes that reading a small message may take; what is declared below takes 100 MB and more."""


def png_claiming(width: int, height: int, colour: int = 2, bits: int = 8) -> bytes:
    """A PNG with a sound header and next to nothing in it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack('>I', zlib.crc32(kind + data))
        return struct.pack('>I', len(data)) + kind + data + checksum

    header = struct.pack('>IIBBBBB', width, height, bits, colour, 0, 0, 0)
    packed = zlib.compress(bytes(1000))
    chunks = [(b'IHDR', header), (b'IDAT', packed), (b'IEND', b'')]
    return b'\x89PNG\r\n\x1a\n' + b''.join(chunk(*c) for c in chunks)


def jpeg_claiming(width: int, height: int) -> bytes:
    """A small JPEG whose frame header tells another size."""
    data = bytearray(FILES[-1])
    at = next(i for i in range(len(data)) if data[i : i + 2] in (b'\xff\xc0', b'\xff\xc2'))
    data[at + 5 : at + 9] = struct.pack('>HH', height, width)
    return bytes(data)


@pytest.mark.parametrize(
    ('width', 'height', 'step'),
    [
        (1 << 31, 1 << 31, 0),
        (11_000, 11_000, 33_000),
        (1 << 27, 1, 3 << 27),
        (4, 1 << 25, 12),
        (64, 48, (1 << 32) - 1),
    ],
)
@pytest.mark.parametrize(
    ('encoding', 'read'),
    [('rgb8', image_to_rgb), ('16UC1', depth_to_metres), ('rgba8', mask_to_alpha)],
)
def test_a_declared_size_allocates_nothing(width, height, step, encoding, read):
    message = image_of(64, 48, encoding, 3)
    message.width, message.height, message.step = width, height, step
    with measured() as peak, pytest.raises(MessageError, match=r'needs|step|not possible'):
        read(message)
    assert peak() < LITTLE


@pytest.mark.parametrize(
    ('data', 'words'),
    [
        (png_claiming(100_000, 100_000), 'claims 100000x100000'),
        (png_claiming(11_000, 11_000), 'claims 11000x11000 pixels, more than its'),
        (png_claiming(11_000, 11_000, colour=0, bits=1), 'more than its'),
        (png_claiming(0, 4), '0x4'),
        (jpeg_claiming(65_500, 65_500), 'claims 65500x65500'),
        (jpeg_claiming(11_000, 11_000), 'claims 11000x11000 pixels, more than its'),
        (jpeg_claiming(0, 4), '0x4'),
        # A decoder passes over a marker without a length; its header is the second one here.
        (b'\xff\xd8\xff\x01' + jpeg_claiming(65_500, 8_000)[2:], 'no frame header'),
    ],
)
@pytest.mark.parametrize('read', [image_to_rgb, depth_to_metres, mask_to_alpha])
def test_a_bomb_is_not_decoded(data, words, read):
    message = SimpleNamespace(header=make_header(), format='16UC1; png',
                              data=np.frombuffer(data, np.uint8))  # fmt: skip
    words = words if read is image_to_rgb or data[:4] == b'\x89PNG' else 'is not PNG'
    with measured() as peak, pytest.raises(MessageError, match=words):
        read(message)
    assert peak() < LITTLE


def test_black_pictures_are_no_bombs():
    black = np.zeros((3000, 4000, 3), np.uint8)
    for ending, options in (('.png', [cv2.IMWRITE_PNG_COMPRESSION, 9]),
                            ('.png', [cv2.IMWRITE_PNG_BILEVEL, 1]),
                            ('.jpg', [cv2.IMWRITE_JPEG_OPTIMIZE, 1]),
                            ('.jpg', [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])):  # fmt: skip
        picture = black[..., 0] if cv2.IMWRITE_PNG_BILEVEL in options else black
        data = cv2.imencode(ending, picture, options)[1]
        message = SimpleNamespace(header=make_header(), format=ending, data=data)
        assert not image_to_rgb(message).any()


@pytest.mark.parametrize(
    ('name', 'at', 'value', 'words'),
    [
        ('k', 0, 1e9, 'fx = 1e[+]09 for 96 pixels; allowed: 0.0384 to 960000'),
        ('k', 4, 1e-6, 'fy = 1e-06'),
        ('k', 2, -1e6, 'cx = -1e[+]06'),
        ('k', 0, float('nan'), 'not finite'),
        ('k', 0, 0.0, 'not calibrated'),
    ],
)
def test_a_calibration_that_no_camera_has_is_refused(name, at, value, words):
    info = info_of(96, 72)
    getattr(info, name)[at] = value
    with pytest.raises(CameraError, match=words):
        Rectifier(CameraModel.from_info(info))


def test_a_camera_info_of_huge_size_allocates_nothing():
    info = info_of(32_766, 32_766)
    info.d = [0.1, 0.0, 0.0, 0.0, 0.0]
    infos = CameraInfos()
    infos.store(info)
    with measured() as peak, pytest.raises(CameraError, match='image is 96x72'):
        infos.match(0, 'camera', 96, 72)
    assert peak() < LITTLE


@contextlib.contextmanager
def measured() -> Iterator[Callable[[], int]]:
    """Tells the bytes that were allocated at most inside the block."""
    tracemalloc.start()
    told: list[int] = []
    try:
        yield lambda: told[0]
    finally:
        told.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
