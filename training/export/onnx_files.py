"""ONNX files: one for each graph, and above 2 GB, which protobuf cannot hold, one of its weights.

A graph in memory may have its large weights in a file too; functions that look at these are told
its folder.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, external_data_helper, numpy_helper

from depth_ros.errors import ModelError
from depth_ros.model_folder.model import data_file_of

MAX_FILE_BYTES = 2_000_000_000
"""Of one file with all its weights; protobuf ends at 2^31."""
_LARGE_BYTES = 1 << 16
_ALIGNMENT = 1 << 16
"""Weights begin at multiples of it, so that runtimes may map the file into memory."""


def load_structure(path: Path) -> ModelProto:
    """A graph without what lies in a file of its own."""
    return onnx.load(path, load_external_data=False)


def refuse_large(path: Path, method: str) -> None:
    """Tell early that a method, which holds graphs as one file, cannot take this one.

    Raises:
        ModelError: the weights are too large.
    """
    size = sum(map(_bytes_of, load_structure(path).graph.initializer))
    if size > MAX_FILE_BYTES:
        raise ModelError(
            f'{path} has {size / 1e9:.2f} GB of weights; {method} takes '
            f'{MAX_FILE_BYTES / 1e9:.2f} GB at most'
        )


def array_of(tensor: TensorProto, folder: Path | None) -> np.ndarray:
    """The values of a constant."""
    return numpy_helper.to_array(tensor, '' if folder is None else str(folder))


def without_large_weights(model: ModelProto) -> ModelProto:
    """A copy to look at types and shapes in: large constants have no values."""
    light = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph, of = light.graph, model.graph
    graph.name = of.name
    graph.node.extend(of.node)
    graph.input.extend(of.input)
    graph.output.extend(of.output)
    for tensor in of.initializer:
        if _bytes_of(tensor) < _LARGE_BYTES and not _is_external(tensor):
            graph.initializer.append(tensor)
        else:
            graph.initializer.add(name=tensor.name, dims=tensor.dims, data_type=tensor.data_type)
    return light


def save_graph(
    model: ModelProto, path: Path, folder: Path | None = None, max_bytes: int = MAX_FILE_BYTES
) -> None:
    """Write a graph, above max_bytes with its large weights in a file beside it.

    Args:
        model: changed on the way, and not to be used afterwards.
        path: of the graph; the other file is called after it.
        folder: where the file of large weights is, for a graph that has one.
        max_bytes: of one file.

    Raises:
        ModelError: a file cannot be written.
    """
    try:
        if sum(map(_bytes_of, model.graph.initializer)) <= max_bytes:
            if folder is not None:
                external_data_helper.load_external_data_for_model(model, str(folder))
        else:
            _move_weights(model, data_file_of(path), folder)
        onnx.save(model, path)
    except OSError as error:
        raise ModelError(f'cannot write {path}: {error.strerror}') from error
    onnx.checker.check_model(str(path), full_check=True)


def _move_weights(model: ModelProto, data: Path, folder: Path | None) -> None:
    with data.open('wb') as file:
        for tensor in model.graph.initializer:
            length = _bytes_of(tensor)
            if length < _LARGE_BYTES:
                if _is_external(tensor):
                    external_data_helper.load_external_data_for_tensor(tensor, str(folder))
                continue
            file.seek(-file.tell() % _ALIGNMENT, 1)
            offset = file.tell()
            array_of(tensor, folder).tofile(file)
            tensor.ClearField('raw_data')
            tensor.ClearField('external_data')
            tensor.data_location = TensorProto.EXTERNAL
            about = {'location': data.name, 'offset': offset, 'length': length}
            for key, value in about.items():
                tensor.external_data.add(key=key, value=str(value))


def _is_external(tensor: TensorProto) -> bool:
    return tensor.data_location == TensorProto.EXTERNAL


def _bytes_of(tensor: TensorProto) -> int:
    of_one = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    return int(np.prod(tensor.dims, dtype=np.int64)) * of_one
