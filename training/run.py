"""What a training run is made of, whatever it trains, and what its workdir says of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from depth_ros.errors import ConfigError
from training.config import TrainConfig
from training.config.strict import parse
from training.data.module import TrainingData
from training.progress import Progress
from training.ranks import Ranks

CONFIG_FILE = 'config.yaml'
INIT_FILE = 'init.txt'


@dataclass(frozen=True)
class RunPaths:
    """Where a run reads and writes.

    Attributes:
        out: model folder to make.
        workdir: logs, pictures and checkpoints.
        init: networks to start from: an official Monodepth2 folder, or a checkpoint or the
            workdir of an earlier run; None: as the preset says, or as the resumed run began.
        resume: go on in workdir from its last checkpoint.
    """

    out: Path
    workdir: Path
    init: Path | None = None
    resume: bool = False


@dataclass(frozen=True)
class Run:
    """A run whose data is ready.

    Attributes:
        config: all settings.
        paths: where it reads and writes.
        data: what it learns from.
        ranks: this process among those that train together.
        last: the checkpoint to go on from; None: the run begins.
        progress: told what happens.
    """

    config: TrainConfig
    paths: RunPaths
    data: TrainingData
    ranks: Ranks
    last: Path | None
    progress: Progress


def read_init(workdir: Path) -> Path | None:
    """What the run in a workdir began with; None: the weights of its preset, or nobody knows."""
    noted = workdir / INIT_FILE
    text = noted.read_text() if noted.is_file() else ''
    return Path(text) if text else None


def read_run_config(workdir: Path) -> TrainConfig:
    """The configuration of the run in a workdir.

    Raises:
        ConfigError: there is none.
    """
    path = workdir / CONFIG_FILE
    if not path.is_file():
        raise ConfigError(f'no run to resume in {workdir}: it has no {CONFIG_FILE}')
    return parse(TrainConfig, yaml.safe_load(path.read_text()))
