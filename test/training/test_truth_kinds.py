"""Which frames and which kinds of depth truth a run learns from, and what it is called after."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from depth_pro_runs import SMALL, TINY, train
from helpers import quiet
from recordings import CAMERA, write_recording
from training_runs import ROOT, rows

from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.errors import ConfigError
from depth_ros.model_folder.model import Model
from depth_ros.model_folder.spec import ScaleKind
from depth_ros.pipeline.view import View
from training.config import BagSource, BagTruth, DepthProPhase, DepthProTraining, TrainConfig
from training.config.presets import load_config
from training.data.module import FrameDataModule, prepare_data
from training.recipes.depth_pro import KINDS, mix_of
from training.tasks.abs_rel import metric_truth

FRAMES, EVERY = 24, 3
DEN = ROOT / 'config/training/den_small_plain.yaml'
LITE = ROOT / 'config/training/lite0.yaml'
ALONE = ('loss.depth=1', 'loss.photometric=0', 'loss.motion=0', 'loss.coarse=0',
         'loss.warp_by_teacher=false', 'data.width=64', 'data.height=64')  # fmt: skip
RELATIVE = (BagTruth.MEASURED_RELATIVE, BagTruth.RENDERED_RELATIVE)


@pytest.fixture(scope='module')
def sparse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bag of which every third image has depth."""
    folder = tmp_path_factory.mktemp('bags') / 'sparse'
    return write_recording(folder, FRAMES, depth_every=EVERY)


def configure(
    preset: Path, cache: Path, bag: Path, *settings: str, truth: BagTruth = BagTruth.RENDERED
) -> TrainConfig:
    given = [*settings, f'data.cache={cache}', 'data.validation_share=0.25', 'run.threads=1']
    return load_config(preset, given, [BagSource(bag, truth=truth)])


@pytest.mark.parametrize(
    ('preset', 'settings'), [(DEN, ()), (SMALL, TINY), (LITE, ALONE)], ids=['den', 'pro', 'depth']
)
def test_frames_without_truth_are_no_targets(
    sparse: Path, tmp_path: Path, preset: Path, settings: tuple[str, ...]
) -> None:
    config = configure(preset, tmp_path, sparse, *settings)
    data = prepare_data(config, quiet)
    found = [t.frame for bag in (*data.train, *data.validation) for t in bag.targets]
    assert sorted(found) == list(range(0, FRAMES, EVERY))
    for batch in FrameDataModule(config, data).val_dataloader():
        assert torch.isfinite(batch.depth_m).any(-1).any(-1).all()


def test_a_field_of_view_needs_no_depth(sparse: Path, tmp_path: Path) -> None:
    config = configure(
        SMALL, tmp_path, sparse, *TINY, 'depth_pro.phase=field-of-view', 'run.monitor=loss',
        'depth_pro.network.fov_head=true', 'data.depth_truth=false',
    )  # fmt: skip
    data = prepare_data(config, quiet)
    assert len(data.train[0].targets) + len(data.validation[0].targets) == FRAMES


def test_a_bag_without_truth_is_not_used(sparse: Path, tmp_path: Path) -> None:
    blind = write_recording(tmp_path / 'blind', FRAMES, depth=False)
    config = configure(DEN, tmp_path, blind)
    with pytest.raises(ConfigError, match='blind to train on has depth truth; name'):
        prepare_data(config, quiet)
    told: list[str] = []
    both = load_config(DEN, [f'data.cache={tmp_path}'], [BagSource(blind), BagSource(sparse)])
    data = prepare_data(both, told.append)
    assert [len(bag.targets) > 0 for bag in data.train] == [False, True]
    assert any(line.startswith(f'not used: no frame of {blind} to train on') for line in told)


def test_only_rendered_truth_sharpens(sparse: Path, tmp_path: Path) -> None:
    sharpen = (*TINY, 'depth_pro.phase=sharpen')
    config = configure(SMALL, tmp_path, sparse, *sharpen, truth=BagTruth.MEASURED)
    with pytest.raises(ConfigError, match=r'sparse is measured, .* say --truth rendered where'):
        prepare_data(config, quiet)
    told: list[str] = []
    sources = [BagSource(sparse), BagSource(sparse, first=6, truth=BagTruth.RENDERED)]
    data = prepare_data(
        load_config(SMALL, [*sharpen, f'data.cache={tmp_path}'], sources), told.append
    )
    assert [len(bag.targets) > 0 for bag in data.train] == [False, True]
    assert any(line.startswith('not used: the truth of ') for line in told)


@pytest.mark.parametrize('phase', [DepthProPhase.GENERALISE, DepthProPhase.SHARPEN])
def test_phases_name_the_kinds_that_their_losses_know(phase: DepthProPhase) -> None:
    training = DepthProTraining(phase=phase)
    assert {KINDS[truth] for truth in training.truths} == set(mix_of(phase))


@pytest.mark.parametrize('truth', RELATIVE)
@pytest.mark.parametrize(
    ('preset', 'settings'), [(DEN, ()), (LITE, ('loss.depth=1',))], ids=['den', 'depth']
)
def test_relative_truth_is_not_taken_for_metres(
    sparse: Path, tmp_path: Path, preset: Path, settings: tuple[str, ...], truth: BagTruth
) -> None:
    config = configure(preset, tmp_path, sparse, *settings, truth=truth)
    with pytest.raises(ConfigError, match=f'sparse is {truth.value}, .* measured or rendered'):
        prepare_data(config, quiet)


def test_what_relative_truth_alone_taught_is_up_to_scale(sparse: Path, tmp_path: Path) -> None:
    settings = (*TINY, 'run.monitor=loss', 'run.epochs=1', 'run.steps_per_epoch=1')
    config = configure(SMALL, tmp_path, sparse, *settings, truth=BagTruth.RENDERED_RELATIVE)
    paths = train(tmp_path, config)
    assert Model.load(paths.out).spec.scale is ScaleKind.UP_TO_SCALE
    header, last = rows(paths.workdir, 'validation.csv')
    assert last[header.index('abs_rel')] == 'inf'


def test_the_best_is_not_chosen_by_metres_that_nothing_tells(sparse: Path, tmp_path: Path) -> None:
    config = configure(
        SMALL, tmp_path, sparse, *TINY, 'run.monitor=abs_rel', truth=BagTruth.RENDERED_RELATIVE
    )
    with pytest.raises(ConfigError, match=r'monitor is abs_rel, .* set run\.monitor=loss'):
        prepare_data(config, quiet)


def test_errors_count_truth_in_metres_alone(sparse: Path, tmp_path: Path) -> None:
    config = configure(SMALL, tmp_path, sparse, *TINY)
    batch = next(iter(FrameDataModule(config, prepare_data(config, quiet)).train_dataloader()))
    kinds = list(BagTruth)
    mixed = batch._replace(
        truth_kind=torch.tensor([kinds.index(BagTruth.MEASURED), kinds.index(RELATIVE[0])])
    )
    truth = metric_truth(mixed)
    torch.testing.assert_close(truth[0], batch.depth_m[0], equal_nan=True)
    assert torch.isnan(truth[1]).all()


def test_other_cameras_are_seen_as_the_robot_sees_them(sparse: Path, tmp_path: Path) -> None:
    tele = Intrinsics(90.0, 90.0, CAMERA.cx, CAMERA.cy, CAMERA.width, CAMERA.height)
    other = write_recording(tmp_path / 'tele', FRAMES, camera=tele)
    config = load_config(
        SMALL, [*TINY, f'data.cache={tmp_path}'], [BagSource(sparse), BagSource(other)]
    )
    for bag, camera in zip(prepare_data(config, quiet).train, (CAMERA, tele)):
        view = View.fit(camera, config.data.width, config.data.height, config.data.fit, None)
        k = view.network_intrinsics
        np.testing.assert_allclose(bag.cache.intrinsics[0], (k.fx, k.fy, k.cx, k.cy), rtol=1e-6)
