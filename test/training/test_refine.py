"""A model is refined on the bag at hand by its own settings, and keeps its metres."""

from __future__ import annotations

import shutil
from argparse import ArgumentParser
from pathlib import Path

import graphs
import numpy as np
import pytest
import torch
import yaml
from torch import nn
from training_runs import ROOT, TINY

from depth_ros.cli import train as verb
from depth_ros.cli.main import main
from depth_ros.errors import ConfigError
from depth_ros.model_folder.model import Model
from depth_ros.model_folder.spec import ScaleKind
from training.config import BagSource, TrainConfig
from training.config.presets import load_config
from training.config.strict import to_plain
from training.held_scale import HeldScale, hold_scale, read_held_scale
from training.model_settings import find_settings
from training.tasks.self_supervised import SelfSupervisedTask

REFINE = ROOT / 'config/training/refine.yaml'
SETTINGS = (
    'network.decoder=featdepth', 'network.decoder_width=8', 'run.threads=1', 'run.epochs=1',
    'run.steps_per_epoch=3', 'run.batch_size=2', 'export.evaluate=false', 'features.epochs=1',
    'features.network.backbone=lcnet_035', 'features.network.channels=[4, 4, 8, 8, 8]',
    'features.steps_per_epoch=3', 'features.batch_size=2', 'loss.feature_metric=1e-3',
)  # fmt: skip


@pytest.fixture(scope='module')
def model(bag: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A metric model of FeatDepth's kind: odometry gave its metres."""
    folder = tmp_path_factory.mktemp('first')
    command = ['train', '--bag', str(bag), '--preset', str(TINY)]
    command += ['--out', str(folder / 'model'), '--workdir', str(folder / 'run')]
    for setting in (*SETTINGS, 'loss.motion=0.1', 'loss.teacher=odometry'):
        command += ['--set', setting]
    assert main([*command, '--set', f'data.cache={folder}']) == 0
    return folder / 'model'


@pytest.mark.slow
def test_one_command_refines_a_model_and_keeps_its_metres(
    bag: Path, model: Path, tmp_path: Path
) -> None:
    before = Model.load(model).spec
    assert (before.scale, before.scale_source) == (ScaleKind.METRIC, 'odometry')
    command = ['train', '--refine', str(model), '--bag', str(bag), '--out', str(tmp_path / 'new')]
    command += ['--workdir', str(tmp_path / 'run'), '--set', 'export.odometry_scale=false']
    assert main([*command, '--set', 'run.epochs=1', '--set', 'run.steps_per_epoch=4']) == 0
    after = Model.load(tmp_path / 'new').spec
    assert (after.family, after.depth_width) == ('featdepth', before.depth_width)
    assert (after.scale, after.scale_source) == (ScaleKind.METRIC, 'odometry')
    assert after.min_depth == pytest.approx(before.min_depth, rel=0.5)
    assert not (tmp_path / 'run/features').exists()
    config = yaml.safe_load((tmp_path / 'run/config.yaml').read_text())
    assert config['network']['decoder_width'] == 8
    assert config['augment']['flip'] == 0
    assert config['features']['init'] == str(model)


def test_settings_of_a_model_are_found_beside_it_or_in_its_run(model: Path) -> None:
    assert find_settings(model) == model / 'training.yaml'
    workdir = model.parent / 'run'
    assert find_settings(workdir) == workdir / 'config.yaml'
    config = load_config(find_settings(model), bags=[BagSource(Path('b'))], changes=REFINE)
    assert config.network.decoder_width == 8
    assert (config.run.batch_size, config.run.freeze_batch_norm) == (1, True)
    assert yaml.safe_load(find_settings(model).read_text())['bags'] == []


@pytest.mark.parametrize('temporal', ['true', 'false'])
def test_a_model_that_learnt_from_a_pair_is_refined_with_one_camera(
    tmp_path: Path, temporal: str
) -> None:
    begun = workdir_of(tmp_path / 'begun', 'loss.stereo=true', f'loss.temporal={temporal}')
    config = load_config(find_settings(begun), changes=REFINE)
    assert (config.loss.stereo, config.loss.temporal) == (False, True)


def test_a_model_that_does_not_tell_its_settings_wants_a_preset(
    model: Path, tmp_path: Path
) -> None:
    older = tmp_path / 'older'
    shutil.copytree(model, older)
    (older / 'training.yaml').unlink()
    with pytest.raises(ConfigError, match='older does not say how it was trained; name its'):
        find_settings(older)


def test_batch_norms_keep_their_statistics_where_asked() -> None:
    config = load_config(TINY, ['run.freeze_batch_norm=true'], [BagSource(Path('b'))])
    task = SelfSupervisedTask(config, 50.0, 10).train()
    norms = [m for m in task.modules() if isinstance(m, nn.BatchNorm2d)]
    before = [norm.running_mean.clone() for norm in norms]
    task.depth_net(torch.rand(2, 3, 64, 64))
    assert task.depth_net.training
    assert all(torch.equal(n.running_mean, mean) for n, mean in zip(norms, before))


def test_held_metres_follow_the_networks_unit() -> None:
    before = np.log(np.linspace(1, 5, 9))
    held = HeldScale(2.0, 'stereo baseline', tuple(before))
    assert held.unit_of(before) == pytest.approx(2.0)
    drifted = before + np.log(1.25)
    drifted[0] = 7.0
    assert held.unit_of(drifted) == pytest.approx(2.0 / 1.25)


@pytest.mark.parametrize(
    ('settings', 'source'),
    [(('loss.velocity=0.05',), 'velocity'), (('loss.stereo=true',), 'stereo baseline')],
)
def test_metres_that_a_run_learnt_are_held_from_its_workdir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: tuple[str, ...], source: str
) -> None:
    begun = workdir_of(tmp_path / 'begun', *settings, 'network.min_depth=0.2')
    assert held_from(begun, tmp_path, monkeypatch) == HeldScale(2.0, source, (0.0, 0.5))


def test_metres_that_a_workdir_does_not_tell_are_not_lost_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = workdir_of(tmp_path / 'begun')
    with pytest.raises(ConfigError, match='begun does not tell in what metres its model was expo'):
        held_from(begun, tmp_path, monkeypatch)
    # The odometry at hand will tell.
    assert held_from(begun, tmp_path, monkeypatch, needed=False) is None
    for setting in ('export.odometry_scale=false', 'data.odometry_truth=false'):
        unknown = workdir_of(tmp_path / setting, setting)
        assert held_from(unknown, tmp_path, monkeypatch) is None
        (unknown / 'held_scale.json').write_text('{"unit_m": 2, "source": "x", "log_depths": []}')
        with pytest.raises(ConfigError, match='give the model folder in its place'):
            held_from(unknown, tmp_path, monkeypatch)


def workdir_of(folder: Path, *settings: str) -> Path:
    """What hold_scale looks at of an earlier run."""
    config = load_config(TINY, settings, [BagSource(Path('b'))])
    folder.mkdir()
    (folder / 'config.yaml').write_text(yaml.safe_dump(to_plain(config)))
    (folder / 'last.ckpt').touch()
    return folder


def held_from(
    begun: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, *, needed: bool = True
) -> HeldScale | None:
    """What a run notes whose networks answer no less than 0.1 of their unit."""
    task = SelfSupervisedTask(load_config(TINY, (), [BagSource(Path('b'))]), 50.0, 10)
    depths = np.array([0.0, 0.5])
    monkeypatch.setattr('training.held_scale.measure_log_depths', lambda *_: depths)
    hold_scale(task, [], begun, 0.1, folder, needed=needed)
    return read_held_scale(folder)


def parsed(*words: str) -> object:
    parser = ArgumentParser()
    verb.add_arguments(parser)
    return parser.parse_args(['--out', 'x', *words])


@pytest.mark.parametrize('settings', [(), ('--preset', str(TINY)), ('--method', 'featdepth')])
@pytest.mark.parametrize('named', [False, True])
def test_features_are_those_of_the_model_whatever_preset_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: tuple[str, ...], named: bool
) -> None:
    graphs.write_model(tmp_path / 'models/mine', graphs.spec())
    shutil.copy(TINY, tmp_path / 'models/mine/training.yaml')
    monkeypatch.setenv('DEPTH_ROS_MODELS', str(tmp_path / 'models'))
    monkeypatch.chdir(tmp_path)
    begun: list[TrainConfig] = []
    monkeypatch.setattr('training.train.run_training', lambda config, *_: begun.append(config))
    model = 'mine' if named else 'models/mine'
    assert main(['train', '--bag', 'b', '--out', 'm', '--refine', model, *settings]) == 0
    assert begun[0].features.init == tmp_path / 'models/mine'


def test_a_method_is_the_preset_of_its_name(capsys: pytest.CaptureFixture) -> None:
    for method in verb.METHODS:
        assert verb._preset(parsed('--method', method)).stem == method  # type: ignore[arg-type]
    assert verb._preset(parsed()).stem == 'lite0'  # type: ignore[arg-type]
    settings = ('--method', 'featdepth', '--preset', 'tiny')
    start = ('--init', 'a', '--refine', 'b')
    for words in (settings, start):
        with pytest.raises(SystemExit):
            parsed(*words)
        assert 'not allowed with argument' in capsys.readouterr().err
