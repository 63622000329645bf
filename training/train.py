"""One training run from bags to a model folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml

from depth_ros.errors import ConfigError
from depth_ros.system.whole_files import write_whole
from training.allocator import keep_freed_memory
from training.callbacks import BEST, LAST
from training.config import TrainConfig
from training.config.strict import to_plain
from training.data.module import prepare_data
from training.export.model_folder import check_replaceable
from training.feature_phase import FEATURES_FILE, FEATURES_FOLDER
from training.fitting import be_quiet
from training.held_scale import forget_held_scale
from training.judge import judge_model
from training.progress import Progress
from training.ranks import Ranks, launched_ranks
from training.run import CONFIG_FILE, INIT_FILE, Run, RunPaths, read_init, read_run_config
from training.self_supervised_run import train_self_supervised
from training.supervised_run import train_supervised


def run_training(config: TrainConfig, paths: RunPaths, progress: Progress) -> None:
    """Train, then export and measure the best checkpoint.

    The same config, seed and thread count on a CPU give the same losses, killed and resumed or
    not. Started by torchrun, N processes make steps of N times the batch size together; the first
    one writes everything.

    Raises:
        ConfigError: the configuration does not fit the bags, or the workdir another run or the
            model's folder.
        ModelError: something else than a model is in its folder's place.
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
    _check_out(paths)
    last = _check_workdir(config, paths, ranks)
    paths = replace(paths, init=_init_of(paths))
    data = prepare_data(config, progress)
    if ranks.is_first:
        _mark_workdir(config, paths)
    run = Run(config, paths, data, ranks, last, progress)
    if config.supervised:
        train_supervised(run)
    else:
        train_self_supervised(run)
    if not ranks.is_first:
        return
    if config.export.evaluate:
        report = paths.workdir / 'evaluation'
        judge_model(config, data, paths.out, paths.init, report, progress)


def _check_out(paths: RunPaths) -> None:
    """Refuse before hours of training what could not be replaced after them, or should not be."""
    out, workdir = paths.out.resolve(), paths.workdir.resolve()
    if workdir.is_relative_to(out):
        relation = 'is' if workdir == out else 'holds'
        raise ConfigError(
            f'--out {paths.out} {relation} the workdir {paths.workdir}, which the model would '
            f'replace; give another --out, or another --workdir'
        )
    check_replaceable(paths.out)


def _check_workdir(config: TrainConfig, paths: RunPaths, ranks: Ranks) -> Path | None:
    """The checkpoint to go on from, if any."""
    last = paths.workdir / LAST
    marker = paths.workdir / CONFIG_FILE
    if not ranks.is_first:
        # The first process may have marked the workdir already.
        return last if last.exists() else None
    if marker.exists() and (paths.resume or _has_learnt(paths.workdir)):
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


def _has_learnt(workdir: Path) -> bool:
    """Whether there is a checkpoint: a start that failed before the first one is begun anew."""
    features = workdir / FEATURES_FOLDER
    kept = (workdir / LAST, workdir / BEST, features / LAST, features / FEATURES_FILE)
    return any(path.exists() for path in kept)


def _init_of(paths: RunPaths) -> Path | None:
    """What the run begins with; a resumed one, that may have no checkpoint yet, as it was begun.

    Raises:
        ConfigError: a resumed run is given another one.
    """
    given = None if paths.init is None else _findable(paths.init)
    if not paths.resume:
        return given
    if not (paths.workdir / INIT_FILE).is_file():
        return given  # begun by an earlier version, which did not write it
    began = read_init(paths.workdir)
    if given not in (None, began):
        raise ConfigError(
            f'the run in {paths.workdir} began with {began or "the weights of its preset"}, not '
            f'with {given}; leave that out, or give another --workdir'
        )
    return began


def _findable(source: Path) -> Path:
    """The same from any working directory; names of installed models are that as they are."""
    return source.absolute() if source.exists() else source


def _mark_workdir(config: TrainConfig, paths: RunPaths) -> None:
    """Write what the run is, once it is known to fit the bags; last what marks it as begun."""
    workdir = paths.workdir
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        if not paths.resume:
            forget_held_scale(workdir)
        write_whole(workdir / INIT_FILE, '' if paths.init is None else str(paths.init))
        write_whole(workdir / CONFIG_FILE, yaml.safe_dump(to_plain(config), sort_keys=False))
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


__all__ = ['RunPaths', 'read_run_config', 'run_training']
