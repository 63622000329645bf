"""Images of ROS messages to numpy, by duck type: messages of rclpy, rosbags and ROS 1 alike.

Sizes are checked against the data before anything is allocated, so that a damaged message costs
a MessageError and no more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from depth_ros.errors import MessageError
from depth_ros.messages.encoded_images import JPEG_MAGIC, PNG_MAGIC, read_jpeg_size, read_png_size

# More than any camera has; a header that claims more is damaged.
MAX_PIXELS = 1 << 27

_COMPRESSED_DEPTH_HEADER = 12  # int32 format, float32 A, float32 B of depth = A / (value - B)

_BYTE, _WORD, _FLOAT = np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32)


@dataclass(frozen=True)
class _Layout:
    """How the pixels of a plain encoding lie in memory."""

    channels: int
    dtype: np.dtype[Any]
    to_rgb: int | None  # cv2 conversion code; None where it is RGB already


_LAYOUTS = {
    'mono8': _Layout(1, _BYTE, cv2.COLOR_GRAY2RGB),
    '8UC1': _Layout(1, _BYTE, cv2.COLOR_GRAY2RGB),
    'mono16': _Layout(1, _WORD, cv2.COLOR_GRAY2RGB),
    'rgb8': _Layout(3, _BYTE, None),
    'bgr8': _Layout(3, _BYTE, cv2.COLOR_BGR2RGB),
    'rgba8': _Layout(4, _BYTE, cv2.COLOR_RGBA2RGB),
    'bgra8': _Layout(4, _BYTE, cv2.COLOR_BGRA2RGB),
    'rgb16': _Layout(3, _WORD, None),
    'bgr16': _Layout(3, _WORD, cv2.COLOR_BGR2RGB),
    # OpenCV names a Bayer pattern after the second and third pixel of its second row.
    'bayer_rggb8': _Layout(1, _BYTE, cv2.COLOR_BayerBG2RGB),
    'bayer_bggr8': _Layout(1, _BYTE, cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg8': _Layout(1, _BYTE, cv2.COLOR_BayerGR2RGB),
    'bayer_grbg8': _Layout(1, _BYTE, cv2.COLOR_BayerGB2RGB),
    'bayer_rggb16': _Layout(1, _WORD, cv2.COLOR_BayerBG2RGB),
    'bayer_bggr16': _Layout(1, _WORD, cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg16': _Layout(1, _WORD, cv2.COLOR_BayerGR2RGB),
    'bayer_grbg16': _Layout(1, _WORD, cv2.COLOR_BayerGB2RGB),
    'yuv422': _Layout(2, _BYTE, cv2.COLOR_YUV2RGB_UYVY),
    'uyvy': _Layout(2, _BYTE, cv2.COLOR_YUV2RGB_UYVY),
    'yuv422_yuy2': _Layout(2, _BYTE, cv2.COLOR_YUV2RGB_YUY2),
    'yuyv': _Layout(2, _BYTE, cv2.COLOR_YUV2RGB_YUY2),
}

_MASK_LAYOUTS: dict[str, tuple[np.dtype[Any], int]] = {
    'mono8': (_BYTE, 1),
    '8UC1': (_BYTE, 1),
    'mono16': (_WORD, 1),
    '16UC1': (_WORD, 1),
    'rgba8': (_BYTE, 4),
    'bgra8': (_BYTE, 4),
}
"""Type and channels of what can be a mask: grey, or colour whose last channel is alpha."""


def image_to_rgb(msg: Any) -> np.ndarray:
    """Picture of a sensor_msgs/Image or CompressedImage (JPEG, PNG), uint8 RGB [H,W,3].

    Row padding (step) and byte order are honoured; 16 bits become 8 by their upper half. The
    result may be a read-only view of the message.

    Raises:
        MessageError: the encoding is not supported, or the data do not match the size.
    """
    if not hasattr(msg, 'encoding'):
        return _compressed_to_rgb(msg)
    layout = _LAYOUTS.get(msg.encoding)
    if layout is None:
        raise MessageError(
            f'image encoding {msg.encoding!r} is not supported '
            f'(supported: {", ".join(_LAYOUTS)})'
        )
    pixels = _pixels(msg, layout.dtype, layout.channels)
    return _to_rgb(pixels, layout.to_rgb, msg.encoding)


def depth_to_metres(msg: Any) -> np.ndarray:
    """Depth of an Image (16UC1, mono16, 32FC1) or CompressedImage, float32 [H,W] in metres.

    Compressed depth is PNG of 16UC1 millimetres, or 32FC1 quantised as inverse depth, with the
    12-byte header of compressed_depth_image_transport in front. Unknown depth is NaN (REP 118).

    Raises:
        MessageError: the encoding is not supported, or the data do not match the size.
    """
    if not hasattr(msg, 'encoding'):
        return _compressed_to_metres(msg)
    if msg.encoding in ('16UC1', 'mono16'):
        return _millimetres_to_metres(_pixels(msg, _WORD, 1))
    if msg.encoding == '32FC1':
        metres = _pixels(msg, _FLOAT, 1)
        return np.where(np.isfinite(metres) & (metres > 0), metres, np.float32(np.nan))
    raise MessageError(
        f'depth encoding {msg.encoding!r} is not supported (supported: 16UC1, mono16, 32FC1)'
    )


def mask_to_alpha(msg: Any) -> np.ndarray:
    """Foreground mask of an Image or CompressedImage (PNG), float32 [H,W] from 0 to 1.

    Grey of 8 or 16 bits is divided by the largest value of its type; of colour with alpha, the
    alpha alone counts.

    Raises:
        MessageError: the encoding is not supported, or the data do not match the size.
    """
    if not hasattr(msg, 'encoding'):
        return _alpha(_compressed_mask(msg))
    layout = _MASK_LAYOUTS.get(msg.encoding)
    if layout is None:
        raise MessageError(
            f'mask encoding {msg.encoding!r} is not supported '
            f'(supported: {", ".join(_MASK_LAYOUTS)})'
        )
    return _alpha(_pixels(msg, *layout))


def _pixels(msg: Any, dtype: np.dtype[Any], channels: int) -> np.ndarray:
    """Pixels in the machine's byte order, [H,W] of one channel or [H,W,channels].

    A view without the padding of rows where they are bytes.
    """
    height, width, step = int(msg.height), int(msg.width), int(msg.step)
    pixel = dtype.itemsize * channels
    row = width * pixel
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise MessageError(
            f'image size {width}x{height} is not possible: 1 to {MAX_PIXELS} pixels are taken'
        )
    if step < row:
        raise MessageError(
            f'image step {step} is less than a row of {width} {msg.encoding} pixels ({row} bytes)'
        )
    # The padding of the last row may be left out.
    needed = step * (height - 1) + row
    data = msg.data
    if len(data) < needed:
        raise MessageError(
            f'image of {width}x{height} {msg.encoding} needs {needed} bytes, not {len(data)}'
        )
    shape: tuple[int, ...] = (height, width)
    strides: tuple[int, ...] = (step, pixel)
    if channels > 1:
        shape, strides = (*shape, channels), (*strides, dtype.itemsize)
    read_only = memoryview(data).toreadonly()
    if dtype.itemsize == 1:
        return np.ndarray(shape, dtype, read_only, 0, strides)
    stored = dtype.newbyteorder('>' if msg.is_bigendian else '<')
    return np.ndarray(shape, stored, read_only, 0, strides).astype(dtype, copy=False)


def _to_rgb(pixels: np.ndarray, conversion: int | None, encoding: str) -> np.ndarray:
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if conversion is None:
        return pixels
    try:
        return cv2.cvtColor(pixels, conversion)
    except cv2.error as error:
        _refuse_for_memory(error)
        size = f'{pixels.shape[1]}x{pixels.shape[0]}'
        raise MessageError(f'image of {size} pixels cannot be {encoding!r}') from None


def _compressed_to_rgb(msg: Any) -> np.ndarray:
    data = np.frombuffer(msg.data, np.uint8)
    encoding, _, target = (part.strip() for part in str(msg.format).partition(';'))
    pixels = _decode(data, cv2.IMREAD_UNCHANGED, msg.format)
    if pixels.ndim == 2:
        # A Bayer image is stored as its mosaic unless the target says that it was converted.
        bayer = encoding.startswith('bayer_') and encoding in _LAYOUTS and 'mono' not in target
        conversion = _LAYOUTS[encoding].to_rgb if bayer else cv2.COLOR_GRAY2RGB
    elif pixels.shape[2] == 4:
        conversion = cv2.COLOR_BGRA2RGB
    else:
        # image_transport swapped the channels of what it calls compressed rgb.
        conversion = None if 'compressed rgb' in target else cv2.COLOR_BGR2RGB
    return _to_rgb(pixels, conversion, encoding)


def _compressed_to_metres(msg: Any) -> np.ndarray:
    data = np.frombuffer(msg.data, np.uint8)
    encoding = str(msg.format).partition(';')[0].strip()
    header = b''
    if bytes(data[: len(PNG_MAGIC)]) != PNG_MAGIC:
        header = bytes(data[:_COMPRESSED_DEPTH_HEADER])
        data = data[_COMPRESSED_DEPTH_HEADER:]
    if bytes(data[: len(PNG_MAGIC)]) != PNG_MAGIC:
        raise MessageError(
            f'compressed depth of format {msg.format!r} is not PNG; RVL and others are not '
            f'supported'
        )
    values = _decode(data, cv2.IMREAD_UNCHANGED, msg.format)
    if values.ndim != 2 or values.dtype != np.uint16:
        raise MessageError(f'compressed depth of format {msg.format!r} is not 16 bits deep')
    if encoding == '16UC1':
        return _millimetres_to_metres(values)
    if encoding == '32FC1' and len(header) == _COMPRESSED_DEPTH_HEADER:
        a, b = np.frombuffer(header, '<f4', 2, offset=4)
        with np.errstate(divide='ignore', invalid='ignore'):
            metres = a / (values.astype(np.float32) - b)
        known = (values > 0) & np.isfinite(metres) & (metres > 0)
        return np.where(known, metres, np.float32(np.nan))
    raise MessageError(
        f'compressed depth format {msg.format!r} is not supported (supported: 16UC1, 32FC1, PNG)'
    )


def _compressed_mask(msg: Any) -> np.ndarray:
    data = np.frombuffer(msg.data, np.uint8)
    if bytes(data[: len(PNG_MAGIC)]) != PNG_MAGIC:
        # JPEG scatters values around an outline, and some of them count as foreground.
        raise MessageError(
            f'compressed mask of format {msg.format!r} is not PNG; JPEG and others are not '
            f'supported'
        )
    pixels = _decode(data, cv2.IMREAD_UNCHANGED, msg.format)
    if pixels.ndim == 3 and pixels.shape[2] != 4:
        raise MessageError(
            f'compressed mask of format {msg.format!r} has {pixels.shape[2]} channels '
            f'(supported: PNG of 1, or of 4 with alpha)'
        )
    return pixels


def _alpha(pixels: np.ndarray) -> np.ndarray:
    """float32 [H,W] from 0 to 1 of grey [H,W] or of colour with alpha [H,W,4]."""
    values = pixels if pixels.ndim == 2 else pixels[..., 3]
    return values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max)


def _millimetres_to_metres(millimetres: np.ndarray) -> np.ndarray:
    metres = millimetres.astype(np.float32) / np.float32(1000)
    metres[millimetres == 0] = np.nan
    return metres


def _decode(data: np.ndarray, flags: int, form: str) -> np.ndarray:
    """cv2.imdecode after a look at what the file claims to be.

    Decoders allocate what a header claims and fill what is missing with grey, without a word.
    """
    raw = data.tobytes()
    if raw.startswith(PNG_MAGIC):
        size = read_png_size(raw)
    elif raw.startswith(JPEG_MAGIC):
        size = read_jpeg_size(raw)
    else:
        raise MessageError(
            f'compressed image of format {form!r} is neither JPEG nor PNG, or is damaged'
        )
    width, height = size
    if width * height > MAX_PIXELS:
        raise MessageError(
            f'compressed image claims {width}x{height} pixels; at most {MAX_PIXELS} are taken'
        )
    try:
        pixels = cv2.imdecode(data, flags)
    except cv2.error as error:
        _refuse_for_memory(error)
        pixels = None
    if pixels is None or pixels.shape[:2] != (height, width):
        raise MessageError(f'compressed image of format {form!r} is damaged')
    return pixels


def _refuse_for_memory(error: cv2.error) -> None:
    """Do not blame a message for memory that OpenCV did not get."""
    if error.code == cv2.Error.StsNoMem:
        raise MemoryError(f'OpenCV: {error.err}') from error
