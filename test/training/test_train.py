"""Runs from bag to model folder; killed runs go on as if nothing had happened."""

import errno
import itertools
import math
import os
import shutil
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import timm
import torch
import yaml
from helpers import quiet
from rendered_frames import CAMERA
from training_runs import (
    ROOT,
    TINY,
    assert_same_logs,
    assert_same_weights,
    resume,
    rows,
    run_until,
    train_command,
    wait_until,
)

from depth_ros.cli.main import main
from depth_ros.cli.train import parse_bag
from depth_ros.errors import ConfigError, DepthRosError, ModelError
from depth_ros.model_folder.model import Model
from depth_ros.model_folder.spec import Precision, ScaleKind
from depth_ros.synthetic import SyntheticBag, write_bag
from training.callbacks import BEST, LAST
from training.config import BagSource, OptimizerConfig, Schedule, TrainConfig
from training.config.presets import load_config
from training.config.strict import to_plain
from training.data.module import FrameDataModule, prepare_data
from training.export.of_run import export_run
from training.initial import load_initial
from training.networks.backbones import PretrainedWeights
from training.tasks.abs_rel import abs_rel
from training.tasks.schedule import rate_factor
from training.tasks.self_supervised import SelfSupervisedTask
from training.tasks.weight_mean import WeightMean
from training.train import RunPaths, read_run_config, run_training
from training.weights import read_weights

SHORT = (
    'run.threads=1', 'run.epochs=2', 'run.steps_per_epoch=6', 'run.checkpoint_every=4',
    'run.batch_size=2', 'augment.zoom=1.2', 'optimizer.ema_decay=0.9', 'export.evaluate=false',
)  # fmt: skip


def configure(bag: Path, cache: Path, *overrides: str) -> TrainConfig:
    return load_config(TINY, [*SHORT, f'data.cache={cache}', *overrides], [BagSource(bag)])


@pytest.fixture(scope='module')
def finished(bag: Path, tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    """An uninterrupted self-supervised run."""
    folder = tmp_path_factory.mktemp('finished')
    paths = RunPaths(folder / 'model', folder / 'run')
    run_training(configure(bag, folder / 'cache'), paths, quiet)
    return paths


def test_a_run_leaves_model_logs_and_pictures(finished: RunPaths) -> None:
    model = Model.load(finished.out)
    assert model.pose_path is not None
    assert model.spec.motion is not None
    assert model.spec.name == 'model'  # as its folder, not as the preset: two runs of one differ
    assert model.spec.scale is ScaleKind.METRIC
    assert model.spec.scale_source == 'odometry'
    assert (model.spec.width, model.spec.height) == (96, 64)
    assert model.spec.intrinsics is not None
    assert model.spec.intrinsics.fx == pytest.approx(CAMERA.fx, rel=0.02)
    losses = rows(finished.workdir)
    assert [int(row[0]) for row in losses[1:]] == list(range(1, 13))
    assert len(rows(finished.workdir, 'validation.csv')) == 3
    assert len(list((finished.workdir / 'pictures').glob('*.png'))) == 2
    assert list((finished.workdir / 'tensorboard').glob('events*'))
    assert not list(finished.workdir.glob('*.partial'))


def test_a_run_and_its_model_export_again_in_half_precision(
    finished: RunPaths, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    whole = Model.load(finished.out)
    for source in (finished.workdir, finished.out):
        out = tmp_path / source.name
        command = ['export', str(source), '--precision', 'fp16', '--out', str(out)]
        assert main(command) == 0, capsys.readouterr().err
        half = Model.load(out)
        assert half.spec.precision is Precision.FP16
        assert half.depth_path.stat().st_size < 0.6 * whole.depth_path.stat().st_size
        np.testing.assert_allclose(half.samples()['depth'], whole.samples()['depth'], rtol=1e-4)
    assert main(['export', str(finished.out), '--out', str(tmp_path / 'again')]) == 2
    assert 'is a model already; --precision fp16' in capsys.readouterr().err
    (tmp_path / 'config.yaml').write_text((finished.workdir / 'config.yaml').read_text())
    assert main(['export', str(tmp_path), '--out', str(tmp_path / 'again')]) == 2
    assert 'holds no checkpoint yet' in capsys.readouterr().err


def test_killed_and_resumed_runs_have_the_losses_of_whole_ones(
    bag: Path, finished: RunPaths, tmp_path: Path
) -> None:
    stored = yaml.safe_load((finished.workdir / 'config.yaml').read_text())
    cache = stored['data']['cache']
    command = train_command(bag, tmp_path, [*SHORT, f'data.cache={cache}'])
    run_until(command, tmp_path / 'run', 5)
    run_until([*command, '--resume'], tmp_path / 'run', 10)
    resume(command)
    assert_same_logs(tmp_path / 'run', finished.workdir)
    assert_same_weights(tmp_path / 'model', finished.out)


def test_a_killed_loader_ends_in_one_line_and_the_run_goes_on(bag: Path, tmp_path: Path) -> None:
    workdir = tmp_path / 'run'
    settings = ('run.steps_per_epoch=40', 'run.epochs=1', 'data.workers=1')
    command = train_command(bag, tmp_path, [*SHORT, *settings, f'data.cache={tmp_path}'])
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    wait_until(process, (workdir / 'last.ckpt').exists)
    children = Path(f'/proc/{process.pid}/task/{process.pid}/children').read_text().split()
    assert len(children) == 1
    os.kill(int(children[0]), signal.SIGKILL)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 2, errors[-2000:]
    assert 'a process that loads batches was killed; go on with --resume' in errors
    assert 'Traceback' not in errors
    resume(command)
    assert [int(row[0]) for row in rows(workdir)[1:]] == list(range(1, 41))


def test_a_run_that_is_told_to_end_says_so(
    bag: Path, finished: RunPaths, tmp_path: Path
) -> None:
    stored = yaml.safe_load((finished.workdir / 'config.yaml').read_text())
    settings = (*SHORT, 'run.steps_per_epoch=500', f'data.cache={stored["data"]["cache"]}')
    process = subprocess.Popen(
        train_command(bag, tmp_path, settings), cwd=ROOT, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_until(process, (tmp_path / 'run' / 'last.ckpt').exists)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=100)
    assert process.returncode in (130, -signal.SIGINT), errors[-2000:]  # 130 to a shell, too
    assert errors.splitlines()[-1] == 'depth_ros train: interrupted'
    assert not (tmp_path / 'model').exists()


def test_a_full_disk_is_told_and_leaves_whole_checkpoints(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = RunPaths(tmp_path / 'model', tmp_path / 'run')
    config, saved = configure(bag, tmp_path), []
    save = pl.Trainer.save_checkpoint

    def fill(trainer: pl.Trainer, path: Path) -> None:
        saved.append(trainer.global_step)
        save(trainer, path)
        if len(saved) > 1:
            path.write_bytes(b'half')
            raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(pl.Trainer, 'save_checkpoint', fill)
    with pytest.raises(DepthRosError, match=r'cannot write .*: No space left') as caught:
        run_training(config, paths, quiet)
    assert '\n' not in str(caught.value)
    assert not list(paths.workdir.glob('*.partial'))
    state = torch.load(paths.workdir / 'last.ckpt', map_location='cpu', weights_only=False)
    assert state['global_step'] == saved[0]
    monkeypatch.undo()
    run_training(config, replace(paths, resume=True), quiet)
    assert [int(row[0]) for row in rows(paths.workdir)[1:]] == list(range(1, 13))


def test_depth_supervision_lowers_loss_and_error(bag: Path, tmp_path: Path) -> None:
    config = configure(
        bag, tmp_path, 'loss.photometric=0', 'loss.depth=1', 'run.epochs=4',
        'run.steps_per_epoch=15', 'optimizer.lr=2e-3', 'optimizer.ema_decay=0', 'run.batch_size=4',
    )  # fmt: skip
    paths = RunPaths(tmp_path / 'model', tmp_path / 'run')
    run_training(config, paths, quiet)
    losses = np.array([float(row[1]) for row in rows(paths.workdir)[1:]])
    assert losses[-10:].mean() < 0.4 * losses[:3].mean()
    errors = [float(row[-1]) for row in rows(paths.workdir, 'validation.csv')[1:]]
    assert min(errors[1:]) < 0.95 * errors[0]
    model = Model.load(paths.out)
    assert model.pose_path is None
    assert model.spec.scale_source == 'depth truth'


def test_every_supervision_at_once(bag: Path, tmp_path: Path) -> None:
    config = configure(
        bag, tmp_path, 'loss.depth=1', 'loss.velocity=0.05', 'loss.consistency=0.1',
        'loss.motion=0.1', 'loss.motion_more_pairs=true', 'loss.feature_metric=1e-3',
        'features.mode=joint',
        'features.network.backbone=lcnet_035', 'features.network.channels=[4, 4, 8, 8, 8]',
        'run.epochs=1', 'run.steps_per_epoch=3',
    )  # fmt: skip
    run_training(config, RunPaths(tmp_path / 'model', tmp_path / 'run'), quiet)
    last = [float(value) for value in rows(tmp_path / 'run')[-1]]
    assert np.isfinite(last).all()


def test_the_depth_loss_is_the_loss_without_its_motion_term(bag: Path, tmp_path: Path) -> None:
    losses = []
    for weight in (0.0, 0.5, 1.0):
        config = configure(bag, tmp_path, f'loss.motion={weight}', 'loss.teacher=odometry')
        task = SelfSupervisedTask(config, CAMERA.fx, 10)
        task.eval()
        data = prepare_data(config, quiet)
        batch = next(iter(FrameDataModule(config, data).val_dataloader()))
        torch.manual_seed(0)
        with torch.no_grad():
            terms = task.terms(batch)
        losses.append((float(terms.total), float(terms.depth_loss)))
    (plain, plain_depth), (half, half_depth), (full, full_depth) = losses
    assert plain == plain_depth == half_depth == full_depth
    assert full - plain == pytest.approx(2 * (half - plain), rel=1e-3)
    assert full > half > plain


def test_workdirs_are_not_mixed_up(bag: Path, finished: RunPaths, tmp_path: Path) -> None:
    config = configure(bag, tmp_path)
    with pytest.raises(ConfigError, match='holds a run already; go on with --resume'):
        run_training(config, finished, quiet)
    other = replace(config, run=replace(config.run, seed=5))
    with pytest.raises(ConfigError, match=r'other values of data\.cache, run\.seed'):
        run_training(other, replace(finished, resume=True), quiet)
    with pytest.raises(ConfigError, match='no run to resume'):
        run_training(config, RunPaths(tmp_path / 'm', tmp_path / 'none', resume=True), quiet)


@pytest.mark.parametrize(
    ('out', 'workdir', 'problem'),
    [
        ('runs/m', 'runs/m', '--out .*runs/m is the workdir .*runs/m, which the model would'),
        ('runs', 'runs/m', '--out .*runs holds the workdir .*runs/m, which the model would'),
        ('other', 'runs/m', 'other exists and is no model folder; not replaced'),
    ],
)
def test_a_model_that_could_not_be_written_is_refused_before_any_bag_is_read(
    tmp_path: Path, out: str, workdir: str, problem: str
) -> None:
    (tmp_path / 'other').mkdir()
    (tmp_path / 'other/notes').touch()
    # An earlier model beside the logs would let the swap take them away.
    (tmp_path / 'runs/m').mkdir(parents=True)
    (tmp_path / 'runs/m/depth.onnx').touch()
    config = configure(tmp_path / 'no bag', tmp_path)
    with pytest.raises(DepthRosError, match=problem):
        run_training(config, RunPaths(tmp_path / out, tmp_path / workdir), quiet)


def test_a_model_may_lie_in_its_workdir(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path / 'run/model', tmp_path / 'run')
    with pytest.raises(DepthRosError, match='no bag'):
        run_training(configure(tmp_path / 'no bag', tmp_path), paths, quiet)


def test_a_loss_without_its_truth_is_refused(bag: Path, tmp_path: Path) -> None:
    paths = RunPaths(tmp_path / 'model', tmp_path / 'run')
    config = configure(bag, tmp_path, 'loss.depth=1', 'data.depth_truth=false')
    with pytest.raises(ConfigError, match='no frame to train on has depth truth'):
        run_training(config, paths, quiet)


def test_a_monitor_that_no_validation_frame_can_tell_is_refused(
    bag: Path, tmp_path: Path
) -> None:
    truthless = ('run.monitor=abs_rel', 'data.depth_truth=false')
    with pytest.raises(ConfigError, match=r'run\.monitor is abs_rel, and no frame to validate on'):
        prepare_data(configure(bag, tmp_path, *truthless), quiet)
    prepare_data(configure(bag, tmp_path, *truthless, 'data.validation_share=0'), quiet)
    prepare_data(configure(bag, tmp_path, 'run.monitor=abs_rel'), quiet)


def test_too_little_motion_is_told_with_the_largest_seen(bag: Path, tmp_path: Path) -> None:
    config = configure(
        bag, tmp_path, 'pairs.measure=pose', 'pairs.min_translation_m=50',
        'pairs.max_translation_m=60',
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r'neighbours on both sides .*largest seen: 0\.'):
        run_training(config, RunPaths(tmp_path / 'model', tmp_path / 'run'), quiet)


def test_one_bag_without_motion_does_not_stop_the_others(bag: Path, tmp_path: Path) -> None:
    still = tmp_path / 'still'
    standing = SyntheticBag(seed=4, frames=6, rate_hz=8.0, speed=1e-4, intrinsics=CAMERA)
    write_bag(still, standing)
    config = configure(bag, tmp_path, 'pairs.measure=pose', 'pairs.min_translation_m=0.02')
    told: list[str] = []
    both = replace(config, bags=(*config.bags, BagSource(still)))
    assert [len(b.targets) > 0 for b in prepare_data(both, told.append).train] == [True, False]
    assert any(line.startswith(f'not used: no frame of {still}') for line in told)


@pytest.mark.parametrize('source', ['model', 'workdir', 'unvalidated workdir', 'checkpoint'])
def test_runs_start_from_earlier_ones(
    bag: Path, finished: RunPaths, tmp_path: Path, source: str
) -> None:
    task = SelfSupervisedTask(configure(bag, tmp_path), CAMERA.fx, 10)
    before = {name: value.clone() for name, value in task.state_dict().items()}
    shutil.copy(finished.workdir / BEST, tmp_path / LAST)
    places = {
        'model': finished.out, 'workdir': finished.workdir, 'unvalidated workdir': tmp_path,
        'checkpoint': finished.workdir / BEST,
    }  # fmt: skip
    load_initial(task, places[source])
    for name, value in read_weights(finished.out).items():
        loaded = task.state_dict()[name].to(value.dtype)
        torch.testing.assert_close(loaded, value, rtol=1e-3, atol=1e-4)
    assert any(not torch.equal(before[n], value) for n, value in task.state_dict().items())


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where timm gets no weights; the images at once of backbones that they were wanted for."""
    create, wanted = timm.create_model, []

    def refuse(name: str, *, pretrained: bool = False, in_chans: int = 3, **rest: Any) -> Any:
        if pretrained:
            wanted.append(in_chans // 3)
            raise OSError('no network')
        return create(name, in_chans=in_chans, **rest)

    monkeypatch.setattr('training.networks.backbones.timm.create_model', refuse)
    return wanted


def test_nothing_is_fetched_for_networks_that_a_checkpoint_fills(
    bag: Path, finished: RunPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    offline: list[int],
) -> None:  # fmt: skip
    stored = yaml.safe_load((finished.workdir / 'config.yaml').read_text())
    config = configure(bag, Path(stored['data']['cache']), 'network.pretrained=timm')
    workdir = tmp_path / 'run'
    shutil.copytree(finished.workdir, workdir)
    (workdir / 'config.yaml').write_text(yaml.safe_dump(to_plain(config)))
    made = []
    for place in ('training.self_supervised_run.finish', 'training.export.of_run.finish'):
        monkeypatch.setattr(place, lambda _config, _out, task, *_: made.append(task))
    run_training(config, RunPaths(tmp_path / 'model', workdir, resume=True), quiet)
    export_run(workdir, tmp_path / 'again', None, quiet)
    for one, other in zip(*(task.depth_net.parameters() for task in made), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    with pytest.raises(ConfigError, match='no network'):
        run_training(config, RunPaths(tmp_path / 'other', tmp_path / 'other_run'), quiet)
    assert offline == [1]


def test_nothing_is_fetched_for_networks_that_an_earlier_run_fills(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: list[int]
) -> None:
    plain = configure(bag, tmp_path, 'network.pose_size=[64, 32]')
    task = SelfSupervisedTask(plain, CAMERA.fx, 10)
    state, begun = task.state_dict(), []
    torch.save({'state_dict': state}, tmp_path / 'whole.ckpt')
    torch.save(
        {'state_dict': {n: v for n, v in state.items() if not n.startswith('pose_net.')}},
        tmp_path / 'depth.ckpt',
    )
    monkeypatch.setattr('training.self_supervised_run.fit', lambda *given: begun.append(given[2]))
    monkeypatch.setattr('training.self_supervised_run.finish', lambda *_: None)
    config = replace(plain, network=replace(plain.network, pretrained=PretrainedWeights.TIMM))
    paths = RunPaths(tmp_path / 'model', tmp_path / 'run', tmp_path / 'whole.ckpt')
    run_training(config, paths, quiet)
    for name, value in begun[0].state_dict().items():
        if name.startswith(('depth_net.', 'pose_net.')):
            torch.testing.assert_close(value, state[name], rtol=0, atol=0)
    # A pose network that the source lacks begins as the preset says.
    with pytest.raises(ConfigError, match='no network'):
        run_training(config, replace(paths, init=tmp_path / 'depth.ckpt'), quiet)
    assert offline == [2]


def test_a_run_killed_before_its_first_checkpoint_resumes_from_what_it_began_with(
    bag: Path, finished: RunPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = []

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    def killed_later(config: TrainConfig, workdir: Path, task: SelfSupervisedTask, *_: object):
        weights.append(next(task.depth_net.parameters()).detach().clone())
        raise KeyboardInterrupt

    config = configure(bag, tmp_path, 'export.hold_scale=true')
    monkeypatch.setattr('training.self_supervised_run.prepare_features', killed)
    monkeypatch.chdir(finished.out.parent)
    begun = RunPaths(tmp_path / 'model', tmp_path / 'run', Path(finished.out.name))
    with pytest.raises(KeyboardInterrupt):
        run_training(config, begun, quiet)
    monkeypatch.undo()
    monkeypatch.setattr('training.self_supervised_run.fit', killed_later)
    resumed = replace(begun, init=None, resume=True)
    with pytest.raises(KeyboardInterrupt):
        run_training(config, resumed, quiet)
    start = SelfSupervisedTask(config, CAMERA.fx, 10)
    load_initial(start, finished.out)
    torch.testing.assert_close(weights[0], next(start.depth_net.parameters()), rtol=0, atol=0)
    assert (resumed.workdir / 'held_scale.json').is_file()
    other = replace(resumed, init=finished.workdir)
    with pytest.raises(ConfigError, match=f'began with {finished.out}, not with {other.init}'):
        run_training(config, other, quiet)
    # Begun by a version that did not write what with.
    (resumed.workdir / 'init.txt').unlink()
    with pytest.raises(KeyboardInterrupt):
        run_training(config, other, quiet)


def test_a_start_that_failed_is_begun_anew(
    bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[TrainConfig] = []
    run = 'training.self_supervised_run'
    monkeypatch.setattr(f'{run}.fit', lambda config, *_: begun.append(config))
    monkeypatch.setattr(f'{run}.finish', lambda *_: None)
    paths = RunPaths(tmp_path / 'model', tmp_path / 'run')
    wrong = configure(bag, tmp_path, 'network.backbone=resnet81')
    with pytest.raises(ConfigError, match="'resnet81' is not known"):
        run_training(wrong, paths, quiet)
    with pytest.raises(ModelError, match='none'):
        run_training(configure(bag, tmp_path), replace(paths, init=tmp_path / 'none'), quiet)
    # Of a start with a metric model, whose metres are not those of the next one.
    (paths.workdir / 'held_scale.json').touch()
    config = configure(bag, tmp_path)
    run_training(config, paths, quiet)
    assert begun == [config]
    assert read_run_config(paths.workdir) == config
    assert (paths.workdir / 'init.txt').read_text() == ''
    assert not (paths.workdir / 'held_scale.json').exists()
    for checkpoint in (LAST, BEST, 'features/last.ckpt', 'features/features.pt'):
        path = paths.workdir / checkpoint
        path.parent.mkdir(exist_ok=True)
        path.touch()
        with pytest.raises(ConfigError, match='holds a run already; go on with --resume'):
            run_training(config, paths, quiet)
        path.unlink()


def test_other_networks_and_other_folders_are_refused(
    bag: Path, finished: RunPaths, tmp_path: Path
) -> None:
    wider = configure(bag, tmp_path, 'network.decoder_channels=[8, 8, 16, 16, 48]')
    with pytest.raises(ModelError, match='other networks than the preset describes'):
        load_initial(SelfSupervisedTask(wider, CAMERA.fx, 10), finished.out)
    (tmp_path / 'text').write_text('no weights')
    task = SelfSupervisedTask(configure(bag, tmp_path), CAMERA.fx, 10)
    with pytest.raises(ModelError, match='is damaged or no file of weights'):
        load_initial(task, tmp_path / 'text')
    torch.save({'weights': torch.zeros(1)}, tmp_path / 'other.ckpt')
    with pytest.raises(ModelError, match='no checkpoint of a run: it has no state_dict'):
        load_initial(task, tmp_path / 'other.ckpt')


def test_rate_rises_then_falls() -> None:
    cosine = OptimizerConfig(warmup_steps=4, final_factor=0.1)
    rates = [rate_factor(cosine, step, 20) for step in range(21)]
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert rates[4] == 1.0
    assert all(a >= b for a, b in itertools.pairwise(rates[4:]))
    assert rates[20] == pytest.approx(0.1)
    step = OptimizerConfig(schedule=Schedule.STEP, step_at=(0.5,), step_factor=0.1)
    assert [rate_factor(step, s, 10) for s in (0, 4, 5, 9)] == [1.0, 1.0, 0.1, 0.1]
    halving = OptimizerConfig(
        schedule=Schedule.STEP, step_at=(0.5, 0.75), step_factor=0.5, warmup_steps=2,
        warmup_start=1 / 3,
    )  # fmt: skip
    rates = [rate_factor(halving, s, 8) for s in (0, 1, 2, 3, 4, 5, 6, 7)]
    assert rates == pytest.approx([5 / 9, 7 / 9, 1, 1, 0.5, 0.5, 0.25, 0.25])


def test_abs_rel_is_that_of_a_loop() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(1, 5, (3, 6, 7)).astype(np.float32)
    truth[rng.random(truth.shape) < 0.3] = np.nan
    truth[2] = np.nan
    depth = rng.uniform(1, 5, truth.shape).astype(np.float32)
    for scaled in (False, True):
        found = abs_rel(torch.from_numpy(depth), torch.from_numpy(truth), scaled)
        assert math.isnan(found[2])
        for i in range(2):
            t, d = truth[i][np.isfinite(truth[i])], depth[i][np.isfinite(truth[i])]
            if scaled:
                d = d * np.sort(t)[(len(t) - 1) // 2] / np.sort(d)[(len(d) - 1) // 2]
            assert float(found[i]) == pytest.approx(np.mean(np.abs(t - d) / t), rel=1e-5)


def test_weight_mean_follows() -> None:
    module = torch.nn.BatchNorm1d(2)
    mean = WeightMean(module, decay=0.5)
    with torch.no_grad():
        module.weight.fill_(3.0)
        module.num_batches_tracked.fill_(7)
    mean.update(module, step=100)
    torch.testing.assert_close(mean.mean.weight, torch.full((2,), 2.0))
    assert int(mean.mean.num_batches_tracked) == 7
    assert not any(p.requires_grad for p in mean.parameters())


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('a/b', BagSource(Path('a/b'))),
        ('a:3-9', BagSource(Path('a'), 3, 9)),
        ('a:3-', BagSource(Path('a'), 3)),
        ('a:-9@2.5', BagSource(Path('a'), 0, 9, 2.5)),
        ('c:x@4', BagSource(Path('c:x'), weight=4.0)),
    ],
)
def test_bags_on_the_command_line(text: str, expected: BagSource) -> None:
    assert parse_bag(text) == expected
    assert parse_bag('a', 2, 5) == BagSource(Path('a'), 2, 5)


def test_nonsense_on_the_command_line_is_refused() -> None:
    with pytest.raises(ConfigError, match='last frame 2 must be above the first'):
        parse_bag('a:5-2')
    with pytest.raises(ConfigError, match=r"weight '1\.1\.1' is no number"):
        parse_bag('a@1.1.1')
