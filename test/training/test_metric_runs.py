"""Runs that learn metres without any truth of depth: from a stereo pair, and from odometry."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from helpers import quiet
from rendered_frames import CAMERA
from training_runs import TINY

from depth_ros.errors import ConfigError
from depth_ros.model_folder.model import Model
from depth_ros.model_folder.spec import ScaleKind
from depth_ros.synthetic import SyntheticBag, write_bag
from training.config import BagSource, TrainConfig
from training.config.presets import load_config
from training.train import RunPaths, run_training

LEFT = '/camera/color/image_raw/compressed'


@pytest.fixture(scope='module')
def rig(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('bags') / 'rig'
    write_bag(path, SyntheticBag(4, 16, 8.0, CAMERA, baseline_m=0.2))
    return path


@pytest.fixture(scope='module')
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('bags') / 'single'
    write_bag(path, SyntheticBag(5, 16, 8.0, CAMERA))
    return path


def configure(folder: Path, bags: list[BagSource], *overrides: str) -> TrainConfig:
    every = (
        'run.threads=1', 'run.epochs=1', 'augment.jitter=0', 'data.validation_share=0.2',
        'optimizer.lr=2e-3', 'data.depth_truth=false', 'export.evaluate=false',
        f'data.cache={folder}/cache',
    )  # fmt: skip
    return load_config(TINY, [*every, *overrides], bags)


@pytest.mark.parametrize(
    ('source', 'overrides'),
    [
        ('stereo baseline', ('loss.temporal=false', 'loss.stereo=true')),
        ('velocity', ('loss.motion=1', 'loss.teacher=features', 'loss.velocity=0.05')),
    ],
)
def test_the_model_says_where_its_metres_come_from(
    rig: Path, tmp_path: Path, source: str, overrides: tuple[str, ...]
) -> None:
    config = configure(
        tmp_path, [BagSource(rig, image_topic=LEFT)], *overrides, 'run.steps_per_epoch=2',
        'data.odometry_truth=false',
    )  # fmt: skip
    run_training(config, RunPaths(tmp_path / 'model', tmp_path / 'run'), quiet)
    model = Model.load(tmp_path / 'model')
    assert (model.spec.scale, model.spec.scale_source) == (ScaleKind.METRIC, source)
    assert (model.pose_path is None) == (source == 'stereo baseline')


def test_bags_with_and_without_a_pair_train_together(
    rig: Path, single: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    config = configure(
        tmp_path, [BagSource(rig, image_topic=LEFT), BagSource(single)], 'loss.stereo=true',
        'loss.coarse=0.5', 'loss.velocity=0.05', 'run.steps_per_epoch=3', 'run.batch_size=6',
    )  # fmt: skip
    run_training(config, RunPaths(tmp_path / 'model', tmp_path / 'run'), told.append)
    with (tmp_path / 'run/losses.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    for name in ('loss', 'photometric', 'velocity'):
        assert all(np.isfinite(float(row[name])) for row in rows)
    assert Model.load(tmp_path / 'model').pose_path is not None
    assert any('network.min_depth=0.2 is better' in line for line in told)


def test_what_no_bag_holds_is_refused(single: Path, tmp_path: Path) -> None:
    paths = RunPaths(tmp_path / 'model', tmp_path / 'run')
    for overrides, text in (
        (['loss.stereo=true'], 'has a partner of a second camera'),
        (['loss.stereo=true', 'loss.temporal=false'], 'has a stereo partner'),
    ):
        with pytest.raises(ConfigError, match=text):
            run_training(configure(tmp_path, [BagSource(single)], *overrides), paths, quiet)
