"""Which ROS 2 distribution this is, told without importing any of it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata

_WHEELS = ('jazzy', 'kilted')
"""Distributions that PyPI has wheels of."""


def ros_distro(environment: Mapping[str, str]) -> str | None:
    """'humble', 'jazzy', ...: of the sourced ROS install, else of the installed wheels."""
    if environment.get('ROS_DISTRO'):
        return environment['ROS_DISTRO']
    for distro in _WHEELS:
        try:
            metadata.version(f'ros-{distro}-rclpy')
        except metadata.PackageNotFoundError:
            continue
        return distro
    return None
