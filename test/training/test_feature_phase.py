"""Features first, or along with depth: both phases of a run, and what they are given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import quiet
from rendered_frames import CAMERA
from training_runs import (
    TINY,
    assert_same_logs,
    assert_same_weights,
    column,
    files_up_to,
    resume,
    rows,
    run_until,
    train_command,
)

from depth_ros.errors import ConfigError, DepthRosError, ModelError
from depth_ros.model_folder.model import Model
from training.callbacks import BEST, LAST
from training.config import BagSource, TrainConfig
from training.config.presets import load_config
from training.data import augment
from training.data.batch import Batch
from training.data.module import FrameDataModule, prepare_data
from training.export.of_run import export_run
from training.feature_phase import FEATURES_FILE, load_features, read_features, write_features
from training.networks.build import build_frozen_features
from training.tasks.features import FeatureTask
from training.tasks.self_supervised import SelfSupervisedTask
from training.train import RunPaths, run_training
from training.weights import read_weights

SETTINGS = (
    'run.threads=1', 'run.epochs=2', 'run.steps_per_epoch=4', 'run.checkpoint_every=3',
    'run.batch_size=2', 'export.evaluate=false', 'augment.zoom=1.2', 'optimizer.clip=35',
    'network.decoder=featdepth', 'network.decoder_width=8', 'network.pose_motions=1',
    'network.pose_size=[64, 32]', 'loss.feature_metric=1e-3', 'loss.robust=true',
    'loss.second_order=true', 'loss.smoothness_edges=0.5', 'features.network.backbone=lcnet_035',
    'features.network.channels=[4, 4, 8, 8, 8]', 'features.epochs=2', 'features.steps_per_epoch=4',
    'features.batch_size=2', 'features.size=[64, 64]',
)  # fmt: skip


@pytest.fixture(scope='module')
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('cache')


def configure(bag: Path, cache: Path, *overrides: str) -> TrainConfig:
    return load_config(TINY, [*SETTINGS, f'data.cache={cache}', *overrides], [BagSource(bag)])


@pytest.fixture(scope='module')
def finished(bag: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    """An uninterrupted run of both phases."""
    folder = tmp_path_factory.mktemp('finished')
    paths = RunPaths(folder / 'model', folder / 'run')
    run_training(configure(bag, cache), paths, quiet)
    return paths


def test_one_run_trains_features_then_depth(finished: RunPaths) -> None:
    spec = Model.load(finished.out).spec
    assert spec.family == 'featdepth'
    assert (spec.width, spec.height) == (96, 64)
    assert (spec.depth_width, spec.depth_height) == (48, 32)
    features = finished.workdir / 'features'
    assert len(rows(features)) == len(rows(finished.workdir)) == 9
    assert len(rows(features, 'validation.csv')) == 3
    assert 'nan' not in column(finished.workdir, 'feature_metric')
    assert set(column(finished.workdir, 'single_view')) == {'nan'}
    reconstruction = [float(value) for value in column(features, 'reconstruction')]
    assert reconstruction[-1] < reconstruction[0]
    kept = {name for name in read_weights(finished.out) if name.startswith('feature_net.')}
    assert kept == {f'feature_net.{n}' for n in build_frozen_features('lcnet_035').state_dict()}


@pytest.mark.slow
def test_runs_killed_in_both_phases_have_the_losses_of_whole_ones(
    bag: Path, cache: Path, finished: RunPaths, tmp_path: Path
) -> None:
    workdir = tmp_path / 'run'
    command = train_command(bag, tmp_path, [*SETTINGS, f'data.cache={cache}'])
    run_until(command, workdir / 'features', 5)
    run_until([*command, '--resume'], workdir, 1)
    run_until([*command, '--resume'], workdir, 5)
    resume(command)
    for part in ('.', 'features'):
        assert_same_logs(workdir / part, finished.workdir / part)
    assert_same_weights(tmp_path / 'model', finished.out)


@pytest.mark.parametrize('place', ['workdir', 'file', 'model'])
def test_features_of_an_earlier_run_serve_another(
    bag: Path, cache: Path, finished: RunPaths, tmp_path: Path, place: str
) -> None:
    """Here Monodepth2's networks, beside which the feature-metric loss is a loss like others."""
    workdir = finished.workdir
    places = {'workdir': workdir, 'file': workdir / 'features/features.pt', 'model': finished.out}
    source = places[place]
    config = configure(
        bag, cache, f'features.init={source}', 'network.decoder=monodepth2', 'run.epochs=1',
    )  # fmt: skip
    paths = RunPaths(tmp_path / 'model', tmp_path / 'run')
    run_training(config, paths, quiet)
    assert not (paths.workdir / 'features').exists()
    assert 'nan' not in column(paths.workdir, 'feature_metric')
    spec = Model.load(paths.out).spec
    assert (spec.family, spec.depth_width) == ('monodepth2', 96)


def test_joint_training_has_one_phase(bag: Path, cache: Path, tmp_path: Path) -> None:
    config = configure(
        bag, cache, 'features.mode=joint', 'run.epochs=1', 'optimizer.ema_decay=0.9'
    )
    paths = RunPaths(tmp_path / 'model', tmp_path / 'run')
    run_training(config, paths, quiet)
    assert not (paths.workdir / 'features').exists()
    for name in ('feature_metric', 'single_view'):
        assert 'nan' not in column(paths.workdir, name)
    assert not any('decoder' in name for name in read_features(paths.out).state)


@pytest.mark.parametrize('mode', ['separate', 'joint'])
def test_features_are_exported_as_the_best_checkpoint_has_them(
    bag: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """Whichever the run ended with, and again where its model is made a second time."""
    config = configure(bag, cache, f'features.mode={mode}')
    best = SelfSupervisedTask(config, CAMERA.fx, 10)
    assert best.feature_net is not None
    with torch.no_grad():
        for parameter in best.feature_net.parameters():
            parameter.fill_(0.5)
    paths = RunPaths(tmp_path / 'model', tmp_path / 'run')
    paths.workdir.mkdir()
    torch.save({'state_dict': best.state_dict()}, paths.workdir / 'best.ckpt')
    exported = []

    def finish(_config: TrainConfig, _out: Path, task: SelfSupervisedTask, *_: object) -> None:
        assert task.feature_net is not None
        exported.append(task.feature_net.state_dict())

    for place, name, stand_in in (
        ('self_supervised_run', 'prepare_features', lambda *_: None),
        ('self_supervised_run', 'fit', lambda *_: None),
        ('self_supervised_run', 'finish', finish),
        ('export.of_run', 'finish', finish),
    ):
        monkeypatch.setattr(f'training.{place}.{name}', stand_in)
    run_training(config, paths, quiet)
    export_run(paths.workdir, paths.out, None, quiet)
    assert len(exported) == 2
    for state in exported:
        for name, value in best.feature_net.state_dict().items():
            torch.testing.assert_close(state[name], value, rtol=0, atol=0)


@pytest.mark.parametrize('mode', ['separate', 'joint'])
def test_a_step_changes_what_is_to_learn_and_nothing_else(
    bag: Path, cache: Path, mode: str
) -> None:
    config = configure(bag, cache, f'features.mode={mode}', 'loss.automask=false')
    task = SelfSupervisedTask(config, CAMERA.fx, 10).train()
    batch = next(iter(FrameDataModule(config, prepare_data(config, quiet)).train_dataloader()))
    before = {name: value.clone() for name, value in task.state_dict().items()}
    optimizer = task.configure_optimizers()['optimizer']
    task.log = lambda *_args, **_options: None  # type: ignore[method-assign]
    task.training_step(batch, 0).backward()
    optimizer.step()
    changed = {name for name, value in task.state_dict().items() if not value.equal(before[name])}
    for part in ('depth_net.', 'pose_net.'):
        assert any(name.startswith(part) for name in changed)
    learns = {name for name in changed if name.startswith('feature_net.')}
    assert bool(learns) == (mode == 'joint')
    if mode == 'joint':
        assert any('decoder' in name for name in learns)
        assert any('encoder' in name for name in learns)


def test_features_are_learnt_from_targets_alone(
    bag: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure(bag, cache)
    changed: list[int] = []

    def counted(batch: Batch, images01: torch.Tensor, draws: augment.Draws):
        changed.append(images01.shape[1])
        return batch, images01

    monkeypatch.setattr(augment, 'change_geometry', counted)
    data = prepare_data(config, quiet)
    for alone, frames in ((True, 1), (False, 3)):
        module = FrameDataModule(config, data, targets_alone=alone)
        batch = next(iter(module.train_dataloader()))
        assert batch.images.shape[1] == frames
        task = FeatureTask(config, 10).train()
        task.log = lambda *_args, **_options: None  # type: ignore[method-assign]
        assert torch.isfinite(task.training_step(batch, 0))
    assert changed == [1, 1]


def test_depth_alone_is_judged_without_what_features_learn(bag: Path, cache: Path) -> None:
    config = configure(bag, cache, 'features.mode=joint')
    task = SelfSupervisedTask(config, CAMERA.fx, 10).eval()
    batch = next(iter(FrameDataModule(config, prepare_data(config, quiet)).val_dataloader()))
    with torch.no_grad():
        terms = task.terms(batch)
    assert float(terms.total - terms.depth_loss) == pytest.approx(
        float(terms.single_view), rel=1e-4
    )
    assert terms.depth_m.shape[-2:] == batch.depth_m.shape[-2:]


@pytest.mark.parametrize('mode', ['separate', 'joint'])
def test_features_that_a_run_did_not_train_first_are_read_from_its_checkpoint(
    tmp_path: Path, mode: str
) -> None:
    task = SelfSupervisedTask(configure(tmp_path, tmp_path, f'features.mode={mode}'), 50.0, 10)
    assert task.feature_net is not None
    torch.save({'state_dict': task.state_dict()}, tmp_path / LAST)
    frozen = build_frozen_features('lcnet_035')
    load_features(frozen, read_features(tmp_path))
    expected = task.feature_net.state_dict()
    for name, value in frozen.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0)
    torch.save({'state_dict': {'depth_net.x': torch.zeros(1)}}, tmp_path / BEST)
    with pytest.raises(ModelError, match=r'best\.ckpt was trained without learnt features'):
        read_features(tmp_path)


def test_features_that_do_not_fit_are_refused(
    bag: Path, cache: Path, finished: RunPaths, tmp_path: Path
) -> None:
    weights = read_features(finished.workdir)
    wider = configure(bag, cache, 'features.network.channels=[4, 4, 8, 8, 16]')
    with pytest.raises(ModelError, match=r'features\.pt: decoder\.first\.3\.conv\.weight is'):
        load_features(FeatureTask(wider, 10).feature_net, weights)
    with pytest.raises(ModelError, match='no features were trained there by themselves'):
        read_features(tmp_path)
    given = replace(wider, features=replace(wider.features, init=tmp_path / 'none.pt'))
    with pytest.raises(ModelError, match=r'none\.pt is missing'):
        run_training(given, RunPaths(tmp_path / 'model', tmp_path / 'run'), quiet)


@pytest.mark.parametrize(
    ('override', 'message'),
    [
        ('features.size=[100, 64]', r'features\.size \(100, 64\) must be two multiples of 32'),
        ('features.epochs=0', r'features\.epochs 0 must be 1 or more'),
        ('features.convergent=-1', r'features\.convergent -1\.0 must be 0 or more'),
        ('features.mode=both', r"features\.mode is 'both' \(allowed: separate, joint\)"),
        ('loss.feature_metric=-1', r'loss\.feature_metric -1\.0 must be 0 or more'),
    ],
)
def test_impossible_values_are_refused(
    bag: Path, cache: Path, override: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        configure(bag, cache, override)


def test_features_that_find_no_space_are_one_line_and_leave_nothing(tmp_path: Path) -> None:
    no_space = pytest.raises(DepthRosError, match=r'cannot write .*features\.pt: File too large$')
    with no_space, files_up_to(1000):
        write_features({'encoder': torch.ones(1000)}, tmp_path / FEATURES_FILE)
    assert not list(tmp_path.iterdir())
