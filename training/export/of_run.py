"""The model folder of a training run that is still going, was stopped, or wants other graphs."""

from dataclasses import replace
from pathlib import Path

from depth_ros.errors import ConfigError
from depth_ros.model_folder.spec import Precision
from training.callbacks import weights_of_run
from training.data.module import FrameDataModule, prepare_data
from training.finish import finish
from training.held_scale import read_held_scale
from training.initial import load_task_weights
from training.progress import Progress
from training.recipes.make import make_recipe
from training.run import read_init, read_run_config
from training.supervised_run import finish_supervised, load_supervised
from training.tasks.self_supervised import SelfSupervisedTask
from training.tasks.supervised import SupervisedTask


def export_run(
    workdir: Path, out: Path, precision: Precision | None, progress: Progress
) -> None:
    """Writes `out` from the best checkpoint in `workdir`, or the last where none is best yet.

    precision None: as the run was configured. Raises ConfigError where workdir holds no run or
    no checkpoint yet, and as training's own export does.
    """
    config = read_run_config(workdir)
    if precision is not None:
        config = replace(config, export=replace(config.export, precision=precision))
    checkpoint = weights_of_run(workdir)
    if checkpoint is None:
        raise ConfigError(f'{workdir} holds no checkpoint yet')
    data = prepare_data(config, progress)
    steps = FrameDataModule(config, data).total_steps
    if config.supervised:
        recipe = make_recipe(config.without_pretrained(), data.training)
        supervised = SupervisedTask(config, recipe, steps)
        supervised.start_mean()
        load_supervised(supervised, checkpoint)
        finish_supervised(config, out, supervised, data, read_init(workdir), progress)
        return
    task = SelfSupervisedTask(config.without_pretrained(), data.training.fx, steps)
    task.start_means()
    load_task_weights(task, checkpoint)
    finish(config, out, task, data, progress, read_held_scale(workdir))
