"""Plain mappings (YAML) into frozen dataclasses: every key known, every value of its type."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from depth_ros.errors import ConfigError

T = TypeVar('T')


def parse(kind: type[T], values: Any, where: str = '') -> T:
    """Build the dataclass `kind` from a mapping, its nested dataclasses from nested mappings.

    Args:
        kind: a dataclass whose fields are scalars, enums, paths, tuples, optionals of these, or
            dataclasses again. Fields without a default must be given.
        values: the mapping; None stands for an empty one.
        where: dotted name of the mapping, for messages.

    Raises:
        ConfigError: a key is unknown (the allowed ones are named) or missing, or a value has the
            wrong type or is refused by its dataclass.
    """
    values = {} if values is None else values
    if not isinstance(values, Mapping):
        raise ConfigError(f'{where or "configuration"} must be a mapping, not {values!r}')
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            place = f'{where}.{key}' if where else str(key)
            raise ConfigError(f'unknown key {place!r} (allowed: {", ".join(sorted(fields))})')
    given = {key: _convert(hints[key], value, _join(where, key)) for key, value in values.items()}
    for name, field in fields.items():
        required = (
            field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING
        )
        if required and name not in given:
            raise ConfigError(f'{_join(where, name)} is missing')
    return kind(**given)


def to_plain(value: Any) -> Any:
    """The inverse of `parse`: dataclasses, enums, paths and tuples as YAML can hold them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    return value


def _join(where: str, key: str) -> str:
    return f'{where}.{key}' if where else key


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        options = [option for option in typing.get_args(hint) if option is not type(None)]
        if value is None and len(options) < len(typing.get_args(hint)):
            return None
        return _convert(options[0], value, where)
    if origin is tuple:
        return _convert_tuple(hint, value, where)
    if dataclasses.is_dataclass(hint):
        return parse(typing.cast(type, hint), value, where)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        allowed = [member.value for member in hint]
        if value not in allowed:
            raise ConfigError(f'{where} is {value!r} (allowed: {", ".join(map(str, allowed))})')
        return hint(value)
    if hint is Path and isinstance(value, (str, Path)):
        return Path(value)
    if hint is float:
        return _convert_float(value, where)
    if isinstance(hint, type) and type(value) is hint:
        return value
    raise ConfigError(f'{where} is {value!r}, but must be {getattr(hint, "__name__", hint)}')


def _convert_float(value: Any, where: str) -> float:
    # YAML 1.1 reads 1e-4 as text, which people do write.
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ConfigError(f'{where} is {value!r}, but must be a number')
    try:
        return float(value)
    except ValueError:
        raise ConfigError(f'{where} is {value!r}, but must be a number') from None


def _convert_tuple(hint: Any, value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f'{where} is {value!r}, but must be a list')
    kinds = typing.get_args(hint)
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise ConfigError(f'{where} has {len(value)} values, but must have {len(kinds)}')
    return tuple(
        _convert(kind, item, f'{where}[{i}]') for i, (kind, item) in enumerate(zip(kinds, value))
    )
