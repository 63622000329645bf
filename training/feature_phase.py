"""The first phase of a run that matches learnt features: the auto-encoder, trained or given."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from depth_ros.errors import DepthRosError, ModelError
from training.callbacks import BEST, LAST, LogFields, weights_of_run
from training.config import FeatureMode, Monitor, TrainConfig
from training.data.module import FrameDataModule, TrainingData
from training.fitting import fit
from training.initial import FEATURES
from training.networks.build import build_frozen_features
from training.networks.feature_net import FeatureNet, FrozenFeatures
from training.official.featdepth_files import is_official_file, read_official_features
from training.progress import Progress
from training.ranks import Ranks
from training.state_files import fill_strictly, read_weights_file, write_weights_file
from training.tasks.features import FeatureTask
from training.weights import WEIGHTS_FILE, read_weights

FEATURES_FOLDER = 'features'
FEATURES_FILE = 'features.pt'
_FIELDS = LogFields(('loss', 'reconstruction', 'discriminative', 'convergent'), ('loss',))


@dataclass(frozen=True)
class FeatureWeights:
    """Weights of a FeatureNet under the names of its modules, and where they come from.

    Official files of models trained separately hold an encoder only.
    """

    state: Mapping[str, Tensor]
    source: Path


def prepare_features(
    config: TrainConfig, workdir: Path, data: TrainingData, ranks: Ranks, progress: Progress
) -> FeatureWeights | None:
    """Read the features that are given, else train them, going on where a killed run stopped.

    Args:
        config: of the run.
        workdir: of the run; the features are kept in a folder below it.
        data: of the run.
        ranks: this process among those that train together.
        progress: told what happens.

    Returns:
        None where nothing is matched, or the features are trained along from their beginning.

    Raises:
        ModelError: what is given are no features.
        DepthRosError: the loss is not finite, or the disk is full.
    """
    if config.loss.feature_metric == 0:
        return None
    if config.features.init is not None:
        return read_features(config.features.init)
    if config.features.mode is FeatureMode.JOINT:
        return None
    folder = workdir / FEATURES_FOLDER
    if not (folder / FEATURES_FILE).exists():
        _train_features(_own_run(config), folder, data, ranks, progress)
    return read_features(folder / FEATURES_FILE)


def read_features(source: Path) -> FeatureWeights:
    """Features of a run's workdir, a model folder, a features.pt, or an official FeatDepth file.

    A model folder holds the part that matching needs, as does the checkpoint of a run that was
    given its features.

    Raises:
        ModelError: there are none, or the file is damaged.
    """
    if (source / WEIGHTS_FILE).is_file():
        return _features_among(read_weights(source), source)
    if source.is_dir():
        alone, checkpoint = source / FEATURES_FOLDER / FEATURES_FILE, weights_of_run(source)
        if not alone.is_file() and checkpoint is not None:
            # Trained along with depth, or given to the run.
            state = read_weights_file(checkpoint, mapped=True).get('state_dict', {})
            return _features_among(state, checkpoint)
        if not alone.is_file():
            raise ModelError(f'{alone} is missing: no features were trained there by themselves')
        source = alone
    contents = read_weights_file(source)
    if is_official_file(contents):
        return FeatureWeights(read_official_features(contents, source), source)
    return FeatureWeights(contents, source)


def write_features(state: Mapping[str, Tensor], path: Path) -> None:
    """Write a file that is whole or not there: it marks the end of the phase.

    Raises:
        DepthRosError: it cannot be written.
    """
    aside = path.with_suffix('.partial')
    try:
        write_weights_file(state, aside)
        os.replace(aside, path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise DepthRosError(f'cannot write {path}: {error.strerror or error}') from None


def load_features(net: FeatureNet | FrozenFeatures, weights: FeatureWeights) -> None:
    """Fill a net strictly; of frozen features only the part that they keep.

    Raises:
        ModelError: the weights belong to another network; the message names their source.
    """
    state = dict(weights.state)
    if isinstance(net, FrozenFeatures):
        state = {name: state[name] for name in net.state_dict() if name in state}
    fill_strictly(net, state, weights.source)


def matched_weights(net: FeatureNet | FrozenFeatures | None) -> dict[str, Tensor]:
    """The weights that matching needs, as they are kept in a model folder."""
    if net is None:
        return {}
    names = net.state_dict()
    if isinstance(net, FeatureNet):
        names = build_frozen_features(net.encoder.name).state_dict()
    state = net.state_dict()
    return {FEATURES + name: state[name] for name in names}


def _features_among(state: Mapping[str, Tensor], source: Path) -> FeatureWeights:
    """Those among the weights of all networks."""
    found = {
        name.removeprefix(FEATURES): value
        for name, value in state.items()
        if name.startswith(FEATURES)
    }
    if not found:
        raise ModelError(f'{source} was trained without learnt features')
    return FeatureWeights(found, source)


def _own_run(config: TrainConfig) -> TrainConfig:
    """The configuration with length and optimiser of the features' training."""
    features = config.features
    run = replace(
        config.run,
        batch_size=features.batch_size,
        epochs=features.epochs,
        steps_per_epoch=features.steps_per_epoch,
        monitor=Monitor.LOSS,
        early_stop_epochs=0,
    )
    return replace(config, run=run, optimizer=features.optimizer)


def _train_features(
    config: TrainConfig, folder: Path, data: TrainingData, ranks: Ranks, progress: Progress
) -> None:
    module = FrameDataModule(config, data, ranks, targets_alone=True)
    made = config.without_pretrained() if (folder / LAST).exists() else config
    task = FeatureTask(made, module.total_steps, ranks)
    progress(f'first phase: features, {module.total_steps} steps')
    folder.mkdir(parents=True, exist_ok=True)
    fit(
        config, folder, task, module, _FIELDS, [], ranks,
        lambda text: progress(f'features: {text}'),
    )  # fmt: skip
    if ranks.is_first:
        _keep_features(task, folder)
    ranks.wait()
    progress(f'features written to {folder / FEATURES_FILE}; they stay as they are')


def _keep_features(task: FeatureTask, folder: Path) -> None:
    state = task.state_dict()
    if (folder / BEST).exists():
        state = read_weights_file(folder / BEST)['state_dict']
    write_features(
        {name.removeprefix(FEATURES): value for name, value in state.items()
         if name.startswith(FEATURES)},
        folder / FEATURES_FILE,
    )
