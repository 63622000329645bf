"""What a run leaves in its folder while it goes: checkpoints, CSV logs, pictures."""

from __future__ import annotations

import csv
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import cv2
import lightning.pytorch as pl
import numpy as np
from torch import Tensor

from depth_ros.colorize import colorize_depth
from depth_ros.errors import DepthRosError
from training.data.batch import TARGET, Batch
from training.progress import Progress

LAST, BEST = 'last.ckpt', 'best.ckpt'
PROCESSES = 'processes'
"""Under which a checkpoint holds their number."""


def weights_of_run(workdir: Path) -> Path | None:
    """The checkpoint that stands for a run: the best, the last where none was; None: no run."""
    found = (workdir / name for name in (BEST, LAST))
    return next((path for path in found if path.is_file()), None)


@dataclass(frozen=True)
class LogFields:
    """Names of what a task logs: in steps as train/NAME, in validations as validation/NAME."""

    losses: tuple[str, ...]
    validation: tuple[str, ...]


LOG_FIELDS = LogFields(
    ('loss', 'photometric', 'feature_metric', 'single_view', 'smoothness', 'velocity',
     'consistency', 'depth', 'rotation_rad', 'translation'),
    ('loss', 'depth_loss', 'abs_rel'),
)  # fmt: skip
_PICTURES = 4


class Checkpoints(pl.Callback):
    """Saves last.ckpt every so many steps and after validations, and the best one; stops early.

    Files are written aside and renamed: a killed run leaves the one before.
    steps_per_validation is 0 where there is nothing to validate on. A monitor that is not finite
    is no best: where it never is, the last checkpoint is all there is. A loss that is not finite
    ends the run before anything is saved, so that last.ckpt stays one to go on from.
    """

    def __init__(
        self, folder: Path, every: int, steps_per_validation: int, monitor: str, patience: int
    ) -> None:
        self._folder = folder
        self._every = every
        self._steps_per_validation = steps_per_validation
        self._monitor = monitor
        self._patience = patience
        self._best = math.inf
        self._best_step = 0
        self._waited = 0

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return {'best': self._best, 'best_step': self._best_step, 'waited': self._waited}

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Note how many processes make a step: a resumed run needs as many."""
        checkpoint[PROCESSES] = trainer.world_size

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        self._best = state_dict['best']
        self._best_step = state_dict['best_step']
        self._waited = state_dict['waited']

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Let a run that had stopped early and is resumed, to be exported, train no further."""
        trainer.should_stop = trainer.should_stop or self._waited_enough

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save, unless a validation follows, which saves itself.

        Raises:
            DepthRosError: the loss of any process is not finite.
        """
        step = trainer.global_step
        validates = self._steps_per_validation > 0 and step % self._steps_per_validation == 0
        if validates or step % self._every == 0:
            _refuse_diverged(trainer)
        if step % self._every == 0 and not validates:
            save_checkpoint(trainer, self._folder / LAST)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the end of a run that validates nothing.

        Raises:
            DepthRosError: the loss of any process is not finite.
        """
        if self._steps_per_validation == 0:
            _refuse_diverged(trainer)
            save_checkpoint(trainer, self._folder / LAST)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the best, count the epochs without improvement, save.

        Raises:
            DepthRosError: the validation loss is not finite.
        """
        step = trainer.global_step
        if step <= self._best_step:
            return
        loss = float(trainer.callback_metrics['validation/loss'])
        if not math.isfinite(loss):
            raise _diverged(f'the validation loss is {loss}', step)
        value = float(trainer.callback_metrics[self._monitor])
        if math.isfinite(value) and value < self._best:
            self._best, self._best_step, self._waited = value, step, 0
            save_checkpoint(trainer, self._folder / BEST)
        else:
            self._waited += 1
        trainer.should_stop = trainer.should_stop or self._waited_enough
        save_checkpoint(trainer, self._folder / LAST)

    @property
    def _waited_enough(self) -> bool:
        return 0 < self._patience <= self._waited


def _refuse_diverged(trainer: pl.Trainer) -> None:
    """Raise in every process where the last step's loss of any is not finite."""
    # Nothing is logged where a run that had ended is resumed to be exported.
    loss = float(trainer.callback_metrics.get('train/loss', 0.0))
    if not trainer.strategy.reduce_boolean_decision(math.isfinite(loss)):
        found = 'not finite in another process' if math.isfinite(loss) else loss
        raise _diverged(f'the loss is {found}', trainer.global_step)


def _diverged(found: str, step: int) -> DepthRosError:
    return DepthRosError(
        f'{found} at step {step}; lower optimizer.lr or set optimizer.clip, and begin again from '
        f'an earlier checkpoint'
    )


def save_checkpoint(trainer: pl.Trainer, path: Path) -> None:
    """Write a checkpoint so that `path` is always whole."""
    aside = path.with_suffix('.partial')
    try:
        # Every process calls, the first one writes.
        trainer.save_checkpoint(aside)
        if trainer.is_global_zero:
            os.replace(aside, path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise DepthRosError(f'cannot write {path}: {error.strerror or error}') from None


class CsvLog(pl.Callback):
    """losses.csv and validation.csv; a resumed run cuts them at its start and goes on."""

    def __init__(self, folder: Path, every: int, start_step: int, fields: LogFields) -> None:
        self._losses = folder / 'losses.csv'
        self._validations = folder / 'validation.csv'
        self._every = every
        self._fields = fields
        _cut_csv(self._losses, ('step', *fields.losses, 'lr'), start_step)
        _cut_csv(self._validations, ('step', *fields.validation), start_step)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Append a row now and then; this is where the device is waited for.

        Raises:
            DepthRosError: the loss is not finite.
        """
        step = trainer.global_step
        if step % self._every:
            return
        metrics = trainer.callback_metrics
        row = {name: float(metrics[f'train/{name}']) for name in self._fields.losses}
        if not math.isfinite(row['loss']):
            raise _diverged(f'the loss is {row["loss"]}', step)
        row['lr'] = trainer.optimizers[0].param_groups[0]['lr']
        _append_csv(self._losses, [step, *row.values()])

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Append a row."""
        metrics = trainer.callback_metrics
        row = [float(metrics[f'validation/{name}']) for name in self._fields.validation]
        _append_csv(self._validations, [trainer.global_step, *row])


class Epochs(pl.Callback):
    """Tells every validation in one line."""

    def __init__(self, total_steps: int, progress: Progress) -> None:
        self._total_steps = total_steps
        self._progress = progress
        self._step = 0
        self._start_s = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to count time."""
        self._step, self._start_s = trainer.global_step, time.monotonic()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tell where the run is."""
        step, metrics = trainer.global_step, trainer.callback_metrics
        each_s = (time.monotonic() - self._start_s) / max(1, step - self._step)
        text = (
            f'step {step} of {self._total_steps}, {each_s:.2f} s a step: validation loss '
            f'{float(metrics["validation/loss"]):.5f}'
        )
        if 'validation/depth_loss' in metrics:
            text += f', of depth {float(metrics["validation/depth_loss"]):.5f}'
        error = float(metrics.get('validation/abs_rel', math.inf))
        if math.isfinite(error):
            text += f', AbsRel {error:.4f}'
        self._progress(text)


@runtime_checkable
class DepthTask(Protocol):
    """A task whose depth can be looked at."""

    def predicted_depth(self, batch: Batch) -> Tensor:
        """Depth of the targets, [B,H,W]."""


class Pictures(pl.Callback):
    """After every validation, pictures/step_N.png: frames, their depth and truth side by side."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / 'pictures'
        self._batch: Batch | None = None

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Remember the first batch."""
        if batch_idx == 0:
            self._batch = Batch(*(field[:_PICTURES] for field in batch))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw it."""
        assert isinstance(pl_module, DepthTask)
        if self._batch is None:
            return
        depth_m = pl_module.predicted_depth(self._batch).float().cpu().numpy()
        images = self._batch.images[:, TARGET].cpu().numpy()
        truth_m = self._batch.depth_m.cpu().numpy()
        rows = []
        for image, depth, truth in zip(images, depth_m, truth_m):
            row = [image[..., ::-1], colorize_depth(depth)]
            if np.isfinite(truth).any():
                row.append(colorize_depth(truth))
            else:
                row.append(np.zeros_like(image))
            rows.append(np.concatenate(row, axis=1))
        self._folder.mkdir(exist_ok=True)
        cv2.imwrite(
            str(self._folder / f'step_{trainer.global_step:06d}.png'), np.concatenate(rows)
        )


def _cut_csv(path: Path, fields: tuple[str, ...], last_step: int) -> None:
    """Keep the rows up to last_step, or begin the file."""
    rows: list[list[str]] = []
    if path.exists() and last_step > 0:
        with path.open(newline='') as file:
            found = list(csv.reader(file))[1:]
        rows = [row for row in found if len(row) == len(fields) and int(row[0]) <= last_step]
    aside = path.with_suffix('.partial')
    with aside.open('w', newline='') as file:
        csv.writer(file).writerows([list(fields), *rows])
    os.replace(aside, path)


def _append_csv(path: Path, row: list[float]) -> None:
    try:
        with path.open('a', newline='') as file:
            csv.writer(file).writerow([row[0], *(f'{value:.9g}' for value in row[1:])])
    except OSError as error:
        raise DepthRosError(f'cannot write {path}: {error.strerror or error}') from None
