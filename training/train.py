"""One training run from bags to a model folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from depth_ros.errors import ConfigError
from training.allocator import keep_freed_memory
from training.callbacks import BEST, LAST, LOG_FIELDS, Pictures
from training.config import TrainConfig
from training.config.strict import parse, to_plain
from training.data.module import FrameDataModule, TrainingData, prepare_data
from training.feature_phase import load_features, prepare_features
from training.finish import finish, judged_batches
from training.fitting import be_quiet, fit
from training.held_scale import hold_scale, read_held_scale
from training.initial import load_initial, load_task_weights
from training.judge import judge_model
from training.ranks import Ranks, launched_ranks
from training.tasks.self_supervised import SelfSupervisedTask

CONFIG_FILE = 'config.yaml'
Progress = Callable[[str], None]


@dataclass(frozen=True)
class RunPaths:
    """Where a run reads and writes.

    Attributes:
        out: model folder to make.
        workdir: logs, pictures and checkpoints.
        init: networks to start from: an official Monodepth2 folder, or a checkpoint or the
            workdir of an earlier run; None: as the preset says.
        resume: go on in workdir from its last checkpoint.
    """

    out: Path
    workdir: Path
    init: Path | None = None
    resume: bool = False


def run_training(config: TrainConfig, paths: RunPaths, progress: Progress) -> None:
    """Train, then export and measure the best checkpoint.

    The same config, seed and thread count on a CPU give the same losses, killed and resumed or
    not. Started by torchrun, N processes make steps of N times the batch size together; the first
    one writes everything.

    Raises:
        ConfigError: the configuration does not fit the bags, or the workdir another run.
        DepthRosError: a bag cannot be read, the disk is full, or the loss is not finite.
    """
    be_quiet()
    keep_freed_memory()
    if config.run.threads:
        torch.set_num_threads(config.run.threads)
    torch.set_float32_matmul_precision('high')
    ranks = launched_ranks()
    if not ranks.is_first:
        progress = _say_nothing
    last = _check_workdir(config, paths, ranks)
    data = prepare_data(config, progress)
    if ranks.is_first:
        _mark_workdir(config, paths.workdir)
    module = FrameDataModule(config, data, ranks)
    features = prepare_features(config, paths.workdir, data, ranks, progress)
    task = SelfSupervisedTask(config, data.training.fx, module.total_steps, ranks)
    if features is not None and task.feature_net is not None:
        load_features(task.feature_net, features)
    if paths.init is not None and last is None:
        load_initial(task, paths.init)
        if config.export.hold_scale and ranks.is_first:
            frames = judged_batches(config, data)
            hold_scale(task, frames, paths.init, config.network.min_depth, paths.workdir)
    task.start_means()
    if config.run.channels_last:
        task.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    pictures = Pictures(paths.workdir)
    fit(config, paths.workdir, task, module, LOG_FIELDS, [pictures], ranks, progress)
    if not ranks.is_first:
        return
    best = paths.workdir / BEST
    if best.exists():
        progress(f'exporting the best checkpoint, {best}')
        load_task_weights(task, best)
    finish(config, paths.out, task, data, progress, read_held_scale(paths.workdir))
    if config.export.evaluate:
        report = paths.workdir / 'evaluation'
        judge_model(config, data, paths.out, paths.init, report, progress)


def read_run_config(workdir: Path) -> TrainConfig:
    """The configuration of the run in a workdir.

    Raises:
        ConfigError: there is none.
    """
    path = workdir / CONFIG_FILE
    if not path.is_file():
        raise ConfigError(f'no run to resume in {workdir}: it has no {CONFIG_FILE}')
    return parse(TrainConfig, yaml.safe_load(path.read_text()))


def _check_workdir(config: TrainConfig, paths: RunPaths, ranks: Ranks) -> Path | None:
    """The checkpoint to go on from, if any."""
    last = paths.workdir / LAST
    marker = paths.workdir / CONFIG_FILE
    if not ranks.is_first:
        # The first process may have marked the workdir already.
        return last if last.exists() else None
    if marker.exists():
        if not paths.resume:
            raise ConfigError(
                f'{paths.workdir} holds a run already; go on with --resume, or give another '
                f'--workdir'
            )
        stored = to_plain(read_run_config(paths.workdir))
        changed = sorted(_differences(stored, to_plain(config)))
        if changed:
            raise ConfigError(
                f'the run in {paths.workdir} had other values of {", ".join(changed)}; resume '
                f'it as it was, or give another --workdir'
            )
    elif paths.resume:
        read_run_config(paths.workdir)
    return last if last.exists() else None


def _mark_workdir(config: TrainConfig, workdir: Path) -> None:
    """Write the configuration, once it is known to fit the bags."""
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / CONFIG_FILE).write_text(yaml.safe_dump(to_plain(config), sort_keys=False))
    except OSError as error:
        raise ConfigError(f'cannot write workdir {workdir}: {error.strerror}') from None


def _differences(one: Any, other: Any, where: str = '') -> list[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        found: list[str] = []
        for key in one.keys() | other.keys():
            place = f'{where}.{key}' if where else key
            found += _differences(one.get(key), other.get(key), place)
        return found
    return [] if one == other else [where]


def _say_nothing(_: str) -> None:
    """The first process tells for all."""


__all__ = ['RunPaths', 'TrainingData', 'read_run_config', 'run_training']
