"""Reads what an ONNX file says of itself, without loading it and without the onnx package.

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
_MAX_LOCATION_BYTES = 4096
_MAX_DEPTH = 64
"""Of graphs within nodes within graphs."""
_PARTS = {
    'model': {7: 'graph', 20: 'training', 25: 'function'},
    'training': {1: 'graph', 2: 'graph'},
    'function': {7: 'node', 11: 'attribute'},
    'graph': {1: 'node', 5: 'tensor', 15: 'sparse tensor'},
    'node': {5: 'attribute'},
    'attribute': {
        5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph', 22: 'sparse tensor',
        23: 'sparse tensor',
    },
    'sparse tensor': {1: 'tensor', 2: 'tensor'},
    'tensor': {13: 'external data'},
}  # fmt: skip
"""Fields of each message that lead to tensors, whose values may lie in another file."""


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


def read_data_files(path: Path) -> frozenset[str]:
    """The files that hold values of an ONNX file's tensors, as it names them.

    Raises:
        ModelError: the file is missing, truncated, or no ONNX file.
    """
    found: set[str] = set()
    try:
        with path.open('rb') as file:
            _find_data_files(file, os.fstat(file.fileno()).st_size, 'model', 0, found)
    except OSError as error:
        raise ModelError(f'cannot read {path}: {error.strerror}') from error
    except (_MalformedError, UnicodeDecodeError) as error:
        raise ModelError(f'{path} is damaged or no ONNX file: {error}') from error
    return frozenset(found)


def _find_data_files(file: BinaryIO, end: int, message: str, depth: int, found: set[str]) -> None:
    if depth > _MAX_DEPTH:
        raise _MalformedError(f'more than {_MAX_DEPTH} messages within each other')
    for field, wire, length in _fields(file, end):
        part = _PARTS[message].get(field)
        if part is None or wire != _LENGTH:
            continue
        if part == 'external data':
            key, value = _read_entry(file, length, _MAX_LOCATION_BYTES)
            if key == 'location':
                found.add(value)
        else:
            _find_data_files(file, file.tell() + length, part, depth + 1, found)


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
            key, value = _read_entry(file, length, _MAX_METADATA_BYTES)
            metadata[key] = value
    if not has_graph:
        raise _MalformedError('it holds no graph')
    return metadata


def _read_entry(file: BinaryIO, length: int, longest: int) -> tuple[str, str]:
    if length > longest:
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
