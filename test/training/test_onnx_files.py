"""Graphs whose weights lie in a file of their own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny_depth_pro
from onnx import TensorProto, helper, numpy_helper

from depth_ros.backends import BackendKind, BackendOptions, Device, open_backend
from depth_ros.cameras.rectifier import RectifyMode
from depth_ros.errors import ModelError
from depth_ros.model_folder.onnx_metadata import read_data_files
from training.config import BagSource
from training.export.onnx_files import (
    array_of,
    load_structure,
    refuse_large,
    save_graph,
    without_large_weights,
)
from training.fusion.fit_fusion import FusionSettings, fit_fusion
from training.int8.quantize import convert_to_int8

WEIGHTS = np.random.default_rng(0).normal(size=(128, 256)).astype(np.float32)
X = np.random.default_rng(1).normal(size=(2, 128)).astype(np.float32)


def product() -> onnx.ModelProto:
    """y = x @ weights + bias: 131 kB and 1 kB of constants."""
    nodes = [
        helper.make_node('MatMul', ['x', 'weights'], ['product']),
        helper.make_node('Add', ['product', 'bias'], ['y']),
    ]
    constants = [
        numpy_helper.from_array(WEIGHTS, 'weights'),
        numpy_helper.from_array(np.ones(256, np.float32), 'bias'),
    ]
    graph = helper.make_graph(
        nodes, 'product',
        [helper.make_tensor_value_info('x', TensorProto.FLOAT, ['N', 128])],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, ['N', 256])],
        constants,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=10)


@pytest.mark.parametrize('kind', [BackendKind.ONNXRUNTIME, BackendKind.OPENVINO])
@pytest.mark.parametrize('max_bytes', [1_000_000, 100_000])
def test_every_runtime_opens_what_is_written(
    tmp_path: Path, kind: BackendKind, max_bytes: int
) -> None:
    path = tmp_path / 'depth.onnx'
    save_graph(product(), path, max_bytes=max_bytes)
    with closing(open_backend(path, BackendOptions(kind, Device.CPU, threads=1))) as backend:
        np.testing.assert_allclose(backend.run({'x': X})['y'], X @ WEIGHTS + 1, rtol=1e-4)


def test_a_graph_stays_one_file_up_to_the_limit(tmp_path: Path) -> None:
    save_graph(product(), tmp_path / 'depth.onnx', max_bytes=128 * 256 * 4 + 1024)
    assert [path.name for path in tmp_path.iterdir()] == ['depth.onnx']
    assert read_data_files(tmp_path / 'depth.onnx') == frozenset()


def test_above_the_limit_large_weights_lie_beside_it(tmp_path: Path) -> None:
    path = tmp_path / 'depth.onnx'
    save_graph(product(), path, max_bytes=128 * 256 * 4 + 1023)
    assert read_data_files(path) == {'depth.onnx.data'}
    assert path.stat().st_size < 3000
    data = (tmp_path / 'depth.onnx.data').read_bytes()
    np.testing.assert_array_equal(np.frombuffer(data, np.float32).reshape(128, 256), WEIGHTS)
    found = {t.name: t for t in load_structure(path).graph.initializer}
    np.testing.assert_array_equal(array_of(found['weights'], tmp_path), WEIGHTS)
    assert not found['bias'].external_data


@pytest.mark.parametrize('max_bytes', [1_000_000, 100_000])
def test_weights_move_from_one_folder_to_another(tmp_path: Path, max_bytes: int) -> None:
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
    save_graph(product(), tmp_path / 'a' / 'depth.onnx', max_bytes=100_000)
    structure = load_structure(tmp_path / 'a' / 'depth.onnx')
    save_graph(structure, tmp_path / 'b' / 'depth.onnx', tmp_path / 'a', max_bytes)
    moved = onnx.load(tmp_path / 'b' / 'depth.onnx').graph.initializer
    np.testing.assert_array_equal(numpy_helper.to_array(moved[0]), WEIGHTS)
    assert (tmp_path / 'b' / 'depth.onnx.data').exists() == (max_bytes < 132_000)


def test_types_are_seen_without_the_weights() -> None:
    model = product()
    light = without_large_weights(model)
    assert light.ByteSize() < 3000
    assert model.ByteSize() > WEIGHTS.nbytes
    inferred = onnx.shape_inference.infer_shapes(light)
    assert inferred.graph.value_info[0].type.tensor_type.elem_type == TensorProto.FLOAT


def in_attribute(model: onnx.ModelProto, tensor: TensorProto) -> None:
    model.graph.node.append(helper.make_node('Constant', [], ['c'], value=tensor))


def in_branch(model: onnx.ModelProto, tensor: TensorProto) -> None:
    branch = helper.make_graph([], 'branch', [], [], [tensor])
    model.graph.node.append(helper.make_node('If', ['x'], ['c'], then_branch=branch))


def in_function(model: onnx.ModelProto, tensor: TensorProto) -> None:
    node = helper.make_node('Constant', [], ['c'], value=tensor)
    model.functions.append(helper.make_function('own', 'f', [], ['c'], [node], []))


def in_sparse(model: onnx.ModelProto, tensor: TensorProto) -> None:
    model.graph.sparse_initializer.add().values.CopyFrom(tensor)


@pytest.mark.parametrize('hide', [in_attribute, in_branch, in_function, in_sparse])
def test_files_of_weights_are_found_wherever_they_are_named(
    tmp_path: Path, hide: Callable[[onnx.ModelProto, TensorProto], None]
) -> None:
    tensor = numpy_helper.from_array(np.ones(4, np.float32), 'hidden')
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key='location', value='../../etc/passwd')
    model = product()
    hide(model, tensor)
    (tmp_path / 'depth.onnx').write_bytes(model.SerializeToString())
    assert read_data_files(tmp_path / 'depth.onnx') == {'../../etc/passwd'}


def grown(path: Path, megabytes: int) -> Path:
    """The graph of a file with so much more of weights, as far as its structure tells."""
    model = load_structure(path)
    more = model.graph.initializer.add(
        name='more', dims=[megabytes, 250_000], data_type=TensorProto.FLOAT,
        data_location=TensorProto.EXTERNAL,
    )  # fmt: skip
    more.external_data.add(key='location', value='more.data')
    path.write_bytes(model.SerializeToString())
    return path


def test_too_large_a_graph_is_refused_by_its_size(tmp_path: Path) -> None:
    path = tmp_path / 'depth.onnx'
    onnx.save(product(), path)
    refuse_large(path, 'int8')
    refuse_large(grown(path, 1990), 'int8')
    onnx.save(product(), path)
    with pytest.raises(ModelError, match=r'depth.onnx has 3.80 GB of weights; int8 takes 2.00 GB'):
        refuse_large(grown(path, 3800), 'int8')


def test_it_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    model = tiny_depth_pro.write_model(tmp_path / 'model')
    grown(model.depth_path, 3800)
    told: list[str] = []
    sources = BagSource(tmp_path / 'no_bag')
    with pytest.raises(ModelError, match='int8 takes'):
        convert_to_int8(model, sources, RectifyMode.AUTO, tmp_path / 'int8', told.append)
    with pytest.raises(ModelError, match='fit-fusion takes'):
        fit_fusion(
            model, (sources,), RectifyMode.AUTO, FusionSettings(), tmp_path / 'fused', told.append
        )
    assert not told
    assert [path.name for path in tmp_path.iterdir()] == ['model']
