"""Engines of every family by the real TensorRT-RTX, whose ahead-of-time builder needs no GPU."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny_depth_pro
from tiny_networks import SAMPLES, SPEC, frames

from depth_ros.backends import UNWATCHED, EngineOptions, LoadingCancelledError
from depth_ros.backends.engines.building import build_engine
from depth_ros.backends.engines.library import Flavour, Log, find_library
from depth_ros.cli.main import main
from depth_ros.errors import BackendError
from depth_ros.model_folder.model import Model
from depth_ros.model_folder.spec import Precision
from training.export.graphs import disparity_graphs
from training.export.model_folder import convert_to_half, export_model
from training.int8.graph import to_int8
from training.networks.build import DecoderKind, NetworkConfig, build_depth_net, build_pose_net

pytest.importorskip('tensorrt_rtx_bindings', reason='needs TensorRT-RTX, which is for x86-64')

ARCHITECTURES = ('sm_80', 'sm_86', 'sm_89', 'sm_120')
SMALL = NetworkConfig(decoder_channels=(8, 16, 16, 24, 24), decoder_width=32, pose_channels=32)
FAMILIES = {
    'monodepth2, ResNet-18': SMALL,
    'monodepth2, ResNet-50': replace(SMALL, backbone='resnet50'),
    'featdepth': replace(SMALL, decoder=DecoderKind.FEATDEPTH, pose_motions=1),
}
DEPTH_PRO, BUNDLED = 'depth_pro', 'lite0'
EVERY = (*FAMILIES, DEPTH_PRO, BUNDLED)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def model_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Precision], Model]:
    """The model folder of a family in a precision, made when it is first asked for."""
    folder = tmp_path_factory.mktemp('families')
    made: dict[tuple[str, Precision], Model] = {}

    def make(family: str, precision: Precision) -> Model:
        key = (family, precision)
        if key not in made:
            out = folder / f'{family} {precision.value}'
            if precision is Precision.FP16:
                convert_to_half(make(family, Precision.FP32), out)
            elif family == BUNDLED:
                return Model.load(BUNDLED)
            elif family == DEPTH_PRO:
                tiny_depth_pro.write_model(out)
            else:
                config = FAMILIES[family]
                half = 2 if config.decoder is DecoderKind.FEATDEPTH else 1
                spec = replace(SPEC, depth_width=SPEC.width // half,
                               depth_height=SPEC.height // half)  # fmt: skip
                nets = build_depth_net(config), build_pose_net(config)
                export_model(*disparity_graphs(*nets, spec), spec, SAMPLES, out)
            made[key] = Model.load(out)
        return made[key]

    return make


def graphs_of(model: Model) -> list[Path]:
    return [model.depth_path] + ([] if model.pose_path is None else [model.pose_path])


@pytest.mark.parametrize('precision', [Precision.FP32, Precision.FP16], ids=lambda p: p.value)
@pytest.mark.parametrize('family', EVERY)
def test_engines_build_for_every_architecture(model_of, family, precision):
    library = find_library()
    assert library.flavour is Flavour.RTX
    for path in graphs_of(model_of(family, precision)):
        weights = sum(
            onnx.numpy_helper.to_array(tensor).nbytes
            for tensor in onnx.load(path).graph.initializer
        )
        for target in ARCHITECTURES:
            built = build_engine(
                library, path, EngineOptions(max_batch=4), UNWATCHED, target=target
            )
            assert len(built.engine) > 0.8 * weights


@pytest.mark.parametrize('precision', [Precision.FP32, Precision.FP16], ids=lambda p: p.value)
@pytest.mark.parametrize('family', EVERY)
def test_inputs_and_outputs_are_what_the_backend_feeds(model_of, family, precision):
    library, model = find_library(), model_of(family, precision)
    api, spec = library.api, model.spec
    of_any_camera = {'intrinsics': (np.float32, (-1, 4)), 'fov_deg': (np.float32, (-1,))}
    expected = [
        {'image': (np.uint8, (-1, spec.height, spec.width, 3)),
         'depth': (np.float32, (-1, spec.depth_height, spec.depth_width)),
         **(of_any_camera if family == DEPTH_PRO else {})},
        {'previous': (np.uint8, (-1, spec.height, spec.width, 3)),
         'current': (np.uint8, (-1, spec.height, spec.width, 3)),
         'motion': (np.float32, (-1, 6))},
    ]  # fmt: skip
    for path, tensors in zip(graphs_of(model), expected):
        log = Log(library)
        builder = api.Builder(log.logger)
        network = builder.create_network(0)
        assert api.OnnxParser(network, log.logger).parse_from_file(str(path)), log.errors
        found = [network.get_input(i) for i in range(network.num_inputs)]
        found += [network.get_output(i) for i in range(network.num_outputs)]
        told = {one.name: (api.nptype(one.dtype), tuple(one.shape)) for one in found}
        assert told == tensors


def test_eight_bits_build(model_of, tmp_path):
    single = model_of('monodepth2, ResNet-18', Precision.FP32)
    path = tmp_path / 'depth.onnx'
    calibration = [{'image': image[None]} for image in frames(16, seed=1)]
    onnx.save(to_int8(onnx.load(single.depth_path), calibration), path)
    library = find_library()
    sizes = [
        len(build_engine(library, one, EngineOptions(), UNWATCHED, target='sm_89').engine)
        for one in (single.depth_path, path)
    ]
    assert sizes[1] < 0.5 * sizes[0]


def test_every_operator_is_known_and_listed(model_of):
    operators = {
        node.op_type
        for family in EVERY
        for precision in (Precision.FP32, Precision.FP16)
        for path in graphs_of(model_of(family, precision))
        for node in onnx.load(path).graph.node
    }
    library = find_library()
    log = Log(library)
    network = library.api.Builder(log.logger).create_network(0)
    parser = library.api.OnnxParser(network, log.logger)
    assert [name for name in operators if not parser.supports_operator(name)] == []
    text = (ROOT / 'docs' / 'engines.md').read_text()
    assert sorted(name for name in operators if f'`{name}`' not in text) == []


def test_real_builds_tell_their_progress_and_can_be_cancelled():
    path = Model.load(BUNDLED).depth_path
    shares: list[float] = []

    class Watch:
        def __init__(self, last: float) -> None:
            self._last = last

        def tell(self, doing: str, share: float | None = None) -> None:
            assert share is not None
            shares.append(share)

        def cancelled(self) -> bool:
            return shares[-1] > self._last

    build_engine(find_library(), path, EngineOptions(), Watch(2.0), target='sm_89')
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert len(set(shares)) > 20
    shares.clear()
    with pytest.raises(LoadingCancelledError):
        build_engine(find_library(), path, EngineOptions(), Watch(0.3), target='sm_89')
    assert 0.3 < shares[-1] < 0.9


def test_an_interrupt_ends_a_real_build(tmp_path):
    """TensorRT swallows the interrupts that meet its callbacks."""
    command = [sys.executable, '-m', 'depth_ros', 'engine', BUNDLED, '--out', str(tmp_path),
               '--target', *ARCHITECTURES, *ARCHITECTURES, *ARCHITECTURES]  # fmt: skip
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert 'building engine' in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(60) == 130, rest
    assert 'interrupted' in rest


def test_what_the_real_library_refuses_is_one_line(tmp_path):
    library, path = find_library(), Model.load(BUNDLED).depth_path
    broken = tmp_path / 'depth.onnx'
    graph = onnx.load(path)
    graph.graph.node[3].op_type = 'Nonsense'
    onnx.save(graph, broken)
    for options, file, target, words in (
        (EngineOptions(), broken, 'sm_89', 'cannot read'),
        (EngineOptions(), path, 'sm_1', 'allowed: sm_75, sm_80, sm_86, sm_89, sm_120, sm_121'),
        (EngineOptions(fp16=True), path, 'sm_89', 'has no half-precision flag'),
    ):
        with pytest.raises(BackendError, match=words) as caught:
            build_engine(library, file, options, UNWATCHED, target=target)
        assert '\n' not in str(caught.value)


def test_the_verb_takes_a_model_of_any_camera(model_of, tmp_path, capsys):
    model = model_of(DEPTH_PRO, Precision.FP16)
    assert main(['engine', str(model.path), '--target', 'sm_89', '--out', str(tmp_path)]) == 0
    assert capsys.readouterr().out.count('not verified') == 1
    assert [path.name for path in (tmp_path / 'sm_89').iterdir()] == ['depth.engine']


def test_the_verb_writes_engines_for_other_gpus(tmp_path, capsys):
    arguments = ['--target', 'sm_80', 'sm_120', '--out', str(tmp_path / 'engines')]
    assert main(['engine', BUNDLED, *arguments]) == 0
    assert capsys.readouterr().out.count('not verified') == 4
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob('*.engine'))
    assert names == [f'engines/{sm}/{graph}.engine' for sm in ('sm_120', 'sm_80')
                     for graph in ('depth', 'pose')]  # fmt: skip
