"""`depth_ros fit-fusion`: a model folder like any other, with crops and combination inside."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from recordings import PERIOD_NS, write_recording
from tiny_networks import SAMPLES, SPEC, contrasted_networks, frames

from depth_ros.backends import BackendKind, BackendOptions, Device, open_backend
from depth_ros.backends.engines.building import build_engine
from depth_ros.backends.engines.library import find_library
from depth_ros.backends.loading import UNWATCHED
from depth_ros.backends.options import EngineOptions
from depth_ros.bags import Selection
from depth_ros.cameras.rectifier import RectifyMode
from depth_ros.cli.main import main
from depth_ros.errors import BagError, ConfigError, ModelError
from depth_ros.evaluation.evaluate import EvaluationRequest, evaluate
from depth_ros.model_folder.model import Model
from depth_ros.model_folder.spec import ModelSpec, Precision, ScaleKind
from depth_ros.pipeline import DepthPipeline
from training.config import BagSource
from training.export.graphs import DepthGraph, disparity_graphs, module_to_onnx
from training.export.model_folder import convert_to_half, export_model
from training.fusion.combination import CombinationWeights
from training.fusion.corner_crops import Candidates, CropSizes
from training.fusion.fit_fusion import FUSION_FILE, FusionReport, FusionSettings, fit_fusion
from training.fusion.graph import Stage, wrap_graph
from training.fusion.stages import (
    CombineStage,
    CropIntrinsics,
    CropStage,
    ShrinkStage,
)

FRAMES = 24


def candidates_of(weights: CombinationWeights) -> Candidates:
    """Those that weights belong to, of a network with maps of its input's size."""
    sizes = CropSizes(weights.image, (64, 96), (64, 96), weights.grid)
    return Candidates(weights.ratios, weights.mirrored, sizes)
SETTINGS = FusionSettings(ratios=(1.0, 0.75), grid=(48, 32), ridge=0.01, bias=1.0)
ONNX_RUNTIME = BackendOptions(BackendKind.ONNXRUNTIME, Device.CPU)


@pytest.fixture(scope='module', autouse=True)
def cache_home(tmp_path_factory) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('cache')))
        yield


@pytest.fixture(scope='module')
def bag(tmp_path_factory) -> Path:
    return write_recording(tmp_path_factory.mktemp('bags') / 'waves', frames=FRAMES)


def metric_spec() -> ModelSpec:
    return replace(SPEC, scale=ScaleKind.METRIC, scale_source='depth truth',
                   motion=replace(SPEC.motion, interval_s=PERIOD_NS * 1e-9))  # fmt: skip


@pytest.fixture(scope='module')
def model(tmp_path_factory) -> Model:
    out = tmp_path_factory.mktemp('models') / 'tiny'
    spec = metric_spec()
    export_model(*disparity_graphs(*contrasted_networks(), spec), spec, SAMPLES, out)
    return Model.load(out)


@pytest.fixture(scope='module')
def fused(tmp_path_factory, model, bag) -> tuple[Model, FusionReport]:
    out = tmp_path_factory.mktemp('fused') / 'fused'
    sources = (BagSource(bag, last=16),)
    report = fit_fusion(model, sources, RectifyMode.AUTO, SETTINGS, out, lambda _: None)
    return Model.load(out), report


def test_the_folder_says_what_it_takes_and_answers(model, fused) -> None:
    spec = fused[0].spec
    assert (spec.width, spec.height) == (128, 86)  # 96 x 64 / 0.75
    assert (spec.depth_width, spec.depth_height) == (48, 32)
    assert spec.family == 'monodepth2, combined in the Fourier domain'
    assert spec.training_run.endswith('4 candidates combined on waves')
    assert spec.motion == model.spec.motion
    weights = CombinationWeights.load(fused[0].path / FUSION_FILE)
    assert (weights.images, weights.image, weights.grid) == (16, (86, 128), (32, 48))


def test_the_graph_computes_what_torch_does_and_holds_no_transform(fused) -> None:
    weights = CombinationWeights.load(fused[0].path / FUSION_FILE)
    candidates = candidates_of(weights)
    spec = fused[0].spec
    network = DepthGraph(contrasted_networks()[0], spec.min_depth, spec.max_depth, 0)
    combine = CombineStage(candidates, weights, spec.min_depth, spec.max_depth)
    images = np.random.default_rng(4).integers(0, 256, (3, 86, 128, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = combine(network(CropStage(candidates)(torch.from_numpy(images)))).numpy()
    backend = open_backend(fused[0].depth_path, ONNX_RUNTIME)
    found = backend.run({'image': images})['depth']
    backend.close()
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    operators = {node.op_type for node in onnx.load(fused[0].depth_path).graph.node}
    assert not {name for name in operators if 'DFT' in name}
    assert not {'Einsum', 'GridSample'} & operators


def test_the_pose_network_sees_the_picture_shrunk(model, fused) -> None:
    previous, current = (frames(2, seed, 128).repeat(2, 1)[:, :86] for seed in (1, 2))
    shrink = ShrinkStage((86, 128), (64, 96))
    small = {
        name: shrink(torch.from_numpy(images.copy())).to(torch.uint8).numpy()
        for name, images in (('previous', previous), ('current', current))
    }
    backends = [open_backend(one.pose_path, ONNX_RUNTIME) for one in (model, fused[0])]
    expected = backends[0].run({name: np.ascontiguousarray(a) for name, a in small.items()})
    found = backends[1].run({'previous': np.ascontiguousarray(previous),
                             'current': np.ascontiguousarray(current)})  # fmt: skip
    for backend in backends:
        backend.close()
    np.testing.assert_allclose(found['motion'], expected['motion'], rtol=1e-3, atol=1e-5)


def test_the_combination_is_better_than_each_candidate_where_it_was_fitted(fused) -> None:
    report = fused[1]
    assert len(report.candidate_rmse_m) == 4
    assert report.crops == 2 * (1 + 4)
    assert report.combined_rmse_m < min(report.candidate_rmse_m)
    assert 'fitted on 16 frames' in report.summary()


def test_the_fused_model_is_better_on_frames_it_was_not_fitted_on(model, fused, bag) -> None:
    request = EvaluationRequest(bag=bag, selection=Selection(16), samples=0)
    errors = []
    for one in (model, fused[0]):
        pipeline = DepthPipeline.open(one, ONNX_RUNTIME)
        evaluation = evaluate(request, pipeline, lambda _: None)
        errors.append(evaluation.depth[0].unscaled.rmse)
        pipeline.close()
    # The network is random: its depth is brought to metres by the fit.
    assert errors[1] < 0.7 * errors[0]


def test_half_precision_of_a_fused_model_is_near(fused, tmp_path) -> None:
    convert_to_half(fused[0], tmp_path / 'half')
    assert Model.load(tmp_path / 'half').spec.precision is Precision.FP16


def test_an_engine_builds_of_it_ahead_of_time(fused) -> None:
    pytest.importorskip('tensorrt_rtx_bindings', reason='needs TensorRT-RTX, which is for x86-64')
    library, options = find_library(), EngineOptions(max_batch=1)
    built = build_engine(library, fused[0].depth_path, options, UNWATCHED, target='sm_89')
    assert len(built.engine) > 10_000


def test_what_takes_intrinsics_gets_those_of_the_whole_image(fused) -> None:
    weights = CombinationWeights.load(fused[0].path / FUSION_FILE)
    candidates = candidates_of(weights)

    class Told(torch.nn.Module):
        """Depth that is the focal length it was told over the width, a crop's by its ratio."""

        def forward(self, image: torch.Tensor, intrinsics: torch.Tensor) -> torch.Tensor:
            told = intrinsics[:, 0] / 96 + intrinsics[:, 2] / 1000
            return told[:, None, None] + 0.0 * image.float().mean(3)

    inner = module_to_onnx(
        Told(),
        {'image': torch.zeros(2, 64, 96, 3, dtype=torch.uint8), 'intrinsics': torch.ones(2, 4)},
        ('depth',),
    )
    before = {
        'image': Stage(CropStage(candidates), torch.zeros(2, 86, 128, 3, dtype=torch.uint8)),
        'intrinsics': Stage(CropIntrinsics(candidates), torch.ones(2, 4)),
    }
    graph = wrap_graph(inner, before, None, 'depth')
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    given = np.array([[128.0, 128.0, 63.5, 42.5], [64.0, 64.0, 63.5, 42.5]], np.float32)
    found = session.run(None, {'image': np.zeros((2, 86, 128, 3), np.uint8), 'intrinsics': given})
    expected = np.repeat(given[:, 0] / 128 + 47.5 / 1000, candidates.crop_count)
    np.testing.assert_allclose(found[0][:, 0, 0], expected, rtol=1e-5)


def test_the_command_fits_and_the_model_runs(model, bag, tmp_path, capsys) -> None:
    out = tmp_path / 'fused'
    assert main(['fit-fusion', '--bag', f'{bag}:0-16', '--model', str(model.path), '--out',
                 str(out), '--ratios', '1', '0.75', '--no-mirrored', '--max-bins', '40',
                 '--ridge', '0.01', '--bias', '1', '--frame-weight', 'equal']) == 0  # fmt: skip
    said = capsys.readouterr().out
    assert '2 candidates of 5 crops, fitted on 16 frames, ridge 0.01, bias 1\n' in said
    weights = CombinationWeights.load(out / FUSION_FILE)
    assert not weights.mirrored
    assert main(['evaluate', '--bag', str(bag), '--first', '16', '--model', str(out)]) == 0


def test_models_and_bags_that_cannot_be_combined_are_refused(
    model, bag, tmp_path, tmp_path_factory
) -> None:
    def fit(one: Model, source: Path, settings: FusionSettings = SETTINGS) -> None:
        fit_fusion(one, (BagSource(source),), RectifyMode.AUTO, settings, tmp_path / 'out',
                   lambda _: None)  # fmt: skip

    blind = write_recording(tmp_path_factory.mktemp('bags') / 'blind', frames=4, depth=False)
    with pytest.raises(BagError, match='no frame has true depth in 50% of its pixels'):
        fit(model, blind)
    unscaled = replace(model, spec=replace(model.spec, scale=ScaleKind.UP_TO_SCALE))
    with pytest.raises(ConfigError, match="model 'tiny' is up to scale"):
        fit(unscaled, bag)
    with pytest.raises(ConfigError, match='ratios are'):
        fit(model, bag, FusionSettings(ratios=(1.0, 0.3)))
    assert not (tmp_path / 'out').exists()


def test_a_graph_that_does_not_begin_with_a_cast_is_refused() -> None:
    image = onnx.helper.make_tensor_value_info('image', onnx.TensorProto.UINT8, ['N', 8, 8, 3])
    depth = onnx.helper.make_tensor_value_info('depth', onnx.TensorProto.UINT8, ['N', 8, 8, 3])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node('Identity', ['image'], ['depth'])], 'g', [image], [depth]
    )
    stage = Stage(torch.nn.Identity(), torch.zeros(2, 8, 8, 3))
    with pytest.raises(ModelError, match='takes bytes as image and does not cast them'):
        wrap_graph(onnx.helper.make_model(graph), {'image': stage}, None, 'depth')
