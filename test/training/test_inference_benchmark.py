"""What the inference benchmark sets side by side is the same work, and counted rightly."""

from __future__ import annotations

import argparse
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tiny_networks import HEIGHT, WIDTH
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.fma_peak import build_peak, measure_peak
from benchmarks.inference_subjects import (
    bundled_graphs,
    count_multiply_adds,
    depth_runs,
    eager,
    pictures,
    plain_depth,
    plain_pose,
    pose_runs,
)
from benchmarks.plain_networks import PlainNetworks
from benchmarks.sizes import parse_size
from depth_ros.backends import BackendKind, BackendOptions, Device, open_backend
from depth_ros.backends.eight_bits import sums_bytes_exactly
from depth_ros.errors import DepthRosError
from depth_ros.model_folder.model import DEFAULT_MODEL, Model
from training.export.graphs import DepthGraph, PoseGraph
from training.int8.graph import to_int8
from training.official.monodepth2_files import read_official


@pytest.fixture(scope='module')
def lite0() -> Model:
    return Model.load(Path(DEFAULT_MODEL))


@pytest.fixture(scope='module')
def images(lite0: Model) -> np.ndarray:
    return pictures(lite0.spec.width, lite0.spec.height, 6)


def test_multiply_adds_are_those_that_torch_counts(lite0: Model) -> None:
    spec = lite0.spec
    image = torch.zeros(1, spec.height, spec.width, 3, dtype=torch.uint8)
    for name, graph in bundled_graphs(lite0).items():
        graph.eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            graph(*([image] if name == 'depth' else [image, image]))
        path = lite0.depth_path if name == 'depth' else lite0.pose_path
        assert path is not None
        assert count_multiply_adds(onnx.load(path)) == counter.get_total_flops() / 2


def test_the_bundled_networks_answer_as_their_graphs(lite0: Model, images: np.ndarray) -> None:
    assert lite0.pose_path is not None
    graphs = bundled_graphs(lite0)
    for path, output, inputs in ((lite0.depth_path, 'depth', depth_runs(images)[0]),
                                 (lite0.pose_path, 'motion', pose_runs(images)[0])):  # fmt: skip
        options = BackendOptions(BackendKind.ONNXRUNTIME, Device.CPU, threads=1)
        with closing(open_backend(path, options)) as backend:
            expected = backend.run(inputs)[output]
        # The weights beside the graphs are rounded to half precision.
        answer = eager(graphs[output])(inputs)
        assert np.abs(answer - expected).mean() < 2e-3 * np.abs(expected).mean()


def test_the_papers_code_answers_as_the_networks_do(tmp_path: Path) -> None:
    torch.manual_seed(1)
    plain = PlainNetworks(18).eval()
    ours = read_official(plain.save(tmp_path / 'official', WIDTH, HEIGHT))
    assert ours.pose_net is not None
    pair = pose_runs(pictures(WIDTH, HEIGHT, 4))[0]
    image = {'image': pair['previous']}
    for run, graph, inputs in (
        (plain_depth(plain), DepthGraph(ours.depth_net, 0.1, 100.0, 0), image),
        (plain_pose(plain), PoseGraph(ours.pose_net, 1.0), pair),
    ):
        np.testing.assert_allclose(run(inputs), eager(graph)(inputs), rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_openvino_computes_the_bundled_networks_in_eight_bits_as_onnx_runtime_does(
    lite0: Model, images: np.ndarray, tmp_path: Path
) -> None:
    """Motions are the delicate ones: they come of concatenated features."""
    pytest.importorskip('openvino', reason='openvino is not installed')
    assert lite0.pose_path is not None
    for path, output, runs, allowed in (
        (lite0.depth_path, 'depth', depth_runs(images), 0.02),
        (lite0.pose_path, 'motion', pose_runs(images), 0.02),
    ):
        eight = tmp_path / path.name
        onnx.save(to_int8(onnx.load(path), runs), eight)
        answers = []
        for kind in (BackendKind.ONNXRUNTIME, BackendKind.OPENVINO):
            with closing(open_backend(eight, BackendOptions(kind, Device.CPU, 1))) as backend:
                answers.append(np.concatenate([backend.run(run)[output] for run in runs]))
                if kind is BackendKind.OPENVINO:
                    assert (', int8' in backend.description) == sums_bytes_exactly()
        expected, found = answers
        assert np.abs(found - expected).mean() < allowed * np.abs(expected).mean()


@pytest.mark.skipif(shutil.which('gcc') is None, reason='gcc is not installed')
def test_the_peak_is_of_this_machine(tmp_path: Path) -> None:
    program = build_peak(tmp_path)
    peaks = measure_peak(program, 1, 20)
    # Not which is highest: AVX-512 multiplies bfloat16 at half the rate of fp32 on some CPUs.
    assert set(peaks) <= {'fp32', 'bf16', 'int8'}
    assert all(1e8 < rate < 1e13 for rate in peaks.values())


def test_the_peak_without_a_compiler_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(DepthRosError, match='install gcc'):
        build_peak(tmp_path)


@pytest.mark.parametrize(
    'text', ['640', '640x', 'x192', '640x190', '0x192', '640*192', '-640x192']
)
def test_sizes_that_no_network_takes(text: str) -> None:
    assert parse_size('640x192') == (640, 192)
    with pytest.raises(argparse.ArgumentTypeError, match='multiples of 32'):
        parse_size(text)


def test_a_graph_without_known_shapes_is_refused_not_counted_as_nothing() -> None:
    value = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node('Conv', ['x', 'w'], ['y'])
    graph = onnx.helper.make_graph(
        [node], 'g', [value('x', 1, ['N', 3, 8, 8]), value('w', 1, None)], [value('y', 1, None)]
    )
    with pytest.raises(DepthRosError, match='y cannot be inferred'):
        count_multiply_adds(onnx.helper.make_model(graph))
