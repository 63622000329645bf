"""Tests of small networks are fastest, and repeat exactly, on one thread."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rendered_frames import CAMERA

from depth_ros.synthetic import SyntheticBag, write_bag

torch.set_num_threads(1)


@pytest.fixture(scope='session')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered room to train on, read only; tests of other recordings have a bag of theirs."""
    path = tmp_path_factory.mktemp('bags') / 'room'
    write_bag(path, SyntheticBag(seed=4, frames=24, rate_hz=8.0, intrinsics=CAMERA))
    return path
