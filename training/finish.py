"""The end of a run: networks to a model folder, with a spec of what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from depth_ros.backends.parity import ACCEPTED
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.model_folder.spec import ModelSpec, MotionSpec, ScaleKind
from training.config import BagSource, TrainConfig
from training.data.batch import Batch
from training.data.module import FrameDataModule, TrainingData
from training.export.graphs import disparity_graphs
from training.export.model_folder import export_model
from training.feature_phase import matched_weights
from training.held_scale import HeldScale, measure_log_depths
from training.initial import exported_state
from training.measure import (
    Motions,
    Ways,
    describe_motion,
    fit_unit,
    measure_ways,
    predict_motions,
)
from training.model_settings import save_settings
from training.progress import Progress
from training.samples import render_samples
from training.tasks.self_supervised import SelfSupervisedTask
from training.weights import save_weights

_MOTION_BATCHES = 64
_NAMED_BAGS = 8
_ENOUGH_WAYS = 8


def finish(
    config: TrainConfig,
    out: Path,
    task: SelfSupervisedTask,
    data: TrainingData,
    progress: Progress,
    held: HeldScale | None = None,
) -> None:
    """Measure motion and scale, export, keep weights beside the graphs.

    Args:
        config: the run.
        out: model folder to make or replace.
        task: with the weights to export.
        data: what it was trained on.
        progress: told what happens.
        held: metres that the run began with, for networks that nothing else makes metric.

    Raises:
        ModelError: the folder cannot be written, or a graph differs from torch.
    """
    task.eval()
    unit, motion, source = 1.0, None, config.loss.scale_source
    networks = task.best_networks
    if networks.pose is not None:
        motions = predict_motions(task, judged_batches(config, data))
        fitted = None
        if source is None and config.export.odometry_scale and motions.known.any():
            fitted = _fitted_unit(config, task, data, motions)
        if fitted is not None:
            unit, source = fitted, 'odometry'
            progress(f'scale fitted to odometry: one unit of the networks is {unit:.4g} m')
        if source is None and held is not None:
            unit = held.unit_of(measure_log_depths(task, judged_batches(config, data)))
            source = held.source
            progress(f'scale held from the start: one unit of the networks is {unit:.4g} m')
        motion = describe_motion(motions, None if source is None else unit)
    spec = make_spec(out.resolve().name, config, data.training, unit, source, motion)
    samples = render_samples(data.training)
    graphs = disparity_graphs(networks.depth, networks.pose, spec, unit)
    report = export_model(*graphs, spec, samples, out)
    if config.export.weights:
        save_weights(exported_state(task.state_dict()) | matched_weights(task.feature_net), out)
        save_settings(config, out)
    progress(
        f'{out}: {report.size_bytes / 1e6:.1f} MB, {spec.scale.value} ({spec.scale_source}), '
        f'graphs differ from torch by {report.depth_difference:.1e} at most'
    )


def _fitted_unit(
    config: TrainConfig, task: SelfSupervisedTask, data: TrainingData, motions: Motions
) -> float | None:
    """Metres in one unit of the networks by the bags' odometry; None: they do not tell.

    The pose network stands in where images are too small or too plain to track corners in, if
    depth has been learnt by its motions: else the two have no unit in common.
    """
    ways = measure_ways(task, judged_batches(config, data))
    if ways.known.sum() >= _ENOUGH_WAYS:
        return fit_unit(ways)
    return None if config.loss.warp_by_teacher else fit_unit(Ways.of(motions))


def make_spec(
    name: str,
    config: TrainConfig,
    training: Intrinsics,
    unit: float,
    scale_source: str | None,
    motion: MotionSpec | None,
) -> ModelSpec:
    """What the model file says of itself.

    Args:
        name: of the model.
        config: the run.
        training: camera that the networks are made for, in network pixels.
        unit: metres in one unit of the networks.
        scale_source: where metres come from; None: the model is up to scale.
        motion: of the pose network, where there is one.
    """
    stride = config.network.finest_stride
    loss, run = config.loss, config.run
    sources = ' and '.join(['temporal'] * loss.temporal + ['stereo'] * loss.stereo) or 'none'
    return ModelSpec(
        name=name,
        family=config.network.decoder.value,
        width=config.data.width,
        height=config.data.height,
        depth_width=config.data.width // stride,
        depth_height=config.data.height // stride,
        precision=config.export.precision,
        min_depth=config.network.min_depth * unit,
        max_depth=config.network.max_depth * unit,
        scale=ScaleKind.UP_TO_SCALE if scale_source is None else ScaleKind.METRIC,
        scale_source=scale_source or 'none',
        intrinsics=training,
        fit=config.data.fit,
        resize_filter=config.data.resize_filter,
        motion=motion,
        licence=config.export.licence,
        training_run=(
            f'depth_ros train, preset {config.name}, bags {named_bags(config.bags)}, '
            f'{run.epochs} epochs, seed {run.seed}, sources {sources}, '
            f'weights photometric {loss.photometric:g}, feature-metric {loss.feature_metric:g}, '
            f'depth {loss.depth:g}, motion {loss.motion:g}, velocity {loss.velocity:g}'
        ),
        tolerance=ACCEPTED[config.export.precision],
    )


def named_bags(bags: Sequence[BagSource]) -> str:
    """The bags' names; of many, the first ones and how many more."""
    names = [source.path.stem for source in bags[:_NAMED_BAGS]]
    more = len(bags) - len(names)
    return ', '.join(names) + (f' and {more} more' if more else '')


def judged_batches(config: TrainConfig, data: TrainingData) -> Iterable[Batch]:
    """Batches of validation frames; of those trained on where none were kept."""
    module = FrameDataModule(config, data)
    validates = any(bag.targets for bag in data.validation)
    loader = module.val_dataloader() if validates else module.train_dataloader()
    return _first(loader, _MOTION_BATCHES)


def _first(batches: Iterable[Batch], count: int) -> Iterable[Batch]:
    with torch.no_grad():
        for index, batch in enumerate(batches):
            if index == count:
                return
            yield batch
