"""Depth Pro's graph: bytes and a focal length in, metres and the field of view out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny_depth_pro as tiny
import torch
from onnx import TensorProto

from depth_ros.backends import Backend, BackendKind, BackendOptions, Device, open_backend
from depth_ros.backends.agreement import depth_difference
from depth_ros.errors import ModelError
from depth_ros.model_folder.model import Model
from depth_ros.model_folder.onnx_metadata import read_data_files
from depth_ros.model_folder.spec import Precision
from training.export.graphs import DepthProGraph
from training.export.model_folder import convert_to_half, export_model
from training.networks.canonical import canonical_to_depth, focal_of_fov

FOCAL = 150.0


@pytest.fixture(scope='module')
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny.write_model(tmp_path_factory.mktemp('models') / 'tiny')


@pytest.fixture(scope='module', params=[BackendKind.ONNXRUNTIME, BackendKind.OPENVINO])
def backend(request: pytest.FixtureRequest, model: Model) -> Iterator[Backend]:
    options = BackendOptions(request.param, Device.CPU, threads=1)
    with closing(open_backend(model.depth_path, options)) as opened:
        yield opened


def asked(images: np.ndarray, *focals: float) -> dict[str, np.ndarray]:
    return {'image': images, 'intrinsics': tiny.cameras(*focals)}


def torch_answers(images: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.no_grad():
        canonical, fov_deg = tiny.network()(
            torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        )
    assert fov_deg is not None
    return canonical[:, 0], fov_deg


@pytest.mark.parametrize('count', [1, 3])
def test_graph_is_the_network_for_any_batch(backend: Backend, count: int) -> None:
    images, focals = tiny.pictures(count, seed=7), [100.0, 200.0, 350.0][:count]
    answers = backend.run(asked(images, *focals))
    assert answers['depth'].dtype == answers['fov_deg'].dtype == np.float32
    canonical, fov_deg = torch_answers(images)
    expected = canonical_to_depth(canonical, torch.tensor(focals), tiny.SIDE)
    np.testing.assert_allclose(answers['depth'], expected.numpy(), rtol=1e-3)
    np.testing.assert_allclose(answers['fov_deg'], fov_deg.numpy(), rtol=1e-4)
    assert float(np.std(answers['depth'][0])) > 0.01


def test_depth_is_proportional_to_the_focal_length(backend: Backend) -> None:
    images = tiny.pictures(1, seed=3)
    once = backend.run(asked(images, FOCAL))['depth'].copy()
    twice = backend.run(asked(images, 2 * FOCAL))['depth']
    away = twice < 1e4
    assert away.mean() > 0.5
    np.testing.assert_allclose(twice[away], 2 * once[away], rtol=1e-5)


def test_without_a_focal_length_the_network_takes_its_own(backend: Backend) -> None:
    images = tiny.pictures(1, seed=4)
    answers = backend.run(asked(images, 0.0))
    own, fov_deg = answers['depth'].copy(), torch.from_numpy(answers['fov_deg'].copy())
    focal = float(focal_of_fov(fov_deg, tiny.SIDE))
    np.testing.assert_allclose(backend.run(asked(images, focal))['depth'], own, rtol=1e-5)
    assert not np.allclose(backend.run(asked(images, FOCAL))['depth'], own, rtol=0.01)


def test_samples_ask_with_and_without_a_focal_length(model: Model) -> None:
    samples = model.samples()
    assert samples.keys() == {'image', 'intrinsics', 'depth', 'fov_deg'}
    assert samples['intrinsics'][:, 0].tolist() == [tiny.SIDE, 0.0]
    canonical, fov_deg = torch_answers(samples['image'])
    np.testing.assert_allclose(samples['fov_deg'], fov_deg.numpy(), rtol=1e-5)
    focals = torch.stack([torch.tensor(float(tiny.SIDE)), focal_of_fov(fov_deg, tiny.SIDE)[1]])
    expected = canonical_to_depth(canonical, focals, tiny.SIDE)
    np.testing.assert_allclose(samples['depth'], expected.numpy(), rtol=1e-4)


def test_a_network_without_the_head_answers_depth_alone(tmp_path: Path) -> None:
    model = tiny.write_model(tmp_path / 'model', fov=False)
    assert model.samples().keys() == {'image', 'intrinsics', 'depth'}
    options = BackendOptions(BackendKind.ONNXRUNTIME, Device.CPU, threads=1)
    with closing(open_backend(model.depth_path, options)) as backend:
        assert backend.run(asked(tiny.pictures(1), FOCAL)).keys() == {'depth'}


@pytest.mark.parametrize(
    ('intrinsics', 'told'),
    [
        (None, 'missing'),
        (np.ones((2, 4)), r'float64 \(2, 4\)'),
        (np.ones((1, 4), np.float32), r'float32 \(1, 4\)'),
    ],
)
def test_samples_need_intrinsics(
    tmp_path: Path, intrinsics: np.ndarray | None, told: str
) -> None:
    samples = replace(tiny.samples(), intrinsics=intrinsics)
    with pytest.raises(ModelError, match=f'intrinsics of the samples are {told}; need float32'):
        export_model(
            DepthProGraph(tiny.network()), None, tiny.SPEC, samples, tmp_path / 'model'
        )


class TestHalfPrecision:
    @pytest.fixture(scope='class')
    def half(self, model: Model, tmp_path_factory: pytest.TempPathFactory) -> Model:
        out = tmp_path_factory.mktemp('half') / 'model'
        assert 0 < convert_to_half(model, out).depth_difference < 5e-3
        return Model.load(out)

    def test_what_needs_single_precision_keeps_it(self, half: Model) -> None:
        graph = onnx.shape_inference.infer_shapes(
            onnx.load(half.depth_path), check_type=True, strict_mode=True
        ).graph
        kinds = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
        of = {kind: set[int]() for kind in {node.op_type for node in graph.node}}
        for node in graph.node:
            of[node.op_type].add(kinds.get(node.output[0], TensorProto.FLOAT))
        for kind in ('Conv', 'ConvTranspose', 'MatMul', 'Softmax', 'Erf'):
            assert of[kind] == {TensorProto.FLOAT16}, kind
        for kind in ('LayerNormalization', 'Resize', 'Tan', 'Reciprocal', 'Clip'):
            assert of[kind] == {TensorProto.FLOAT}, kind
        weights = {t.name: t.data_type for t in graph.initializer}
        assert weights['net.encoder.patch_encoder.norm.weight'] == TensorProto.FLOAT
        assert {value.type.tensor_type.elem_type for value in graph.output} == {TensorProto.FLOAT}

    def test_it_answers_as_the_network_does(self, half: Model) -> None:
        images = tiny.pictures(1, seed=5)
        options = BackendOptions(BackendKind.ONNXRUNTIME, Device.CPU, threads=1)
        with closing(open_backend(half.depth_path, options)) as backend:
            answers = backend.run(asked(images, FOCAL))
        canonical, fov_deg = torch_answers(images)
        expected = canonical_to_depth(canonical, FOCAL, tiny.SIDE).numpy()
        assert depth_difference(answers['depth'], expected, Precision.FP16) < 5e-3
        np.testing.assert_allclose(answers['fov_deg'], fov_deg.numpy(), rtol=2e-3)
        assert half.depth_path.stat().st_size < 2_200_000


def test_weights_beside_the_graph_are_the_same_model(model: Model, tmp_path: Path) -> None:
    split = tiny.write_model(tmp_path / 'split', max_file_bytes=100_000)
    assert read_data_files(split.depth_path) == {'depth.onnx.data'}
    assert (split.path / 'depth.onnx.data').stat().st_size > 500_000
    asking = asked(tiny.pictures(1), FOCAL)
    answers = []
    for one in (model, split):
        options = BackendOptions(BackendKind.ONNXRUNTIME, Device.CPU, threads=1)
        with closing(open_backend(one.depth_path, options)) as backend:
            answers.append(backend.run(asking)['depth'])
    np.testing.assert_array_equal(*answers)
    convert_to_half(split, tmp_path / 'half')
    assert {path.name for path in (tmp_path / 'half').iterdir()} == {
        'depth.onnx', 'samples.npz', 'SHA256SUMS'
    }  # fmt: skip
    convert_to_half(split, tmp_path / 'half_split', max_file_bytes=100_000)
    assert (tmp_path / 'half_split' / 'depth.onnx.data').is_file()


def test_attention_is_what_runtimes_fuse(model: Model) -> None:
    """Keys turned by one Transpose, queries scaled, and no shapes computed on the way."""
    graph = onnx.load(model.depth_path).graph
    maker = {name: node for node in graph.node for name in node.output}
    softmaxes = [node for node in graph.node if node.op_type == 'Softmax']
    assert len(softmaxes) == 3 * tiny.SIZES.blocks
    for softmax in softmaxes:
        scores = maker[softmax.input[0]]
        assert scores.op_type == 'MatMul'
        assert [maker[name].op_type for name in scores.input] == ['Mul', 'Transpose']
    assert sum(node.op_type == 'Shape' for node in graph.node) < 5
