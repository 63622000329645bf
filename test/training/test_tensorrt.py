"""Whether TensorRT takes the graphs: its ahead-of-time builder needs no GPU.

`pip install tensorrt-rtx` (100 MB, x86-64) is not among the requirements: the tests skip without.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import onnx
import pytest
from tiny_networks import SAMPLES, SPEC, frames, tiny_networks

from depth_ros.model import Model, Precision
from training.export.model_folder import convert_to_half, export_model
from training.int8.graph import to_int8

trt = pytest.importorskip('tensorrt_rtx', reason='needs tensorrt-rtx')
IMAGES = frames(16, seed=1)


@pytest.fixture(scope='module')
def single(tmp_path_factory) -> Model:
    out = tmp_path_factory.mktemp('models') / 'tiny'
    export_model(*tiny_networks(), SPEC, SAMPLES, out)
    return Model.load(out)


@pytest.fixture(params=list(Precision), ids=lambda precision: precision.value)
def graphs(request: pytest.FixtureRequest, single: Model, tmp_path: Path) -> tuple[Path, Path]:
    assert single.pose_path is not None
    if request.param is Precision.FP16:
        convert_to_half(single, tmp_path / 'half')
        return tmp_path / 'half' / 'depth.onnx', tmp_path / 'half' / 'pose.onnx'
    if request.param is Precision.FP32:
        return single.depth_path, single.pose_path
    depth, pose = tmp_path / 'depth.onnx', tmp_path / 'pose.onnx'
    onnx.save(to_int8(onnx.load(single.depth_path), [{'image': i[None]} for i in IMAGES]), depth)
    pairs = [{'previous': a[None], 'current': b[None]} for a, b in pairwise(IMAGES)]
    onnx.save(to_int8(onnx.load(single.pose_path), pairs), pose)
    return depth, pose


def test_engines_build_of_every_precision(graphs: tuple[Path, Path]) -> None:
    for path in graphs:
        assert build(path) > 10_000


def build(path: Path) -> int:
    """Bytes of the engine for GPUs of the Ampere generation, batches of one to four."""
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    parsed = parser.parse_from_file(str(path))
    assert parsed, [str(parser.get_error(i)) for i in range(parser.num_errors)]
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    profile = builder.create_optimization_profile()
    for i in range(network.num_inputs):
        value = network.get_input(i)
        size = tuple(value.shape)[1:]
        profile.set_shape(value.name, (1, *size), (1, *size), (4, *size))
    config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, config)
    assert engine is not None
    return engine.nbytes
