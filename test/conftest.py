"""Leaves out the tests whose half of the project this machine cannot run, and says so."""

from __future__ import annotations

import importlib.util
import signal
from collections import Counter
from pathlib import Path

import pytest

_NEEDS = {'training': 'torch', 'ros': 'rclpy'}
_LACKING = {
    folder: module
    for folder, module in _NEEDS.items()
    if importlib.util.find_spec(module) is None
}

# What a shell starts in the background ignores SIGINT, and so would the processes that the tests
# start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> list[str]:
    """Name what is left out, so that a short run is not taken for a whole one."""
    return [
        f'test/{folder} is left out: {module} is not installed'
        for folder, module in _LACKING.items()
    ]


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out the folders that cannot be imported; everything else is pytest's decision."""
    here = Path(__file__).parent
    return True if collection_path in [here / folder for folder in _LACKING] else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the files that take long, or one of them alone is what all wait for at the end.

    What only one process runs stays in its order.
    """
    if hasattr(config, 'workerinput'):
        long = Path(__file__).parent / 'training'
        slow = Counter(item.path for item in items if item.get_closest_marker('slow'))
        items.sort(key=lambda item: (long not in item.path.parents, -slow[item.path]))
