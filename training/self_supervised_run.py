"""A run that learns depth and motion from neighbouring frames."""

from __future__ import annotations

from training.callbacks import BEST, LOG_FIELDS, Pictures
from training.config import TrainConfig
from training.data.module import FrameDataModule
from training.feature_phase import load_features, prepare_features
from training.finish import finish, judged_batches
from training.fitting import fit
from training.held_scale import hold_scale, read_held_scale
from training.initial import holds_pose, load_initial, load_task_weights
from training.run import Run
from training.tasks.self_supervised import SelfSupervisedTask


def train_self_supervised(run: Run) -> None:
    """Train, then export the best checkpoint; of several processes the first one exports.

    Raises:
        ModelError: weights to begin with are missing or of other networks.
        DepthRosError: as fit.
    """
    config, paths, data, ranks = run.config, run.paths, run.data, run.ranks
    module = FrameDataModule(config, data, ranks)
    features = prepare_features(config, paths.workdir, data, ranks, run.progress)
    made = _to_be_filled(run, features is not None)
    task = SelfSupervisedTask(made, data.training.fx, module.total_steps, ranks)
    if features is not None and task.feature_net is not None:
        load_features(task.feature_net, features)
    if paths.init is not None and run.last is None:
        load_initial(task, paths.init)
        if config.export.hold_scale and config.loss.scale_source is None and ranks.is_first:
            frames, fits = judged_batches(config, data), config.export.odometry_scale
            hold_scale(
                task, frames, paths.init, config.network.min_depth, paths.workdir,
                needed=not (fits and data.has_poses),
            )  # fmt: skip
    task.start_means()
    pictures = Pictures(paths.workdir)
    fit(config, paths.workdir, task, module, LOG_FIELDS, [pictures], ranks, run.progress)
    if not ranks.is_first:
        return
    best = paths.workdir / BEST
    if best.exists():
        run.progress(f'exporting the best checkpoint, {best}')
        load_task_weights(task, best)
    finish(config, paths.out, task, data, run.progress, read_held_scale(paths.workdir))


def _to_be_filled(run: Run, has_features: bool) -> TrainConfig:
    """What the networks are made by: weights are fetched for those alone that begin with them."""
    if run.last is not None:
        return run.config.without_pretrained()
    if run.paths.init is None:
        return run.config
    pose = not run.config.loss.needs_neighbours or holds_pose(run.paths.init)
    return run.config.without_pretrained(pose=pose, features=has_features)
