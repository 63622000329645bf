"""Keeps rosbags from allocating what a bag merely claims.

A chunk of MCAP says how long it is unpacked, and may be packed so that a few bytes become any
number; a message of sqlite3 may be computed by the file itself. Both are bounded here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lz4.frame
from rosbags.rosbag2 import storage_mcap

from depth_ros.errors import BagError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LARGEST_CHUNK_BYTES = 1 << 30
"""Writers make chunks of some megabytes; one message may be larger, such as an 8k image."""
_SMALLEST_LIMIT_BYTES = 1 << 20
_SQLITE_LIMIT_LENGTH = 0
"""Longest text or blob (https://www.sqlite.org/c3ref/c_limit_attached.html)."""


def unpack_lz4(data: bytes, size: int) -> bytes:
    """Unpack a chunk of at most `size` bytes, and one more to tell that it is longer.

    Raises:
        ValueError: the claimed size is larger than any chunk.
    """
    return lz4.frame.LZ4FrameDecompressor().decompress(data, max_length=_claimed(size) + 1)


def unpack_zstd(data: bytes, size: int) -> bytes:
    """See unpack_lz4."""
    return zstd.ZstdDecompressor().decompress(data, max_length=_claimed(size) + 1)


def _claimed(size: int) -> int:
    if size > LARGEST_CHUNK_BYTES:
        raise ValueError(f'a chunk claims {size} bytes, allowed: {LARGEST_CHUNK_BYTES}')
    return size


_UNPACKERS: dict[str, Callable[[bytes, int], bytes]] = {'lz4': unpack_lz4, 'zstd': unpack_zstd}
# rosbags hands these the claimed size, and its own ignore it.
storage_mcap.DECOMPRESSORS.update(_UNPACKERS)


def bound_messages(storages: list[Any]) -> None:
    """Let no message of open sqlite3 storages be longer than its file, unpacked if it was packed.

    Args:
        storages: of rosbags, whose `path` is that of the file that is open.
    """
    for storage in storages:
        database = getattr(storage, 'dbconn', None)
        if database is not None:
            file_bytes = storage.path.stat().st_size
            database.limit(_SQLITE_LIMIT_LENGTH, max(file_bytes, _SMALLEST_LIMIT_BYTES))


def require_inside(folder: Path) -> None:
    """Refuse a bag folder whose files are links to somewhere else.

    All of them, packed ones too: metadata.yaml says what is read, by whatever name.

    Raises:
        BagError: naming the file.
    """
    for file in sorted(folder.iterdir()):
        if not file.is_dir() and file.resolve().parent != folder.resolve():
            raise BagError(
                f'bag {folder}: {file.name} is a link to {file.resolve()}, outside its folder; '
                'put the file itself there, or take the link away'
            )
