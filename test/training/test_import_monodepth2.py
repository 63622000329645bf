"""Official folders of random weights become models whose answers are those of the networks."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

import numpy as np
import pytest
import torch
from monodepth2_reference import Official

from depth_ros.backends import BackendOptions, Device, open_backend
from depth_ros.cli import import_model
from depth_ros.errors import ConfigError
from depth_ros.model import Fit, Model, ResizeFilter, ScaleKind
from training.geometry import motion_to_transform

WIDTH, HEIGHT = 96, 64


def import_folder(folder: Path, out: Path, *options: str) -> Model:
    parser = ArgumentParser()
    import_model.add_arguments(parser)
    words = ['monodepth2', str(folder), '--out', str(out), *options]
    assert import_model.run(parser.parse_args(words)) == 0
    return Model.load(out)


def patches(seed: int) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (1, 4, 6, 3))
    return small.repeat(16, 1).repeat(16, 2).astype(np.uint8)


def unit_image(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(0, 3, 1, 2).float() / 255


def test_graphs_answer_what_the_official_networks_do(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    official = Official(18, seed=18)
    folder = official.save(tmp_path / 'official', WIDTH, HEIGHT, stereo=True)
    model = import_folder(folder, tmp_path / 'model')
    assert 'largest relative difference from torch' in capsys.readouterr().out
    options = BackendOptions(device=Device.CPU, threads=1)
    previous, current = patches(1), patches(2)
    depth = open_backend(model.depth_path, options).run({'image': current})['depth']
    disparity = official.disparities(unit_image(current))[0][:, 0]
    expected = 5.4 / (0.01 + 9.99 * disparity)
    np.testing.assert_allclose(depth, expected.numpy(), rtol=1e-3)
    assert model.pose_path is not None
    inputs = {'previous': previous, 'current': current}
    motion = torch.from_numpy(open_backend(model.pose_path, options).run(inputs)['motion'])
    stated = official.motion(unit_image(previous), unit_image(current))
    current_T_previous = motion_to_transform(stated[:, :3], 5.4 * stated[:, 3:])
    product = motion_to_transform(motion[:, :3], motion[:, 3:]) @ current_T_previous
    torch.testing.assert_close(product[0], torch.eye(4), atol=1e-5, rtol=0)
    assert float(motion.abs().max()) > 1e-3


def test_stereo_models_are_metric_and_without_pose_files_have_no_egomotion(tmp_path: Path) -> None:
    folder = Official(18, pose=False).save(tmp_path / 'official', WIDTH, HEIGHT, stereo=True)
    model = import_folder(
        folder, tmp_path / 'mine', '--baseline', '0.12', '--fx-norm', '0.8', '--fy-norm', '1.1'
    )
    assert model.pose_path is None
    spec = model.spec
    assert spec.motion is None
    assert spec.scale is ScaleKind.METRIC
    assert spec.scale_source == 'stereo baseline'
    assert (spec.min_depth, spec.max_depth) == pytest.approx((0.12, 120.0))
    assert spec.intrinsics is not None
    assert spec.intrinsics.fx == pytest.approx(0.8 * WIDTH)
    assert spec.intrinsics.fy == pytest.approx(1.1 * HEIGHT)
    assert (spec.name, spec.width, spec.height) == ('mine', WIDTH, HEIGHT)


def test_mono_models_are_up_to_scale_and_tied_to_kitti(tmp_path: Path) -> None:
    folder = Official(18, pose=False).save(tmp_path / 'official', WIDTH, HEIGHT, stereo=False)
    spec = import_folder(folder, tmp_path / 'model', '--precision', 'fp16').spec
    assert spec.scale is ScaleKind.UP_TO_SCALE
    assert spec.scale_source == 'none'
    assert (spec.min_depth, spec.max_depth) == (0.1, 100.0)
    assert spec.intrinsics is not None
    assert spec.intrinsics.fx == pytest.approx(0.58 * WIDTH)
    assert spec.intrinsics.fy == pytest.approx(1.92 * HEIGHT)
    assert (spec.fit, spec.resize_filter) == (Fit.STRETCH, ResizeFilter.LANCZOS)
    assert 'non-commercial' in spec.licence


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--baseline', '0.5'], 'trained without a stereo rig; it has no baseline'),
        (['--baseline', '-1'], 'baseline_m is -1.0'),
        (['--fx-norm', 'nan'], 'fx_norm is nan'),
    ],
)
def test_refuses_impossible_options(tmp_path: Path, options: list[str], message: str) -> None:
    folder = Official(18, pose=False).save(tmp_path / 'official', WIDTH, HEIGHT, stereo=False)
    with pytest.raises(ConfigError, match=message):
        import_folder(folder, tmp_path / 'model', *options)
    assert not (tmp_path / 'model').exists()
