"""Runs of Fourier-domain depth's network: two stages, and a model folder that can be combined."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from helpers import quiet
from training_runs import ROOT

from depth_ros.backends import BackendKind, BackendOptions, Device
from depth_ros.bags import Selection
from depth_ros.cameras.rectifier import RectifyMode
from depth_ros.errors import ConfigError
from depth_ros.evaluation.evaluate import EvaluationRequest, evaluate
from depth_ros.model_folder.model import Model
from depth_ros.model_folder.spec import ScaleKind
from depth_ros.pipeline import DepthPipeline
from training.config import BagSource, TrainConfig
from training.config.presets import load_config
from training.data.module import FrameDataModule, prepare_data
from training.fusion.fit_fusion import FusionSettings, fit_fusion
from training.networks.den import Den
from training.recipes.den import mean_of_known
from training.recipes.make import make_recipe
from training.tasks.supervised import SupervisedTask
from training.train import RunPaths, run_training
from training.weights import read_weights

PRESETS = ROOT / 'config/training'
TINY = (
    'data.width=64', 'data.height=64', 'den.network.input_px=64', 'run.threads=1',
    'run.log_every=1', 'run.epochs=1', 'run.steps_per_epoch=3', 'run.batch_size=2',
    'optimizer.warmup_steps=0', 'optimizer.ema_decay=0', 'export.evaluate=false',
    'data.validation_share=0.25',
)  # fmt: skip


def configure(preset: str, bag: Path, cache: Path, *overrides: str) -> TrainConfig:
    settings = [*TINY, f'data.cache={cache}', *overrides]
    return load_config(PRESETS / f'{preset}.yaml', settings, [BagSource(bag)])


@pytest.fixture(scope='module')
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('cache')


@pytest.fixture(scope='module')
def stages(bag: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> list[RunPaths]:
    """Both stages, the second begun with the first and hardly changed."""
    folder, runs = tmp_path_factory.mktemp('den'), []
    for preset, changes in (('den_small_plain', ()), ('den_small', ('optimizer.lr=1e-9',))):
        init = runs[-1].out if runs else None
        paths = RunPaths(folder / preset, folder / f'{preset}_run', init)
        run_training(configure(preset, bag, cache, *changes), paths, quiet)
        runs.append(paths)
    return runs


def test_the_second_stage_goes_on_with_the_first(stages: list[RunPaths]) -> None:
    plain, sides = (read_weights(paths.out) for paths in stages)
    assert any('.conv1x3.' in name for name in sides)
    kept = [name for name in plain if name.endswith('conv1.weight')]
    assert kept
    for name in kept:
        torch.testing.assert_close(sides[name].float(), plain[name].float(), atol=1e-3, rtol=1e-2)


def test_the_model_folder_answers_a_grid_in_metres(stages: list[RunPaths], bag: Path) -> None:
    model = Model.load(stages[1].out)
    spec = model.spec
    assert (spec.family, spec.scale) == ('fourier', ScaleKind.METRIC)
    assert (spec.width, spec.height, spec.depth_width, spec.depth_height) == (64, 64, 32, 25)
    assert spec.intrinsics is not None
    pipeline = DepthPipeline.open(model, BackendOptions(BackendKind.ONNXRUNTIME, Device.CPU))
    evaluation = evaluate(EvaluationRequest(bag, Selection(20), samples=0), pipeline, quiet)
    pipeline.close()
    assert math.isfinite(evaluation.depth[0].unscaled.abs_rel)


def test_the_model_is_combined_from_crops(
    stages: list[RunPaths], bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    settings = FusionSettings((1.0, 0.75), image=(96, 64), grid=(48, 36), ridge=0.01)
    report = fit_fusion(Model.load(stages[1].out), (BagSource(bag, last=18),), RectifyMode.AUTO,
                        settings, tmp_path / 'fused', quiet)  # fmt: skip
    assert report.combined_rmse_m < min(report.candidate_rmse_m)
    spec = Model.load(tmp_path / 'fused').spec
    assert (spec.width, spec.height, spec.depth_width, spec.depth_height) == (96, 64, 48, 36)


def test_nothing_is_fetched_for_a_network_that_an_earlier_run_fills(
    bag: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure('den_small_plain', bag, cache)
    begun = Den(config.den.network)
    torch.save(begun.state_dict(), tmp_path / 'begun.pth')
    create, tasks = timm.create_model, []

    def offline(name: str, *, pretrained: bool = False, **rest: Any) -> Any:
        if pretrained:
            raise OSError('no network')
        return create(name, **rest)

    monkeypatch.setattr(timm, 'create_model', offline)
    monkeypatch.setattr('training.supervised_run.fit', lambda *given: tasks.append(given[2]))
    monkeypatch.setattr('training.supervised_run.finish_supervised', lambda *_: None)
    config = configure('den_small_plain', bag, cache, 'den.network.pretrained=timm')
    paths = RunPaths(tmp_path / 'model', tmp_path / 'run')
    with pytest.raises(ConfigError, match='no network'):
        run_training(config, paths, quiet)
    run_training(config, replace(paths, init=tmp_path / 'begun.pth'), quiet)
    for one, other in zip(tasks[0].net.parameters(), begun.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_truth_is_the_mean_of_what_is_known_below_a_cell() -> None:
    depth_m = torch.full((1, 50, 64), 2.0)
    depth_m[:, ::2] = 4.0
    depth_m[0, 0, 0] = float('nan')
    depth_m[0, 10:12, 10:12] = float('nan')
    found = mean_of_known(depth_m)
    assert found.shape == (1, 25, 32)
    assert found[0, 0, 0].item() == pytest.approx((4.0 + 2 * 2.0) / 3)
    assert torch.isnan(found[0, 5, 5])
    assert found[0, 9, 9].item() == pytest.approx(3.0)


def test_a_longer_lens_is_taught_nearer_depth(bag: Path, cache: Path) -> None:
    config = configure('den_small', bag, cache)
    data = prepare_data(config, quiet)
    task = SupervisedTask(config, make_recipe(config, data.training), 1)
    batch = next(iter(FrameDataModule(config, data).train_dataloader()))
    with torch.no_grad():
        result = task.terms(batch)
        longer = task.terms(batch._replace(
            intrinsics=2 * batch.intrinsics, depth_m=2 * batch.depth_m
        ))  # fmt: skip
    # The same picture by a lens of twice the length shows the same at twice the distance.
    torch.testing.assert_close(longer.total, result.total)
    torch.testing.assert_close(longer.depth_m, 2 * result.depth_m)
    # It begins with a depth of rooms.
    assert result.depth_m.mean().item() == pytest.approx(2.0, rel=0.2)


def test_two_families_in_one_run_are_refused(bag: Path, cache: Path) -> None:
    with pytest.raises(ConfigError, match='depth_pro and den are both given'):
        configure('den_small', bag, cache, 'depth_pro.phase=sharpen')


def test_another_size_than_the_network_s_is_refused_before_any_bag_is_read(
    bag: Path, cache: Path
) -> None:
    with pytest.raises(ConfigError, match='data is 96 x 64; the network of den sees 64 x 64'):
        configure('den_small', bag, cache, 'data.width=96')
