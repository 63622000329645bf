"""Reads presets and what the command line changes in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from depth_ros.errors import ConfigError
from training.config import BagSource, TrainConfig
from training.strict import parse


def load_config(
    preset: Path, overrides: Sequence[str] = (), bags: Sequence[BagSource] = ()
) -> TrainConfig:
    """Read a preset and apply what the command line says.

    Args:
        preset: YAML file.
        overrides: 'section.key=value' texts, value in YAML.
        bags: replace the preset's, where given.

    Raises:
        ConfigError: no such file, not YAML, an unknown key, a wrong value, or no bag.
    """
    try:
        values = yaml.safe_load(preset.read_text())
    except OSError as error:
        raise ConfigError(f'preset {preset} cannot be read: {error.strerror}') from None
    except yaml.YAMLError as error:
        raise ConfigError(f'preset {preset} is not YAML: {_one_line(error)}') from None
    for text in overrides:
        values = _override(values if values is not None else {}, text)
    config = parse(TrainConfig, values)
    if bags:
        config = replace(config, bags=tuple(bags))
    if not config.bags:
        raise ConfigError('no bag to train on: give --bag BAG, or bags: in the preset')
    return config


def _override(values: Any, text: str) -> dict[str, Any]:
    name, equals, raw = text.partition('=')
    if not equals or not name.strip():
        raise ConfigError(f'--set {text!r} must be section.key=value')
    try:
        value = yaml.safe_load(raw)
    except yaml.YAMLError as error:
        raise ConfigError(f'--set {text!r}: {_one_line(error)}') from None
    return _with_value(values, name.strip().split('.'), value, text)


def _with_value(values: Any, keys: list[str], value: Any, text: str) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        raise ConfigError(f'--set {text!r}: {keys[0]!r} lies below a value, not a section')
    inner = value
    if len(keys) > 1:
        below = values.get(keys[0])
        inner = _with_value({} if below is None else below, keys[1:], value, text)
    return {**values, keys[0]: inner}


def _one_line(error: Exception) -> str:
    return ' '.join(str(error).split())
