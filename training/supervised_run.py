"""A run that learns from true depth: its network, where that begins, and its model folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from depth_ros.backends.parity import ACCEPTED
from depth_ros.errors import ModelError
from depth_ros.model_folder.model import Model
from depth_ros.model_folder.spec import ModelSpec, ScaleKind
from training.callbacks import BEST, Pictures, weights_of_run
from training.config import TrainConfig
from training.data.module import FrameDataModule, TrainingData
from training.export.model_folder import export_model
from training.finish import named_bags
from training.fitting import fit
from training.model_settings import save_settings
from training.progress import Progress
from training.recipes.make import make_recipe
from training.run import CONFIG_FILE, Run, read_init, read_run_config
from training.samples import render_samples
from training.state_files import read_weights_file
from training.tasks.supervised import SupervisedTask
from training.weights import read_weights, save_weights

_NET, _MEAN = 'net.', 'mean.mean.'
_METRES, _NO_METRES = (ScaleKind.METRIC, 'depth truth'), (ScaleKind.UP_TO_SCALE, 'none')


def train_supervised(run: Run) -> None:
    """Train, then export the best checkpoint; of several processes the first one exports.

    Raises:
        ConfigError: the settings do not fit each other.
        ModelError: weights to begin with are missing or of another network.
        DepthRosError: as fit.
    """
    config, paths, ranks = run.config, run.paths, run.ranks
    module = FrameDataModule(config, run.data, ranks)
    begins = run.last is None and paths.init is None
    made = config if begins else config.without_pretrained()
    recipe = make_recipe(made, run.data.training)
    task = SupervisedTask(config, recipe, module.total_steps, ranks)
    if run.last is None:
        if paths.init is None:
            recipe.start(task.net)
        else:
            load_supervised(task, paths.init)
    task.start_mean()
    task.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    fit(
        config, paths.workdir, task, module, task.fields, [Pictures(paths.workdir)], ranks,
        run.progress,
    )  # fmt: skip
    if not ranks.is_first:
        return
    best = paths.workdir / BEST
    if best.exists():
        run.progress(f'exporting the best checkpoint, {best}')
        load_supervised(task, best)
    finish_supervised(config, paths.out, task, run.data, paths.init, run.progress)


def finish_supervised(
    config: TrainConfig,
    out: Path,
    task: SupervisedTask,
    data: TrainingData,
    init: Path | None,
    progress: Progress,
) -> None:
    """Export, keep weights beside the graph.

    Args:
        config: of the run.
        out: model folder to make.
        task: trained.
        data: that the run learnt from.
        init: what the run began with.
        progress: takes lines for people.

    Raises:
        ModelError: the folder cannot be written, or the graph differs from torch.
    """
    task.eval()
    spec = _spec(out.resolve().name, config, task, data, init)
    graph = task.recipe.graph(task.best_net)
    report = export_model(graph, None, spec, render_samples(data.training), out)
    if config.export.weights:
        state = task.best_net.state_dict()
        save_weights({_NET + name: value for name, value in state.items()}, out)
        save_settings(config, out)
    progress(
        f'{out}: {report.size_bytes / 1e6:.1f} MB, {spec.scale.value} ({spec.scale_source}), '
        f'graph differs from torch by {report.depth_difference:.1e} at most'
    )


def load_supervised(task: SupervisedTask, source: Path) -> None:
    """Fill the task's network, and its mean, from a checkpoint, a workdir, or a model.

    Raises:
        ModelError: nothing usable there, or another network.
    """
    state = _state_of(source)
    task.recipe.fill(task.net, state, source)
    if task.mean is not None:
        task.mean.mean.load_state_dict(task.net.state_dict())


def _state_of(source: Path) -> dict[str, Tensor]:
    """The weights that an earlier run or model would export, under the network's own names."""
    source = weights_of_run(source) or source
    if not source.is_file():
        model = Model.load(source)
        return _named(read_weights(model.path), _NET, model.path)
    contents = read_weights_file(source)
    state = contents.get('state_dict')
    if not isinstance(state, Mapping):
        # A bare state dict, as official files are.
        return contents
    has_mean = any(name.startswith(_MEAN) for name in state)
    return _named(state, _MEAN if has_mean else _NET, source)


def _named(state: Mapping[str, Tensor], prefix: str, source: Path) -> dict[str, Tensor]:
    found = {n[len(prefix) :]: value for n, value in state.items() if n.startswith(prefix)}
    if not found:
        raise ModelError(f'{source} holds no network that was trained by true depth alone')
    return found


def _spec(
    name: str, config: TrainConfig, task: SupervisedTask, data: TrainingData, init: Path | None
) -> ModelSpec:
    answers, run = task.recipe.answers, config.run
    scale, scale_source = scale_of(config, data, init)
    return ModelSpec(
        name=name,
        family=answers.family,
        width=config.data.width,
        height=config.data.height,
        depth_width=answers.width,
        depth_height=answers.height,
        precision=config.export.precision,
        min_depth=answers.min_depth_m,
        max_depth=answers.max_depth_m,
        scale=scale,
        scale_source=scale_source,
        intrinsics=answers.intrinsics,
        fit=config.data.fit,
        resize_filter=config.data.resize_filter,
        motion=None,
        licence=config.export.licence,
        training_run=(
            f'depth_ros train, preset {config.name}, bags {named_bags(config.bags)}, '
            f'{run.epochs} epochs, seed {run.seed}'
        ),
        tolerance=ACCEPTED[config.export.precision],
    )


def scale_of(
    config: TrainConfig, data: TrainingData, init: Path | None
) -> tuple[ScaleKind, str]:
    """Where metres come from; a phase that learns no depth leaves those of what it began with."""
    if not config.truths:
        return _scale_of_source(init)
    return _METRES if data.learns_metres else _NO_METRES


def _scale_of_source(source: Path | None) -> tuple[ScaleKind, str]:
    """Where the metres of weights come from that are a model's, a run's, or official ones."""
    if source is None:
        return _NO_METRES  # random weights answer none
    workdir = source.parent if source.is_file() else source
    if (workdir / CONFIG_FILE).is_file() and weights_of_run(workdir) is not None:
        config = read_run_config(workdir)
        if not config.truths:
            return _scale_of_source(read_init(workdir))
        truths = {bag.truth for bag in config.bags} & config.truths
        return _METRES if any(truth.is_metric for truth in truths) else _NO_METRES
    if source.is_file():
        # Official weights are metric; a checkpoint away from its run does not tell.
        return _NO_METRES if source.suffix == '.ckpt' else _METRES
    spec = Model.load(source).spec
    return spec.scale, spec.scale_source
