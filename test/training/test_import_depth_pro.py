"""Depth Pro's official file becomes a model whose answers are those of the network."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import depth_pro_reference as reference
import numpy as np
import pytest
import recordings
import tiny_depth_pro as tiny
import torch
from official_models import import_official

from depth_ros.bags import read_depth
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.cameras.lens import FieldOfView
from depth_ros.cli.main import main
from depth_ros.errors import ConfigError, ModelError
from depth_ros.model_folder.model import Model
from depth_ros.model_folder.spec import Fit, Precision, ResizeFilter, ScaleKind
from depth_ros.pipeline import CameraTrack, DepthPipeline, Frame, OutputSize, TrackSettings
from training.official.import_depth_pro import DepthProImport, import_depth_pro

CAMERA = Intrinsics(90.0, 80.0, 63.5, 47.5, 128, 96)


def official_file(path: Path, fov: bool = True) -> Path:
    state = reference.random_state(replace(tiny.SIZES, fov=fov))
    torch.save({key: value.half() for key, value in state.items()}, path)
    return path


def imported(folder: Path, fov: bool = True, **settings) -> Model:
    file = official_file(folder / 'depth_pro.pt', fov)
    import_depth_pro(file, folder / 'model', DepthProImport(network=tiny.CONFIG, **settings))
    return Model.load(folder / 'model')


@pytest.fixture(scope='module')
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return imported(tmp_path_factory.mktemp('official'), max_depth_m=5.0)


def picture(width: int = CAMERA.width, height: int = CAMERA.height) -> np.ndarray:
    blocks = np.random.default_rng(2).integers(0, 256, (height // 16, width // 16, 3))
    return blocks.repeat(16, 0).repeat(16, 1).astype(np.uint8)


def test_the_spec_says_how_it_is_to_be_run(model: Model) -> None:
    spec = model.spec
    assert (spec.family, spec.scale, spec.scale_source) == (
        'depth_pro', ScaleKind.METRIC, 'focal length'
    )  # fmt: skip
    assert (spec.width, spec.height, spec.depth_width, spec.depth_height) == (tiny.SIDE,) * 4
    assert (spec.fit, spec.resize_filter) == (Fit.STRETCH, ResizeFilter.BILINEAR)
    assert spec.intrinsics is None
    assert spec.max_depth == 5.0
    assert 'research purposes only' in spec.licence
    assert spec.training_run == 'imported from the Depth Pro file depth_pro.pt'
    assert DepthProImport().max_depth_m == 200.0


def test_a_camera_gets_what_the_method_says(model: Model) -> None:
    """The official steps by themselves: stretch, network, W / f, back again, reciprocal."""
    image = picture()
    with closing(DepthPipeline.open(model)) as pipeline:
        track = CameraTrack(pipeline, TrackSettings(output_size=OutputSize.CAMERA))
        estimate = track.process(Frame(0, image, CAMERA))
    state = reference.random_state(tiny.SIZES)
    state = {key: value.half().float() for key, value in state.items()}
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    size, own = (tiny.SIDE, tiny.SIDE), (CAMERA.height, CAMERA.width)
    stretched = torch.nn.functional.interpolate(pixels, size, mode='bilinear')
    with torch.no_grad():
        canonical, fov_deg = reference.answers(state, tiny.SIZES, stretched)
    assert fov_deg is not None
    inverse = canonical * CAMERA.width / CAMERA.fx
    inverse = torch.nn.functional.interpolate(inverse, own, mode='bilinear')[0, 0].numpy()
    known = ~np.isnan(estimate.depth_m)
    assert 0.5 < known.mean() <= 1.0
    assert np.all(inverse[~known] < 1 / 2.5)  # within a pixel of what is beyond 5 m
    np.testing.assert_allclose(1 / estimate.depth_m[known], inverse[known], rtol=0.02, atol=0.01)
    assert estimate.fov_deg == pytest.approx(float(fov_deg), abs=0.1)
    assert estimate.intrinsics == CAMERA


def test_depth_is_proportional_to_the_focal_length_and_free_of_the_size(model: Model) -> None:
    longer = replace(CAMERA, fx=180.0, fy=160.0)
    double = CAMERA.scaled(256, 192)
    with closing(DepthPipeline.open(model)) as pipeline:
        image = picture()
        one, two, large = pipeline.run([
            Frame(0, image, CAMERA), Frame(0, image, longer),
            Frame(0, image.repeat(2, 0).repeat(2, 1), double),
        ])  # fmt: skip
    known = ~np.isnan(two.depth)
    assert known.mean() > 0.3
    np.testing.assert_allclose(two.depth[known], 2 * one.depth[known], rtol=1e-4)
    both = ~np.isnan(one.depth) & ~np.isnan(large.depth)
    assert np.median(np.abs(large.depth[both] / one.depth[both] - 1)) < 0.05


def test_the_estimated_focal_length_gives_the_networks_own_depth(model: Model) -> None:
    image = picture()
    with closing(DepthPipeline.open(model)) as pipeline:
        camera = FieldOfView(pipeline.fov_deg(image)).at(CAMERA.width, CAMERA.height)
        answer = pipeline.run([Frame(0, image, camera)])[0]
        assert answer.fov_deg == pytest.approx(pipeline.fov_deg(image), abs=1e-3)
    network_fx = camera.fx * tiny.SIDE / CAMERA.width
    assert network_fx == pytest.approx(
        tiny.SIDE / 2 / np.tan(np.radians(answer.fov_deg) / 2), rel=1e-5
    )


def test_process_and_evaluate_take_it_like_any_model(model: Model, tmp_path: Path) -> None:
    bag = recordings.write_recording(tmp_path / 'waves', 3, odometry=False)
    arguments = ['--model', str(model.path)]
    assert main(['process', str(bag), *arguments, '--out', str(tmp_path / 'depth')]) == 0
    out = tmp_path / 'report'
    assert main(['evaluate', '--bag', str(bag), *arguments, '--out', str(out)]) == 0
    told = json.loads((out / 'metrics.json').read_text())['depth'][0]
    with closing(DepthPipeline.open(model)) as pipeline:
        expected = [
            pipeline.run([Frame(0, recordings.grey_image(index)[..., None].repeat(3, 2),
                                recordings.CAMERA)])[0]
            for index in range(3)
        ]  # fmt: skip
    errors = [
        np.abs(answer.view.depth_to_camera(answer.depth) / recordings.true_depth(index) - 1)
        for index, answer in enumerate(expected)
    ]
    assert told['unscaled']['abs_rel'] == pytest.approx(
        np.mean([np.nanmean(error) for error in errors]), rel=1e-3
    )
    depths = [depth_m for _, depth_m in read_depth(tmp_path / 'depth', '/depth/image')]
    for answer, depth_m in zip(expected, depths):
        np.testing.assert_array_equal(answer.view.depth_to_camera(answer.depth), depth_m)


@pytest.mark.parametrize(('in_file', 'wanted'), [(False, True), (True, False), (False, False)])
def test_files_and_models_without_the_head(tmp_path: Path, in_file: bool, wanted: bool) -> None:
    model = imported(tmp_path, in_file, fov_head=wanted, precision=Precision.FP16)
    assert model.spec.precision is Precision.FP16
    with closing(DepthPipeline.open(model)) as pipeline:
        assert not pipeline.tells_fov
        assert pipeline.run([Frame(0, picture(), CAMERA)])[0].fov_deg is None


def test_the_verb_reads_the_published_network_alone(tmp_path: Path) -> None:
    file = official_file(tmp_path / 'small.pt')
    with pytest.raises(ModelError, match=r'small\.pt'):
        import_official('depth_pro', file, tmp_path / 'model')
    assert not (tmp_path / 'model').exists()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--max-depth', '0.5'], r'max_depth is 0\.5; need 1 to 10000 m'),
        (['--fx-norm', '0.6'], '--fx-norm is for monodepth2 and featdepth alone'),
        (['--stereo'], '--stereo is for featdepth alone'),
        (['--baseline', '0.5'], '--baseline is for monodepth2 and featdepth alone'),
    ],
)
def test_the_verb_refuses_what_means_nothing(
    tmp_path: Path, options: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        import_official('depth_pro', tmp_path / 'none.pt', tmp_path / 'model', *options)
