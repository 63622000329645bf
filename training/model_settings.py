"""How a model was trained, kept in its folder: a preset to go on with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import yaml

from depth_ros.errors import ConfigError, ModelError
from depth_ros.model_folder.model import Model
from training.config import TrainConfig
from training.config.strict import to_plain

SETTINGS_FILE = 'training.yaml'
_WORKDIR_SETTINGS = 'config.yaml'


def save_settings(config: TrainConfig, model_folder: Path) -> None:
    """Write the settings of a run, without its bags.

    Raises:
        ModelError: the folder cannot be written.
    """
    values = to_plain(replace(config, bags=()))
    try:
        (model_folder / SETTINGS_FILE).write_text(yaml.safe_dump(values, sort_keys=False))
    except OSError as error:
        raise ModelError(
            f'cannot write {model_folder / SETTINGS_FILE}: {error.strerror}'
        ) from None


def find_folder(model: Path) -> Path:
    """What is named, as it is; of a model named without its folder, that.

    Raises:
        ModelError: there is no such model.
    """
    return model if model.exists() else Model.load(model).path


def find_settings(model: Path) -> Path:
    """The preset that says how a model was trained: in its folder, or its run's workdir.

    Raises:
        ConfigError: there is none.
        ModelError: there is no such model.
    """
    workdir = model / _WORKDIR_SETTINGS
    path = workdir if workdir.is_file() else Model.load(model).path / SETTINGS_FILE
    if not path.is_file():
        raise ConfigError(f'{model} does not say how it was trained; name its preset by --preset')
    return path
