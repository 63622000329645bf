"""What PNG and JPEG files claim to be, read before a decoder believes it."""

from __future__ import annotations

from depth_ros.errors import MessageError

PNG_MAGIC = b'\x89PNG\r\n\x1a\n'
JPEG_MAGIC = b'\xff\xd8'
_JPEG_END = b'\xff\xd9'

_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PNG_IHDR_BYTES = 13
_DEFLATE_RATIO = 1032
"""Deflate (RFC 1951) packs 258 bytes into two bits at best."""

_JPEG_PIXELS_PER_BYTE = 512
"""A Huffman code has a bit at least, and a block of 8x8 pixels one code at least (ITU T.81)."""
_JPEG_SIZELESS = (0x01, *range(0xD0, 0xDA))
"""TEM, RSTn, SOI and EOI have no length; before the frame header they have no business."""
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def read_png_size(raw: bytes) -> tuple[int, int]:
    """Width and height of a PNG file (ISO/IEC 15948) whose chunks are all there.

    Raises:
        MessageError: it is damaged, animated, or has too few bytes for its size.
    """
    at = len(PNG_MAGIC)
    if raw[at : at + 8] != _PNG_IHDR_BYTES.to_bytes(4, 'big') + b'IHDR':
        raise MessageError('PNG image is damaged: it does not begin with its header')
    header = raw[at + 8 : at + 8 + _PNG_IHDR_BYTES]
    packed = 0
    kind = b''
    while kind != b'IEND':
        if at + 12 > len(raw):
            raise MessageError('PNG image is truncated: it has no end marker')
        length, kind = int.from_bytes(raw[at : at + 4], 'big'), raw[at + 4 : at + 8]
        if at + 12 + length > len(raw):
            raise MessageError(f'PNG image is damaged or truncated: chunk {kind!r} is cut off')
        if kind == b'acTL':
            raise MessageError('PNG image is animated; still ones are supported')
        packed += length if kind == b'IDAT' else 0
        at += 12 + length
    width, height = int.from_bytes(header[:4], 'big'), int.from_bytes(header[4:8], 'big')
    bits, channels = header[8], _PNG_CHANNELS.get(header[9])
    if channels is None or bits not in (1, 2, 4, 8, 16):
        raise MessageError(f'PNG image is damaged: colour type {header[9]} of {bits} bits')
    needed = height * ((width * channels * bits + 7) // 8)
    _check_size('PNG', width, height, needed <= _DEFLATE_RATIO * packed, len(raw))
    return width, height


def read_jpeg_size(raw: bytes) -> tuple[int, int]:
    """Width and height in the frame header of a JPEG file (ITU T.81, B.2.2).

    Raises:
        MessageError: it is damaged, or has too few bytes for its size.
    """
    if raw.rfind(_JPEG_END) < 0:
        raise MessageError('JPEG image is truncated: it has no end marker')
    at = 2
    while at + 9 <= len(raw) and raw[at] == 0xFF:
        marker = raw[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker in _JPEG_FRAMES:
            height = int.from_bytes(raw[at + 5 : at + 7], 'big')
            width = int.from_bytes(raw[at + 7 : at + 9], 'big')
            enough = width * height <= _JPEG_PIXELS_PER_BYTE * len(raw)
            _check_size('JPEG', width, height, enough, len(raw))
            return width, height
        elif marker in _JPEG_SIZELESS:
            break
        else:
            at += 2 + int.from_bytes(raw[at + 2 : at + 4], 'big')
    raise MessageError('JPEG image is damaged: it has no frame header')


def _check_size(kind: str, width: int, height: int, enough: bool, size: int) -> None:
    if width < 1 or height < 1:
        raise MessageError(f'{kind} image of {width}x{height} pixels shows nothing')
    if not enough:
        raise MessageError(
            f'{kind} image claims {width}x{height} pixels, more than its {size} bytes can hold'
        )
