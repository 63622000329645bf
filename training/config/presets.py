"""Reads presets and what the command line changes in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from depth_ros.errors import ConfigError
from depth_ros.system.resources import config_file
from training.config import BagSource, TrainConfig
from training.config.strict import parse

_BASE = 'base'


def load_config(
    preset: Path,
    overrides: Sequence[str] = (),
    bags: Sequence[BagSource] = (),
    changes: Path | None = None,
) -> TrainConfig:
    """Read a preset and apply what the command line says.

    Args:
        preset: YAML file; its key `base` names another one that it changes.
        overrides: 'section.key=value' texts, value in YAML.
        bags: replace the preset's, where given.
        changes: another preset, laid over the first.

    Raises:
        ConfigError: no such file, not YAML, an unknown key, a wrong value, or no bag.
    """
    values = _read(preset)
    if changes is not None:
        values = _merged(values, _read(changes))
    for text in overrides:
        values = _override(values, text)
    config = parse(TrainConfig, values)
    if bags:
        config = replace(config, bags=tuple(bags))
    if not config.bags:
        raise ConfigError('no bag to train on: give --bag BAG, or bags: in the preset')
    return config


def _read(preset: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The values of a preset, laid over those of its base."""
    if preset in above:
        raise ConfigError(f'preset {preset} is its own base')
    try:
        values = yaml.safe_load(preset.read_text())
    except OSError as error:
        raise ConfigError(f'preset {preset} cannot be read: {error.strerror}') from None
    except yaml.YAMLError as error:
        raise ConfigError(f'preset {preset} is not YAML: {_one_line(error)}') from None
    values = {} if values is None else values
    if not isinstance(values, Mapping):
        raise ConfigError(f'preset {preset} must be a mapping, not {values!r}')
    if _BASE not in values:
        return dict(values)
    own = {key: value for key, value in values.items() if key != _BASE}
    return _merged(_read(_find(values[_BASE], preset), (*above, preset)), own)


def _find(base: Any, preset: Path) -> Path:
    """A preset by name, beside the one that names it or installed, or a YAML file."""
    if not isinstance(base, str):
        raise ConfigError(f'preset {preset}: base is {base!r}, but must be the name of a preset')
    if base.endswith(('.yaml', '.yml')):
        return preset.parent / base
    beside = preset.parent / f'{base}.yaml'
    return beside if beside.is_file() else config_file(f'training/{base}.yaml')


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`below` with what `above` says, section by section."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            value = _merged(old, value)
        result[key] = value
    return result


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
