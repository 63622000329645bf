"""Export: graphs equal torch, folders are whole or absent, what does not fit is refused."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tiny_networks import (
    CONFIG,
    HEIGHT,
    SAMPLES,
    SPEC,
    WIDTH,
    frames,
    tiny_networks,
    unit_images,
)

from depth_ros.backends import BackendOptions, Device, open_backend
from depth_ros.backends.parity import ACCEPTED
from depth_ros.errors import ModelError
from depth_ros.model_folder.model import Model
from depth_ros.model_folder.spec import ModelSpec, Precision
from training.export.graphs import DepthGraph, PoseGraph, disparity_graphs
from training.export.half_precision import to_half_precision
from training.export.model_folder import convert_to_half, export_model
from training.geometry import disparity_to_depth, motion_to_transform
from training.networks.build import build_depth_net
from training.networks.depth_net import DepthNet
from training.networks.pose_net import PoseNet
from training.samples import SampleFrames
from training.weights import read_weights, save_weights

HALF = replace(SPEC, precision=Precision.FP16, tolerance=ACCEPTED[Precision.FP16])


@pytest.fixture(scope='module')
def nets() -> tuple[DepthNet, PoseNet]:
    """Random networks whose batch norms have seen data, as trained ones have."""
    return tiny_networks()


@pytest.fixture(scope='module')
def exported(nets: tuple[DepthNet, PoseNet], tmp_path_factory) -> Model:
    out = tmp_path_factory.mktemp('models') / 'tiny'
    report = export_model(*disparity_graphs(*nets, SPEC), SPEC, SAMPLES, out)
    assert report.depth_difference < 1e-4
    assert report.motion_difference is not None
    assert report.motion_difference < 1e-4
    assert report.size_bytes == sum(path.stat().st_size for path in out.glob('*.onnx'))
    return Model.load(out)


def run(path: Path, output: str, **inputs: np.ndarray) -> np.ndarray:
    return open_backend(path, BackendOptions(device=Device.CPU, threads=1)).run(inputs)[output]


@pytest.mark.parametrize('count', [1, 3])
def test_depth_graph_is_the_network_for_any_batch(nets, exported: Model, count: int) -> None:
    images = frames(count, seed=7)
    depth = run(exported.depth_path, 'depth', image=images)
    assert depth.dtype == np.float32
    assert depth.shape == (count, HEIGHT, WIDTH)
    with torch.no_grad():
        expected = disparity_to_depth(nets[0](unit_images(images))[0][:, 0], 0.1, 100.0)
    np.testing.assert_allclose(depth, expected.numpy(), rtol=1e-4)


def test_pose_graph_is_the_inverse_of_the_network(nets, exported: Model) -> None:
    assert exported.pose_path is not None
    previous, current = frames(2, seed=8), frames(2, seed=9)
    motion = run(exported.pose_path, 'motion', previous=previous, current=current)
    assert motion.shape == (2, 6)
    with torch.no_grad():
        current_T_previous = motion_to_transform(
            *nets[1](unit_images(previous), unit_images(current))
        )
    answer = torch.from_numpy(motion)
    previous_T_current = motion_to_transform(answer[:, :3], answer[:, 3:])
    product = previous_T_current @ current_T_previous
    torch.testing.assert_close(product, torch.eye(4).expand(2, 4, 4), atol=1e-6, rtol=0)
    assert float(answer.abs().mean()) > 1e-4
    swapped = run(exported.pose_path, 'motion', previous=current, current=previous)
    assert not np.allclose(swapped, motion, rtol=0.01)


def test_samples_hold_what_torch_said(nets, exported: Model) -> None:
    samples = exported.samples()
    assert samples.keys() == {'image', 'depth', 'previous', 'current', 'motion'}
    np.testing.assert_array_equal(samples['image'], SAMPLES.image)
    with torch.no_grad():
        expected = disparity_to_depth(nets[0](unit_images(SAMPLES.image))[0][:, 0], 0.1, 100.0)
    np.testing.assert_allclose(samples['depth'], expected.numpy(), rtol=1e-6)


def test_graph_is_one_plain_file_with_the_spec(exported: Model) -> None:
    assert exported.spec == SPEC
    assert {path.name for path in exported.path.iterdir()} == {
        'depth.onnx', 'pose.onnx', 'samples.npz', 'SHA256SUMS',
    }  # fmt: skip
    for path in (exported.depth_path, exported.pose_path):
        model = onnx.load(path, load_external_data=False)
        operators = {node.op_type for node in model.graph.node}
        assert operators.isdisjoint({'BatchNormalization', 'Shape', 'Loop', 'If', 'Identity'})
        assert all(node.domain == '' for node in model.graph.node)
        assert not any(tensor.external_data for tensor in model.graph.initializer)
        assert not any(node.metadata_props for node in model.graph.node)
        weights = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
        assert path.stat().st_size < weights + 200_000
    result = subprocess.run(
        ['sha256sum', '-c', 'SHA256SUMS'], cwd=exported.path, check=False, capture_output=True
    )
    assert result.returncode == 0


def test_unit_multiplies_depth_and_translation_alike(nets, exported: Model) -> None:
    plain = exported.samples()
    image, previous, current = (
        torch.from_numpy(plain[name]) for name in ('image', 'previous', 'current')
    )
    with torch.no_grad():
        depth = DepthGraph(nets[0], 5.4 * 0.1, 5.4 * 100, finest=0)(image).numpy()
        motion = PoseGraph(nets[1], unit=5.4)(previous, current).numpy()
    np.testing.assert_allclose(depth, 5.4 * plain['depth'], rtol=1e-5)
    np.testing.assert_allclose(motion[:, 3:], 5.4 * plain['motion'][:, 3:], rtol=1e-5)
    np.testing.assert_allclose(motion[:, :3], plain['motion'][:, :3], rtol=1e-6)


def test_half_size_depth_is_the_second_scale(nets, tmp_path: Path) -> None:
    spec = replace(SPEC, depth_width=WIDTH // 2, depth_height=HEIGHT // 2, motion=None)
    export_model(*disparity_graphs(nets[0], None, spec), spec, SAMPLES, tmp_path / 'half_size')
    model = Model.load(tmp_path / 'half_size')
    assert model.pose_path is None
    images = frames(1, seed=5)
    depth = run(model.depth_path, 'depth', image=images)
    with torch.no_grad():
        expected = disparity_to_depth(nets[0](unit_images(images))[1][:, 0], 0.1, 100.0)
    np.testing.assert_allclose(depth, expected.numpy(), rtol=1e-4)


class TestHalfPrecision:
    @pytest.fixture(scope='class')
    def half(self, exported: Model, tmp_path_factory) -> Model:
        out = tmp_path_factory.mktemp('half') / 'model'
        (exported.path / 'README.md').write_text('card')
        report = convert_to_half(exported, out)
        assert 0 < report.depth_difference < 3e-2
        return Model.load(out)

    def test_is_strongly_typed_mixed_precision(self, half: Model) -> None:
        for path in (half.depth_path, half.pose_path):
            assert path is not None
            model = onnx.shape_inference.infer_shapes(
                onnx.load(path), check_type=True, strict_mode=True
            )
            kinds = {info.name: info.type.tensor_type.elem_type for info in model.graph.value_info}
            graph = model.graph
            for node in graph.node:
                if node.op_type == 'Conv':
                    assert kinds[node.output[0]] == onnx.TensorProto.FLOAT16
            for value in graph.output:
                assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
            late = {'Sigmoid', 'Reciprocal', 'ReduceMean', 'Sin', 'Cos', 'Div', 'Sub'}
            for node in graph.node:
                if node.op_type in late and node.output[0] in kinds:
                    assert kinds[node.output[0]] == onnx.TensorProto.FLOAT, node.op_type

    def test_is_half_the_size_and_close_to_torch(self, half: Model, exported: Model) -> None:
        assert half.depth_path.stat().st_size < 0.55 * exported.depth_path.stat().st_size
        images = frames(1, seed=11)
        full = run(exported.depth_path, 'depth', image=images)
        np.testing.assert_allclose(run(half.depth_path, 'depth', image=images), full, rtol=0.03)

    def test_converted_model_keeps_its_card_and_cannot_be_converted_again(
        self, half: Model
    ) -> None:
        assert half.spec == HALF
        assert (half.path / 'README.md').read_text() == 'card'
        with pytest.raises(ModelError, match='is fp16; need an fp32 model'):
            convert_to_half(half, half.path.parent / 'again')

    def test_bounded_activations_and_exported_networks_too(self, nets, tmp_path: Path) -> None:
        """EfficientNet's ReLU6 has constants that turn half with its input."""
        torch.manual_seed(0)
        config = replace(CONFIG, backbone='tf_efficientnet_lite0')
        spec = replace(HALF, motion=None)
        graphs = disparity_graphs(build_depth_net(config), None, spec)
        report = export_model(*graphs, spec, SAMPLES, tmp_path / 'm')
        assert report.depth_difference < 3e-2

    def test_weights_beyond_half_are_refused(self, exported: Model) -> None:
        model = onnx.load(exported.depth_path)
        bias = next(t for t in model.graph.initializer if t.name.endswith('heads.0.bias'))
        bias.CopyFrom(onnx.numpy_helper.from_array(np.full(1, 1e6, np.float32), bias.name))
        with pytest.raises(ModelError, match=r'bias holds 1e\+06, beyond half precision'):
            to_half_precision(model)


def test_weights_to_train_on_from_stay_whole_where_half_precision_ends(tmp_path: Path) -> None:
    state = {'large': torch.full((2, 2), 1e6), 'small': torch.full((2, 2), 0.1)}
    save_weights(state, tmp_path)
    stored = read_weights(tmp_path)
    assert {name: value.dtype for name, value in stored.items()} == {
        'large': torch.float32, 'small': torch.float16,
    }  # fmt: skip
    torch.testing.assert_close(stored['large'], state['large'], rtol=0, atol=0)


def test_an_earlier_model_is_replaced_only_by_a_good_one(nets, tmp_path: Path) -> None:
    depth_net, out = nets[0], tmp_path / 'model'
    spec = replace(SPEC, motion=None)
    graphs = disparity_graphs(depth_net, None, spec)
    depth_net.decoder.train()
    export_model(*graphs, spec, SAMPLES, out)
    assert depth_net.decoder.training  # the networks are left as they were
    assert not depth_net.encoder.training
    depth_net.eval()
    with pytest.raises(ModelError, match=r'depth\.onnx differs from torch by .*allowed: 1e-12'):
        export_model(*graphs, replace(spec, name='b', tolerance=1e-12), SAMPLES, out)
    assert Model.load(out).spec.name == 'tiny'
    export_model(*graphs, replace(spec, name='b'), SAMPLES, out)
    assert Model.load(out).spec.name == 'b'
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize('kind', ['file', 'folder'])
def test_what_is_no_model_is_not_replaced(nets, tmp_path: Path, kind: str) -> None:
    out = tmp_path / 'precious'
    if kind == 'file':
        out.write_text('mine')
    else:
        out.mkdir()
        (out / 'mine.txt').write_text('mine')
    spec = replace(SPEC, motion=None)
    with pytest.raises(ModelError, match='is no model folder; not replaced'):
        export_model(*disparity_graphs(nets[0], None, spec), spec, SAMPLES, out)
    assert out.exists()


@pytest.mark.parametrize(
    ('spec', 'samples', 'message'),
    [
        (replace(SPEC, precision=Precision.INT8), SAMPLES, 'cannot export int8'),
        (replace(SPEC, motion=None), SAMPLES, 'exactly where the model has a pose network'),
        (replace(SPEC, depth_width=WIDTH // 2), SAMPLES, 'depth of 48x64 from 96x64'),
        (SPEC, replace(SAMPLES, image=frames(2, width=64)), r'need uint8 .*\(64, 96, 3\)'),
        (SPEC, replace(SAMPLES, image=SAMPLES.image / 255), 'samples are float64'),
        (SPEC, replace(SAMPLES, image=SAMPLES.image[:0]), r'samples are uint8 \(0,'),
        (SPEC, replace(SAMPLES, current=frames(1)), 'different numbers'),
    ],
)
def test_refuses_what_does_not_fit(
    nets, tmp_path: Path, spec: ModelSpec, samples: SampleFrames, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        export_model(*disparity_graphs(*nets, spec), spec, samples, tmp_path / 'model')
    assert not list(tmp_path.iterdir())
