"""Official FeatDepth files become models whose answers are those of the networks."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

import numpy as np
import pytest
import torch
from featdepth_reference import Official

from depth_ros.backends import BackendOptions, Device, open_backend
from depth_ros.cli import import_model
from depth_ros.errors import ConfigError, ModelError
from depth_ros.model import Model, ScaleKind
from training.geometry import motion_to_transform
from training.import_featdepth import FeatDepthImport

SIZE = ('--width', '96', '--height', '64')


@pytest.fixture(scope='module')
def official() -> Official:
    return Official('separate', seed=5)


@pytest.fixture(scope='module')
def file(official: Official, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return official.save(tmp_path_factory.mktemp('official') / 'fm.pth')


def import_file(file: Path, out: Path, *options: str, family: str = 'featdepth') -> Model:
    parser = ArgumentParser()
    import_model.add_arguments(parser)
    words = [family, str(file), '--out', str(out), *options]
    assert import_model.run(parser.parse_args(words)) == 0
    return Model.load(out)


def patches(seed: int) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (1, 4, 6, 3))
    return small.repeat(16, 1).repeat(16, 2).astype(np.uint8)


def unit_image(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(0, 3, 1, 2).float() / 255


def test_graphs_answer_what_the_official_networks_do(
    official: Official, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    model = import_file(file, tmp_path / 'model', *SIZE, '--stereo')
    assert 'largest relative difference from torch' in capsys.readouterr().out
    spec = model.spec
    assert (spec.family, spec.scale) == ('featdepth', ScaleKind.METRIC)
    assert (spec.width, spec.height, spec.depth_width, spec.depth_height) == (96, 64, 48, 32)
    assert (spec.min_depth, spec.max_depth) == pytest.approx((3.6, 3600.0))
    options = BackendOptions(device=Device.CPU, threads=1)
    previous, current = patches(1), patches(2)
    depth = open_backend(model.depth_path, options).run({'image': current})['depth']
    disparity = official.disparities(unit_image(current))[0][:, 0]
    np.testing.assert_allclose(depth, (36 / (0.01 + 9.99 * disparity)).numpy(), rtol=1e-3)
    assert model.pose_path is not None
    inputs = {'previous': previous, 'current': current}
    motion = torch.from_numpy(open_backend(model.pose_path, options).run(inputs)['motion'])
    stated = official.motion(unit_image(previous), unit_image(current))
    current_T_previous = motion_to_transform(stated[:, :3], 36 * stated[:, 3:])
    product = motion_to_transform(motion[:, :3], motion[:, 3:]) @ current_T_previous
    torch.testing.assert_close(product[0], torch.eye(4), atol=1e-4, rtol=0)


def test_models_without_a_rig_are_up_to_scale(file: Path, tmp_path: Path) -> None:
    spec = import_file(file, tmp_path / 'model', *SIZE, '--max-depth', '50').spec
    assert (spec.scale, spec.scale_source) == (ScaleKind.UP_TO_SCALE, 'none')
    assert (spec.min_depth, spec.max_depth) == (0.1, 50.0)


@pytest.mark.parametrize(('baseline_m', 'unit_m'), [(0.54, 36.0), (0.12, 8.0), (None, None)])
def test_a_unit_is_as_many_metres_as_the_rig_says(
    baseline_m: float | None, unit_m: float | None
) -> None:
    assert FeatDepthImport(baseline_m=baseline_m).unit_m == pytest.approx(unit_m)
    if unit_m is not None and baseline_m is not None:
        assert unit_m * 0.015 == pytest.approx(baseline_m)


def test_the_auto_encoder_is_refused_as_a_model(tmp_path: Path) -> None:
    file = Official('autoencoder').save(tmp_path / 'features.pth')
    with pytest.raises(ModelError, match='is the auto-encoder, no model of depth'):
        import_file(file, tmp_path / 'model')
    assert not (tmp_path / 'model').exists()


@pytest.mark.parametrize(
    ('family', 'options', 'message'),
    [
        ('featdepth', ['--width', '100'], 'width is 100; need a multiple of 32'),
        ('featdepth', ['--baseline', '-1'], r'baseline_m is -1\.0'),
        ('featdepth', ['--max-depth', '0.05'], r'max_depth is 0\.05'),
        ('monodepth2', ['--stereo'], '--stereo is for featdepth alone'),
        ('monodepth2', ['--max-depth', '50'], '--max-depth is for featdepth alone'),
    ],
)
def test_refuses_impossible_options(
    tmp_path: Path, family: str, options: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        import_file(tmp_path / 'none.pth', tmp_path / 'model', *options, family=family)
