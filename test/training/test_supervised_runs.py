"""Runs that learn from true depth alone: Depth Pro's phases, from bag to model folder."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from pathlib import Path

import graphs
import numpy as np
import pytest
import torch
import yaml
from depth_pro_runs import SMALL, TINY, train
from helpers import quiet
from rendered_frames import CAMERA
from training_runs import (
    ROOT,
    assert_same_logs,
    assert_same_weights,
    column,
    resume,
    rows,
    run_until,
)

from depth_ros.backends import BackendKind, BackendOptions, Device
from depth_ros.bags import Selection
from depth_ros.errors import ConfigError, ModelError
from depth_ros.evaluation.evaluate import EvaluationRequest, evaluate
from depth_ros.model_folder.model import Model
from depth_ros.model_folder.spec import ScaleKind
from depth_ros.pipeline import DepthPipeline
from training.callbacks import BEST, LAST
from training.config import BagSource, BagTruth, TrainConfig
from training.config.presets import load_config
from training.config.strict import to_plain
from training.data import augment
from training.data.batch import TARGET
from training.data.module import FrameDataModule, prepare_data
from training.networks.canonical import depth_to_canonical
from training.recipes.make import make_recipe
from training.supervised_run import load_supervised, scale_of
from training.tasks.supervised import SupervisedTask
from training.train import RunPaths
from training.weights import read_weights


def configure(
    bag: Path, cache: Path, *overrides: str, truth: BagTruth = BagTruth.RENDERED
) -> TrainConfig:
    settings = [*TINY, f'data.cache={cache}', *overrides]
    return load_config(SMALL, settings, [BagSource(bag, truth=truth)])


@pytest.fixture(scope='module')
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('cache')


@pytest.fixture(scope='module')
def generalised(bag: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> RunPaths:
    """A finished run of stage 1."""
    return train(tmp_path_factory.mktemp('stage_1'), configure(bag, cache))


def test_a_run_leaves_a_metric_model_that_is_told_the_camera(generalised: RunPaths) -> None:
    model = Model.load(generalised.out)
    assert model.spec.family == 'depth_pro'
    assert model.spec.scale is ScaleKind.METRIC
    assert model.spec.intrinsics is None
    assert model.pose_path is None
    assert (model.spec.depth_width, model.spec.depth_height) == (128, 128)
    header, *losses = rows(generalised.workdir)
    assert {'loss', 'mae', 'ssi_mage', 'trimmed_mae', 'ssi_mae'} < set(header)
    assert len(losses) == 12
    assert list((generalised.workdir / 'pictures').glob('*.png'))


def test_more_steps_lower_the_loss(bag: Path, cache: Path, tmp_path: Path) -> None:
    config = configure(bag, cache, 'run.epochs=3', 'run.steps_per_epoch=20', 'augment.zoom=1',
                       'augment.jitter=0', 'augment.blur=0')  # fmt: skip
    paths = train(tmp_path, config)
    losses = [float(value) for value in column(paths.workdir, 'loss')]
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:5])


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    bag: Path, cache: Path, generalised: RunPaths, tmp_path: Path
) -> None:
    command = [sys.executable, '-m', 'depth_ros', 'train', '--bag', str(bag), '--truth',
               'rendered', '--preset', str(SMALL), '--out', str(tmp_path / 'model'),
               '--workdir', str(tmp_path / 'run')]  # fmt: skip
    for setting in (*TINY, f'data.cache={cache}'):
        command += ['--set', setting]
    run_until(command, tmp_path / 'run', 7)
    resume(command)
    assert_same_logs(tmp_path / 'run', generalised.workdir)
    assert_same_weights(tmp_path / 'model', generalised.out)


def test_stage_two_begins_with_stage_one(
    bag: Path, cache: Path, generalised: RunPaths, tmp_path: Path
) -> None:
    config = configure(bag, cache, 'depth_pro.phase=sharpen', 'run.epochs=1',
                       'run.steps_per_epoch=1', 'optimizer.lr=1e-9',
                       'depth_pro.encoder_lr=1e-9', 'optimizer.ema_decay=0')  # fmt: skip
    paths = train(tmp_path, config, generalised.out)
    assert {'mae', 'mse', 'mage', 'male', 'msge'} < set(rows(paths.workdir)[0])
    before = read_weights(generalised.out)
    for name, value in read_weights(paths.out).items():
        torch.testing.assert_close(value.float(), before[name].float(), atol=1e-3, rtol=1e-2)


def test_a_phase_begins_with_one_that_validated_nothing(
    bag: Path, cache: Path, generalised: RunPaths, tmp_path: Path
) -> None:
    shutil.copy(generalised.workdir / BEST, tmp_path / LAST)
    config = configure(bag, cache)
    tasks = [SupervisedTask(config, make_recipe(config, CAMERA), 10) for _ in range(2)]
    for task, source in zip(tasks, (generalised.workdir / BEST, tmp_path)):
        load_supervised(task, source)
    for one, other in zip(*(task.net.parameters() for task in tasks), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_the_field_of_view_leaves_depth_as_it_is(
    bag: Path, cache: Path, generalised: RunPaths, tmp_path: Path
) -> None:
    config = configure(
        bag, cache, 'depth_pro.phase=field-of-view', 'depth_pro.network.fov_head=true',
        'run.monitor=loss', 'run.steps_per_epoch=10', 'augment.zoom=1',
    )  # fmt: skip
    paths = train(tmp_path, config, generalised.out)
    errors = [float(value) for value in column(paths.workdir, 'fov_error_deg')]
    assert np.mean(errors[-4:]) < np.mean(errors[:4])
    before, after = read_weights(generalised.out), read_weights(paths.out)
    for name, value in before.items():
        assert torch.equal(after[name], value), name
    assert any(name.startswith('net.fov.') for name in after)
    # And sees depth as before, now also without being told the focal length.
    assert Model.load(paths.out).samples().keys() >= {'image', 'intrinsics', 'depth'}


@pytest.mark.parametrize(
    ('scale', 'source'), [(ScaleKind.METRIC, 'a laser'), (ScaleKind.UP_TO_SCALE, 'none')]
)
def test_the_field_of_view_leaves_the_metres_of_its_model(
    bag: Path, cache: Path, tmp_path: Path, scale: ScaleKind, source: str
) -> None:
    config = configure(
        bag, cache, 'depth_pro.phase=field-of-view', 'depth_pro.network.fov_head=true',
        'run.monitor=loss',
    )  # fmt: skip
    data = prepare_data(config, quiet)
    spec = graphs.spec(motion=None, scale=scale, scale_source=source)
    begun = graphs.write_model(tmp_path / 'begun', spec)
    assert scale_of(config, data, begun.path) == (scale, source)
    # Weights of an official file are those of metres, random ones are not.
    (tmp_path / 'official.pt').touch()
    metres = (ScaleKind.METRIC, 'depth truth')
    assert scale_of(config, data, tmp_path / 'official.pt') == metres
    assert scale_of(config, data, None) == (ScaleKind.UP_TO_SCALE, 'none')


@pytest.mark.parametrize(
    ('truth', 'expected'),
    [
        (BagTruth.RENDERED, (ScaleKind.METRIC, 'depth truth')),
        (BagTruth.MEASURED_RELATIVE, (ScaleKind.UP_TO_SCALE, 'none')),
    ],
)
def test_the_field_of_view_leaves_the_metres_of_its_run(
    bag: Path, cache: Path, tmp_path: Path, truth: BagTruth, expected: tuple[ScaleKind, str]
) -> None:
    first = workdir_of(tmp_path / 'first', configure(bag, cache, 'run.monitor=loss', truth=truth))
    config = configure(
        bag, cache, 'depth_pro.phase=field-of-view', 'depth_pro.network.fov_head=true',
        'run.monitor=loss', truth=BagTruth.MEASURED,
    )  # fmt: skip
    data = prepare_data(config, quiet)
    # Of one that went on with the field of view, too, and of either's checkpoint.
    second = workdir_of(tmp_path / 'second', config, first)
    for begun in (first, first / BEST, second, second / BEST):
        assert scale_of(config, data, begun) == expected
    shutil.copy(first / BEST, tmp_path / BEST)
    assert scale_of(config, data, tmp_path / BEST) == (ScaleKind.UP_TO_SCALE, 'none')


def workdir_of(folder: Path, config: TrainConfig, init: Path | None = None) -> Path:
    """What a run leaves that says how it was made."""
    folder.mkdir()
    (folder / 'config.yaml').write_text(yaml.safe_dump(to_plain(config)))
    (folder / 'init.txt').write_text('' if init is None else str(init))
    (folder / BEST).touch()
    return folder


def test_steps_of_the_field_of_view_cost_what_validation_says(bag: Path, cache: Path) -> None:
    config = configure(
        bag, cache, 'depth_pro.phase=field-of-view', 'depth_pro.network.fov_head=true',
        'run.monitor=loss',
    )  # fmt: skip
    data = prepare_data(config, quiet)
    task = SupervisedTask(config, make_recipe(config, data.training), 1).eval()
    batch = next(iter(FrameDataModule(config, data).train_dataloader()))
    whole = task.terms(batch)
    image01 = augment.to_unit_images(batch.images)[:, TARGET]
    step = task.recipe.training_loss(task.net, batch, image01)
    torch.testing.assert_close(step.total, whole.total, rtol=1e-4, atol=1e-2)
    step.total.backward()
    learnt = {name for name, p in task.net.named_parameters() if p.grad is not None}
    assert learnt
    assert all(name.startswith('fov.') for name in learnt)


def test_derivatives_count_as_much_as_is_configured(bag: Path, cache: Path) -> None:
    parts = []
    for weight in (1, 7):
        config = configure(bag, cache, 'depth_pro.phase=sharpen',
                           f'depth_pro.derivative_weight={weight}')  # fmt: skip
        data = prepare_data(config, quiet)
        task = SupervisedTask(config, make_recipe(config, data.training), 1)
        torch.manual_seed(0)
        batch = next(iter(FrameDataModule(config, data).train_dataloader()))
        torch.manual_seed(0)
        net = task.recipe.make_net()
        image01 = augment.to_unit_images(batch.images)[:, TARGET]
        parts.append(task.recipe.training_loss(net, batch, image01).parts)
    assert set(parts[0]) == {'mae', 'mse', 'mage', 'male', 'msge'}
    for name, part in parts[0].items():
        factor = 1 if name in ('mae', 'mse') else 7
        assert float(parts[1][name]) == pytest.approx(factor * float(part), rel=1e-5), name


def test_what_learns_is_in_groups_with_rates_of_their_own(bag: Path, cache: Path) -> None:
    config = configure(bag, cache, 'depth_pro.freeze_norms=true', 'optimizer.lr=1e-3',
                       'depth_pro.encoder_lr=1e-4')  # fmt: skip
    data = prepare_data(config, quiet)
    task = SupervisedTask(config, make_recipe(config, data.training), 1)
    vits, others = task.recipe.groups(task.net, 1e-3)
    assert (vits['lr'], others['lr']) == (1e-4, 1e-3)
    names = {id(p): n for n, p in task.net.named_parameters()}
    of_vits = {names[id(p)] for p in vits['params']}
    assert all(n.startswith(('encoder.patch_encoder.', 'encoder.image_encoder.')) for n in of_vits)
    assert not any('.norm' in name for name in of_vits)
    frozen = {n for n, p in task.net.named_parameters() if not p.requires_grad}
    assert frozen == {n for n in names.values() if '_encoder.' in n and '.norm' in n}
    assert {names[id(p)] for p in others['params']} == set(names.values()) - of_vits - frozen


def test_vits_without_a_rate_stay_as_they_are(bag: Path, cache: Path, tmp_path: Path) -> None:
    config = configure(bag, cache, 'depth_pro.encoder_lr=0', 'run.steps_per_epoch=2')
    data = prepare_data(config, quiet)
    recipe = make_recipe(config, data.training)
    before = SupervisedTask(config, recipe, 1).net.state_dict()
    after = read_weights(train(tmp_path, config).out)
    # Filters are kept in half precision.
    changed = {
        name
        for name, value in before.items()
        if not torch.equal(after[f'net.{name}'].half(), value.half())
    }
    assert changed
    assert not any(name.startswith(('encoder.patch_e', 'encoder.image_e')) for name in changed)


def test_a_crop_changes_the_focal_length_and_not_the_depth(bag: Path, cache: Path) -> None:
    config = configure(bag, cache, 'augment.zoom=2', 'augment.zoom_share=1', 'augment.flip=0')
    data = prepare_data(config, quiet)
    batch = next(iter(FrameDataModule(config, data).train_dataloader()))
    cropped, _ = augment.augmented_target(config.augment, 0, 0, batch)
    grown = cropped.intrinsics[:, 0] / batch.intrinsics[:, 0]
    assert (grown > 1).all()
    # About the middle: the principal point stays where it is to the image.
    centre = (batch.intrinsics[:, 2] - 63.5) * grown + 63.5
    torch.testing.assert_close(cropped.intrinsics[:, 2], centre, atol=1e-3, rtol=0)
    middle = batch.depth_m[:, 63:65, 63:65]
    seen = cropped.depth_m[:, 63:65, 63:65]
    torch.testing.assert_close(seen, middle, atol=0.05, rtol=0.05)
    truth = depth_to_canonical(seen, cropped.intrinsics[:, 0], 128)
    whole = depth_to_canonical(middle, batch.intrinsics[:, 0], 128)
    torch.testing.assert_close(truth, whole * grown[:, None, None], rtol=0.06, atol=1e-3)


def test_blur_is_a_gaussian_and_leaves_what_is_not_drawn() -> None:
    images01 = torch.zeros(2, 1, 3, 17, 17)
    images01[..., 8, 8] = 1.0
    found = augment.blurred(images01, torch.tensor([0.0, 1.5]))
    torch.testing.assert_close(found[0], images01[0])
    distance = torch.arange(17) - 8.0
    row = torch.exp(-0.5 * (distance / 1.5) ** 2)
    expected = torch.outer(row, row) / row.sum() ** 2
    torch.testing.assert_close(found[1, 0, 0], expected, atol=2e-3, rtol=0)


def test_cameras_of_different_focal_lengths_train_together(
    bag: Path, cache: Path, tmp_path: Path
) -> None:
    from depth_ros.cameras.intrinsics import Intrinsics
    from depth_ros.synthetic import SyntheticBag, write_bag

    wide = Intrinsics(40.0, 40.0, 46.5, 30.5, 96, 64)
    write_bag(tmp_path / 'wide', SyntheticBag(seed=5, frames=8, rate_hz=8.0, intrinsics=wide))
    sources = [BagSource(one, truth=BagTruth.RENDERED) for one in (bag, tmp_path / 'wide')]
    config = load_config(SMALL, [*TINY, f'data.cache={cache}', 'run.batch_size=12'], sources)
    data = prepare_data(config, quiet)
    batch = next(iter(FrameDataModule(config, data).train_dataloader()))
    focals = {round(float(focal), 1) for focal in batch.intrinsics[:, 0]}
    assert focals == {round(80 * 128 / 96, 1), round(40 * 128 / 96, 1)}
    task = SupervisedTask(config, make_recipe(config, data.training), 1)
    with torch.no_grad():
        result = task.terms(batch)
    assert math.isfinite(result.total)
    # The same answer means twice the depth where the focal length is twice as long.
    other = task.terms(batch._replace(intrinsics=2 * batch.intrinsics))
    torch.testing.assert_close(other.depth_m, (2 * result.depth_m).clamp(max=1e4))
    assert batch.images[:, TARGET].float().std() > 1


def test_the_model_goes_through_the_robot_s_pipeline(generalised: RunPaths, bag: Path) -> None:
    options = BackendOptions(BackendKind.ONNXRUNTIME, Device.CPU)
    pipeline = DepthPipeline.open(Model.load(generalised.out), options)
    request = EvaluationRequest(bag=bag, selection=Selection(20), samples=0)
    evaluation = evaluate(request, pipeline, lambda _: None)
    pipeline.close()
    assert evaluation.depth[0].unscaled is not None
    assert math.isfinite(evaluation.depth[0].unscaled.abs_rel)


def test_a_run_is_exported_anew(
    bag: Path, cache: Path, generalised: RunPaths, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, '-m', 'depth_ros', 'export', str(generalised.workdir), '--out',
         str(tmp_path / 'again'), '--precision', 'fp32'],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert_same_weights(tmp_path / 'again', generalised.out)


def test_impossible_runs_are_refused(
    bag: Path, cache: Path, generalised: RunPaths, tmp_path: Path
) -> None:
    # Before any bag is read.
    with pytest.raises(ConfigError, match='data is 128 x 96; the network of depth_pro sees 128'):
        configure(bag, cache, 'data.height=96')
    with pytest.raises(ConfigError, match='field-of-view needs depth_pro'):
        configure(bag, cache, 'depth_pro.phase=field-of-view')
    with pytest.raises(ConfigError, match="truth is 'guessed'"):
        load_config(SMALL, ['bags=[{path: x, truth: guessed}]'])
    with pytest.raises(ModelError, match='lite0 holds no network that was trained by true depth'):
        train(tmp_path / 'b', configure(bag, cache), Path('lite0'))
    with pytest.raises(ModelError, match=r'model lacks keys encoder\.image_encoder\.blocks\.2'):
        train(tmp_path / 'c', configure(bag, cache, 'depth_pro.network.vit_depth=3'),
              generalised.out)  # fmt: skip
