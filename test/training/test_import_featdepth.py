"""Official FeatDepth files become models whose answers are those of the networks."""

from __future__ import annotations

from pathlib import Path

import pytest
from featdepth_reference import Official
from official_models import assert_same_answers, import_official

from depth_ros.errors import ConfigError, ModelError
from depth_ros.model_folder.spec import ScaleKind
from training.official.import_featdepth import FeatDepthImport

SIZE = ('--width', '96', '--height', '64')


@pytest.fixture(scope='module')
def official() -> Official:
    return Official('separate', seed=5)


@pytest.fixture(scope='module')
def file(official: Official, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return official.save(tmp_path_factory.mktemp('official') / 'fm.pth')


def test_graphs_answer_what_the_official_networks_do(
    official: Official, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    model = import_official('featdepth', file, tmp_path / 'model', *SIZE, '--stereo')
    assert 'largest relative difference from torch' in capsys.readouterr().out
    spec = model.spec
    assert (spec.family, spec.scale) == ('featdepth', ScaleKind.METRIC)
    assert (spec.width, spec.height, spec.depth_width, spec.depth_height) == (96, 64, 48, 32)
    assert (spec.min_depth, spec.max_depth) == pytest.approx((3.6, 3600.0))
    assert_same_answers(model, official, unit_m=36.0, motion_tolerance=1e-4)


def test_models_without_a_rig_are_up_to_scale(file: Path, tmp_path: Path) -> None:
    options = (*SIZE, '--max-depth', '50')
    spec = import_official('featdepth', file, tmp_path / 'model', *options).spec
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
        import_official('featdepth', file, tmp_path / 'model')
    assert not (tmp_path / 'model').exists()


@pytest.mark.parametrize(
    ('family', 'options', 'message'),
    [
        ('featdepth', ['--width', '100'], 'width is 100; need a multiple of 32'),
        ('featdepth', ['--baseline', '-1'], r'baseline_m is -1\.0'),
        ('featdepth', ['--max-depth', '0.05'], r'max_depth is 0\.05'),
        ('monodepth2', ['--stereo'], '--stereo is for featdepth alone'),
        ('monodepth2', ['--max-depth', '50'], '--max-depth is for featdepth and depth_pro alone'),
    ],
)
def test_refuses_impossible_options(
    tmp_path: Path, family: str, options: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        import_official(family, tmp_path / 'none.pth', tmp_path / 'model', *options)
