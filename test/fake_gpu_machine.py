"""Puts test/fake_gpu below the TensorRT backend, in this process or in those that it starts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / 'fake_gpu'
_NAMES = ('cuda', 'tensorrt')


@pytest.fixture
def fake_gpu(tmp_path: Path) -> Iterator[Path]:
    """A machine with a GPU and TensorRT; gives the folder of its engines.

    Tests name it before `monkeypatch`, so that what they put into sys.modules is gone again when
    this clears it.
    """
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_fake(name)}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        patch.setenv('DEPTH_ROS_ENGINES', str(tmp_path / 'engines'))
        yield tmp_path / 'engines'
    for name in [name for name in sys.modules if _is_fake(name)]:
        del sys.modules[name]
    sys.modules.update(hidden)


def _is_fake(name: str) -> bool:
    return name.split('.', 1)[0] in _NAMES
