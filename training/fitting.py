"""One training of one task with Lightning: from its last checkpoint on, if there is one."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import lightning.pytorch as pl
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy

from depth_ros.errors import ConfigError, DepthRosError
from training.callbacks import LAST, PROCESSES, Checkpoints, CsvLog, Epochs, LogFields
from training.checkpoint_files import CheckpointFiles
from training.config import TrainConfig
from training.data.module import FrameDataModule
from training.progress import Progress
from training.ranks import Ranks
from training.state_files import read_weights_file


def fit(
    config: TrainConfig,
    workdir: Path,
    task: pl.LightningModule,
    module: FrameDataModule,
    fields: LogFields,
    pictures: Sequence[pl.Callback],
    ranks: Ranks,
    progress: Progress,
) -> None:
    """Train to the end, keeping checkpoints and logs in workdir.

    Args:
        config: its run and optimizer are those of this training.
        workdir: where an earlier, interrupted call left last.ckpt, this one goes on.
        task: to train.
        module: its batches.
        fields: what the task logs.
        pictures: callbacks of the first process, beside those of every training.
        ranks: this process among those that train together.
        progress: told every validation.

    Raises:
        ConfigError: last.ckpt is of another number of processes.
        ModelError: last.ckpt is damaged.
        DepthRosError: the loss is not finite, the disk is full, or a process that loads batches
            was killed.
        KeyboardInterrupt: the user stopped it.
    """
    last = workdir / LAST if (workdir / LAST).exists() else None
    start = _step_of(last, ranks) if last else 0
    module.start_at(start)
    run = config.run
    steps = module.steps_per_epoch
    checkpoints = Checkpoints(
        workdir, run.checkpoint_every, steps if module.validates else 0,
        f'validation/{run.monitor.value}', run.early_stop_epochs,
    )  # fmt: skip
    callbacks: list[pl.Callback] = [checkpoints]
    if ranks.is_first:
        log = CsvLog(workdir, run.log_every, start, fields)
        callbacks = [log, *pictures, Epochs(module.total_steps, progress), checkpoints]
        # A bar in a log file would be one line a step.
        if sys.stderr.isatty():
            callbacks.append(TQDMProgressBar(refresh_rate=run.log_every))
    trainer = pl.Trainer(
        accelerator={'auto': 'auto', 'cpu': 'cpu', 'cuda': 'gpu'}[run.device],
        devices=ranks.local_count,
        num_nodes=ranks.machines,
        # Which networks and scales take part depends on the weights of the losses.
        strategy=DDPStrategy(find_unused_parameters=True) if ranks.count > 1 else 'auto',
        max_epochs=1,
        max_steps=module.total_steps,
        val_check_interval=steps,
        num_sanity_val_steps=0,
        gradient_clip_val=config.optimizer.clip,
        logger=TensorBoardLogger(workdir, name='tensorboard', version=''),
        log_every_n_steps=run.log_every,
        enable_checkpointing=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=callbacks,
        plugins=[CheckpointFiles()],
        enable_progress_bar=any(isinstance(one, TQDMProgressBar) for one in callbacks),
    )
    try:
        with _worker_errors(config.data.workers):
            trainer.fit(task, module, ckpt_path=last, weights_only=True)
    except SystemExit:  # what Lightning makes of an interrupt, without a word
        if trainer.interrupted:
            raise KeyboardInterrupt from None
        raise


@contextmanager
def _worker_errors(workers: int) -> Iterator[None]:
    """One line where the system killed a process that loads batches, as it does for memory."""
    try:
        yield
    except (RuntimeError, ConnectionError, EOFError) as error:
        # Torch has no type of its own for it, and when a batch is on its way only a pipe breaks.
        other = isinstance(error, RuntimeError) and 'DataLoader worker' not in str(error)
        if other or workers == 0:
            raise
        raise DepthRosError(
            'a process that loads batches was killed; go on with --resume, with fewer of them '
            '(data.workers) if memory ran out'
        ) from error


def _step_of(checkpoint: Path, ranks: Ranks) -> int:
    """Where the checkpoint's run goes on; as many processes as it had make the same steps."""
    state = read_weights_file(checkpoint, mapped=True)
    processes = state.get(PROCESSES, 1)
    if processes != ranks.count:
        raise ConfigError(
            f'the run of {checkpoint} had {processes} processes, here are {ranks.count}; resume '
            f'it with torchrun --nproc-per-node={processes}, or give another --workdir'
        )
    return int(state['global_step'])


def be_quiet() -> None:
    """Lightning advertises and warns of what is meant to be so."""
    for name in ('lightning.pytorch', 'lightning.fabric', 'lightning'):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings('ignore', module='lightning')
    warnings.filterwarnings('ignore', message='.*does not have many workers.*')
