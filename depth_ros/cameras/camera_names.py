"""Names of cameras that share one model, and of the topics below them; no ROS in here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from depth_ros.errors import ConfigError

MOST_CAMERAS = 16
PLACEHOLDER = '{camera}'
"""Stands for the name in what is said of all cameras at once."""

_NAME = re.compile(r'[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*')


def check_names(names: Sequence[str]) -> None:
    """Refuse what cannot name cameras.

    Args:
        names: one empty name, for a camera whose topics stand by themselves; or names that are
            each one part of a ROS topic, all of them different.

    Raises:
        ConfigError: naming the bad one, and what is allowed.
    """
    if tuple(names) == ('',):
        return
    if not 1 <= len(names) <= MOST_CAMERAS:
        raise ConfigError(f'{len(names)} cameras, allowed: 1 to {MOST_CAMERAS}')
    for name in names:
        if _NAME.fullmatch(name) is None:
            raise ConfigError(
                f'parameter cameras has the name {name!r}; allowed: letters, digits and single '
                'underscores within, beginning with a letter, such as front or left_2'
            )
        if names.count(name) > 1:
            raise ConfigError(f'parameter cameras has the name {name!r} twice')


def camera_topic(camera: str, topic: str) -> str:
    """A topic of a camera, relative to the node; a camera without a name has it to itself."""
    return f'{camera}/{topic}' if camera else topic


def remappings(names: Sequence[str], topics: Mapping[str, str]) -> list[tuple[str, str]]:
    """Where the topics of cameras are to be found.

    Args:
        names: see check_names.
        topics: the wanted topic by that of a camera, such as 'image'; of several cameras with
            {camera} in the place of the name. A topic that is wanted as it is stands for itself.

    Raises:
        ConfigError: a bad name, or one topic for several cameras.
    """
    check_names(names)
    pairs = []
    for topic, wanted in topics.items():
        if wanted == topic:
            continue
        if len(names) > 1 and PLACEHOLDER not in wanted:
            raise ConfigError(
                f'{topic} is {wanted!r} for all of {", ".join(names)}; put {PLACEHOLDER} where '
                'the name stands'
            )
        pairs += [
            (camera_topic(name, topic), wanted.replace(PLACEHOLDER, name)) for name in names
        ]
    return pairs
