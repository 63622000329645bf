"""Which frames of a bag calibrate a model, which judge it, and which make pairs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from recordings import PERIOD_NS, stamp_of, write_recording
from tiny_networks import HEIGHT, SPEC, WIDTH

from depth_ros.cameras.rectifier import RectifyMode
from depth_ros.errors import BagError
from training.config import BagSource
from training.int8.calibration import (
    CALIBRATED_ON,
    CalibrationFrames,
    evenly,
    pairs_at,
    read_calibration_frames,
)

NO_POSE = replace(SPEC, motion=None)


@pytest.fixture(scope='module')
def bag(tmp_path_factory) -> Path:
    return write_recording(tmp_path_factory.mktemp('bags') / 'waves', frames=50)


def read(source: BagSource, folder: Path, spec=SPEC) -> CalibrationFrames:
    return read_calibration_frames(spec, source, RectifyMode.AUTO, folder, lambda _: None)


def test_the_last_fifth_judges_and_nothing_of_it_calibrates(bag: Path, tmp_path: Path) -> None:
    spec = replace(SPEC, motion=replace(SPEC.motion, interval_s=2 * PERIOD_NS * 1e-9))
    frames = read(BagSource(bag, first=5, last=45), tmp_path, spec)
    selection = frames.judged_selection
    assert (selection.first, selection.last) == (37, 45)
    assert len(frames.judged.depth) == 8
    assert len(frames.calibrated.depth) == CALIBRATED_ON
    assert len(frames.calibrated.pose) == 31
    for run in frames.calibrated.depth:
        assert run['image'].shape == (1, HEIGHT, WIDTH, 3)
        assert run['image'].dtype == np.uint8
        assert run['intrinsics'].shape == (1, 4)
    judged = {run['image'].tobytes() for run in frames.judged.depth}
    calibrated = {run['image'].tobytes() for run in frames.calibrated.depth}
    assert len(judged) == 8
    assert not judged & calibrated
    for run in frames.calibrated.pose:
        assert not judged & {run['previous'].tobytes(), run['current'].tobytes()}


def test_a_model_without_pose_network_needs_no_pairs(bag: Path, tmp_path: Path) -> None:
    assert read(BagSource(bag, last=20), tmp_path, NO_POSE).calibrated.pose == ()


def test_too_few_frames_are_refused(bag: Path, tmp_path: Path) -> None:
    with pytest.raises(BagError, match=r'waves: 19 frames are selected; .* needs 20 or more'):
        read(BagSource(bag, last=19), tmp_path, NO_POSE)


def test_frames_farther_apart_than_pairs_are_refused(bag: Path, tmp_path: Path) -> None:
    spec = replace(SPEC, motion=replace(SPEC.motion, interval_s=0.05))
    with pytest.raises(BagError, match=r'no frames from 0 to 39 are 0\.05 s apart'):
        read(BagSource(bag), tmp_path, spec)


def test_pairs_are_the_nearest_in_time_and_skip_gaps() -> None:
    stamps = np.array([0, 1, 2, 3, 10, 11, 12]) * 100_000_000
    found = pairs_at(stamps, 0.2)
    assert found.tolist() == [[0, 2], [1, 3], [2, 3], [4, 6], [5, 6]]
    assert pairs_at(np.array([stamp_of(0)]), 0.2).shape == (0, 2)


@pytest.mark.parametrize(('have', 'want'), [(5, 8), (8, 8), (100, 8), (9, 8)])
def test_evenly_spread_rows_are_distinct_and_reach_both_ends(have: int, want: int) -> None:
    rows = np.arange(have) + 3
    chosen = evenly(rows, want)
    assert len(set(chosen.tolist())) == min(have, want)
    assert (chosen[0], chosen[-1]) == (3, have + 2)
