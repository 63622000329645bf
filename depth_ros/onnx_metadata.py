"""Reads the metadata of an ONNX file without loading its graph and without the onnx package.

An ONNX file is one protobuf message, ModelProto: a sequence of (tag, value). The walk below reads
the tags, skips the graph by its length, and so takes microseconds whatever the file's size. Field
numbers: onnx.proto3 (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from depth_ros.errors import ModelError

_GRAPH, _METADATA_PROPS = 7, 14
_KEY, _VALUE = 1, 2
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_LAST_FIELD = 25
"""ModelProto's highest field number; a higher one means that this is no ONNX file."""
_MAX_METADATA_BYTES = 16 * 1024 * 1024


class _MalformedError(Exception):
    """The bytes are no ModelProto."""


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata_props of an ONNX file.

    Raises:
        ModelError: the file is missing, truncated, or no ONNX file.
    """
    try:
        with path.open('rb') as file:
            return _read_model(file, os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise ModelError(f'cannot read {path}: {error.strerror}') from error
    except (_MalformedError, UnicodeDecodeError) as error:
        raise ModelError(f'{path} is damaged or no ONNX file: {error}') from error


def _read_model(file: BinaryIO, size: int) -> dict[str, str]:
    metadata = {}
    has_graph = False
    for field, wire, length in _fields(file, size):
        if field > _LAST_FIELD:
            raise _MalformedError(f'unknown field {field} at byte {file.tell()}')
        if field in (_GRAPH, _METADATA_PROPS) and wire != _LENGTH:
            raise _MalformedError(f'field {field} is a number at byte {file.tell()}')
        has_graph = has_graph or (field == _GRAPH and length > 0)
        if field == _METADATA_PROPS:
            key, value = _read_entry(file, length)
            metadata[key] = value
    if not has_graph:
        raise _MalformedError('it holds no graph')
    return metadata


def _read_entry(file: BinaryIO, length: int) -> tuple[str, str]:
    if length > _MAX_METADATA_BYTES:
        raise _MalformedError(f'a metadata entry of {length} bytes')
    texts = {_KEY: b'', _VALUE: b''}
    for field, wire, part in _fields(file, file.tell() + length):
        if field in texts and wire == _LENGTH:
            texts[field] = file.read(part)
    return texts[_KEY].decode(), texts[_VALUE].decode()


def _fields(file: BinaryIO, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield (field number, wire type, bytes of its value), the file standing at the value."""
    while file.tell() < end:
        tag = _read_varint(file)
        field, wire = tag >> 3, tag & 7
        if field == 0:
            raise _MalformedError(f'field 0 at byte {file.tell()}')
        if wire == _VARINT:
            _read_varint(file)
            length = 0
        elif wire == _LENGTH:
            length = _read_varint(file)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise _MalformedError(f'wire type {wire} at byte {file.tell()}')
        start = file.tell()
        if start + length > end:
            raise _MalformedError(f'field {field} ends {start + length - end} bytes too late')
        yield field, wire, length
        file.seek(start + length)


def _read_varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise _MalformedError('it ends in the middle of a number')
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise _MalformedError(f'a number of more than ten bytes at byte {file.tell()}')
