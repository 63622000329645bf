"""Reads arrays that others wrote, and believes no size before it is paid for in bytes."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from depth_ros.errors import ModelError

_SUFFIX = '.npy'


def read_npz(path: Path, limit_bytes: int) -> dict[str, np.ndarray]:
    """All arrays of a .npz file, by name; nothing in it is run.

    NumPy allocates what a header claims before it reads, and unpacks zeros without end; here each
    array has to be as long as its header says, and all of them together no longer than the limit.

    Args:
        path: the file.
        limit_bytes: of all arrays, unpacked.

    Raises:
        ModelError: the file is missing, damaged, holds objects, or claims too much.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            total = sum(member.file_size for member in archive.infolist())
            if total > limit_bytes:
                raise ModelError(
                    f'{path} unpacks to {total} bytes, allowed: {limit_bytes}'
                )
            return dict(_arrays(archive))
    except ModelError:
        raise
    # NotImplementedError: a compression that zipfile does not know. RuntimeError: encrypted.
    except (OSError, ValueError, EOFError, NotImplementedError, RuntimeError,
            zipfile.BadZipFile, zlib.error) as error:
        raise ModelError(f'{path} is damaged: {error}') from error


def _arrays(archive: zipfile.ZipFile) -> Iterator[tuple[str, np.ndarray]]:
    for member in archive.infolist():
        if not member.filename.endswith(_SUFFIX):
            raise ValueError(f'{member.filename!r} in it is no array')
        with archive.open(member) as stream:
            version = npy.read_magic(stream)
            if version not in ((1, 0), (2, 0)):
                raise ValueError(f'{member.filename!r} has the unknown version {version}')
            read_header = (
                npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            )
            shape, fortran_order, dtype = read_header(stream)
            if dtype.hasobject:
                raise ValueError(f'{member.filename!r} holds objects, which only code can read')
            data = stream.read()
        count = 1
        for length in shape:
            count *= length
        if count < 0 or count * dtype.itemsize != len(data):
            raise ValueError(
                f'{member.filename!r} claims the shape {shape} of {dtype}, which is not its '
                f'{len(data)} bytes'
            )
        array = np.frombuffer(data, dtype).reshape(shape, order='F' if fortran_order else 'C')
        yield member.filename[: -len(_SUFFIX)], array.copy()
