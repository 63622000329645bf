"""Official folders of random weights become models whose answers are those of the networks."""

from __future__ import annotations

from pathlib import Path

import pytest
from monodepth2_reference import Official
from official_models import assert_same_answers, import_official

from depth_ros.errors import ConfigError
from depth_ros.model_folder.spec import Fit, ResizeFilter, ScaleKind

WIDTH, HEIGHT = 96, 64


def test_graphs_answer_what_the_official_networks_do(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    official = Official(18, seed=18)
    folder = official.save(tmp_path / 'official', WIDTH, HEIGHT, stereo=True)
    model = import_official('monodepth2', folder, tmp_path / 'model')
    assert 'largest relative difference from torch' in capsys.readouterr().out
    motion = assert_same_answers(model, official, unit_m=5.4, motion_tolerance=1e-5)
    assert abs(motion).max() > 1e-3


def test_stereo_models_are_metric_and_without_pose_files_have_no_egomotion(tmp_path: Path) -> None:
    folder = Official(18, pose=False).save(tmp_path / 'official', WIDTH, HEIGHT, stereo=True)
    model = import_official(
        'monodepth2', folder, tmp_path / 'mine',
        '--baseline', '0.12', '--fx-norm', '0.8', '--fy-norm', '1.1',
    )  # fmt: skip
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
    spec = import_official('monodepth2', folder, tmp_path / 'model', '--precision', 'fp16').spec
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
        import_official('monodepth2', folder, tmp_path / 'model', *options)
    assert not (tmp_path / 'model').exists()
