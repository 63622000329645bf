"""One row of the table of parameters: what is said of it, and how its value is read."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from depth_ros.errors import ConfigError

Value = bool | int | float | str | list[float] | list[str] | None
"""What ROS carries as the value of a parameter of this node; None for a list of nothing."""


@dataclass(frozen=True)
class Meaning:
    """What the table says of a parameter besides name, type and default."""

    text: str
    lowest: float | None = None
    highest: float | None = None
    read_only: bool = False
    loads: bool = False
    """Whether setting it loads a model."""
    each_camera: bool = False
    """Whether as many numbers may follow for each further camera."""


@dataclass(frozen=True)
class TableEntry:
    """One row of the table."""

    name: str
    default: Any
    meaning: Meaning

    @property
    def choices(self) -> tuple[str, ...]:
        """The allowed words of a choice; empty for any other type."""
        if isinstance(self.default, enum.Enum):
            return tuple(member.value for member in type(self.default))
        return ()

    @property
    def ros_default(self) -> Value:
        """The default as ROS carries it."""
        return self.ros_value(self.default)

    def ros_value(self, value: Any) -> Value:
        """A value of the field's type as ROS carries it: what `read` reads."""
        if isinstance(value, enum.Enum):
            return value.value
        return list(value) if isinstance(value, tuple) else value

    def read(self, value: Value) -> Any:
        """Check a value of ROS and make it the field's type.

        Raises:
            ConfigError: wrong type or out of bounds; names the value and what is allowed.
        """
        default = self.default
        if isinstance(default, enum.Enum):
            return self._read_choice(value)
        if isinstance(default, tuple):
            words = isinstance(default[0], str)
            return self._read_words(value) if words else self._read_numbers(value)
        if type(value) is not type(default):
            kind = type(default).__name__
            raise ConfigError(f'parameter {self.name} is {value!r}, which is not a {kind}')
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            self._check_bounds(value)
        return value

    def _read_choice(self, value: Value) -> enum.Enum:
        if value not in self.choices:
            allowed = ', '.join(self.choices)
            raise ConfigError(f'parameter {self.name} is {value!r} (allowed: {allowed})')
        return type(self.default)(value)

    def _read_numbers(self, value: Value) -> tuple[float, ...]:
        length, several = len(self.default), self.meaning.each_camera
        numbers: tuple[Any, ...] = tuple(value) if isinstance(value, Iterable) else ()
        fits = len(numbers) == length or (several and numbers and len(numbers) % length == 0)
        if not fits or not all(_is_finite(number) for number in numbers):
            each = ' for each camera' if several else ''
            raise ConfigError(
                f'parameter {self.name} is {value!r}, not {length} finite numbers{each}'
            )
        return tuple(float(number) for number in numbers)

    def _read_words(self, value: Value) -> tuple[str, ...]:
        if value is None or value == []:  # how ROS carries a list of nothing
            return self.default
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise ConfigError(f'parameter {self.name} is {value!r}, not a list of words')
        words: tuple[Any, ...] = tuple(value)
        for word in words:
            if not isinstance(word, str):
                raise ConfigError(f'parameter {self.name} has {word!r}, which is not a word')
        return words

    def _check_bounds(self, value: float) -> None:
        lowest, highest = self.meaning.lowest, self.meaning.highest
        # Written so that NaN is refused too.
        if (lowest is not None and not value >= lowest) or (
            highest is not None and not value <= highest
        ):
            raise ConfigError(
                f'parameter {self.name} is {value}, allowed: {lowest:g} to {highest:g}'
            )


def _is_finite(number: Any) -> bool:
    is_number = isinstance(number, (int, float)) and not isinstance(number, bool)
    return is_number and math.isfinite(number)
