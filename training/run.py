"""What a training run is made of, whatever it trains."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from training.config import TrainConfig
from training.data.module import TrainingData
from training.progress import Progress
from training.ranks import Ranks


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
