"""Poses that an external odometry told."""

from __future__ import annotations

import numpy as np
import pytest

from depth_ros.motion import se3
from depth_ros.motion.pose_record import PoseRecord

SECOND = 10**9


def pose(seconds: float) -> np.ndarray:
    turn = se3.axis_angle_to_matrix(np.array([0.0, 0.4 * seconds, 0.0]))
    return se3.rigid(turn, np.array([0.0, 0.0, 2.0 * seconds]))


@pytest.fixture
def record() -> PoseRecord:
    filled = PoseRecord()
    for tenth in range(11):
        filled.add(tenth * SECOND // 10, pose(tenth / 10))
    return filled


def test_motions_are_those_between_moments_also_between_poses(record: PoseRecord) -> None:
    for start, end in ((0.0, 1.0), (0.2, 0.7), (0.25, 0.85), (0.7, 0.2)):
        motion = record.motion(int(start * SECOND), int(end * SECOND))
        assert motion is not None
        expected = se3.inverse(pose(start)) @ pose(end)
        np.testing.assert_allclose(motion, expected, atol=2e-3)


def test_nothing_is_told_of_what_lies_outside_or_in_a_gap(record: PoseRecord) -> None:
    assert record.reaches(SECOND)
    assert not record.reaches(SECOND + 1)
    assert record.motion(0, SECOND + 1) is None
    assert record.motion(-1, SECOND) is None
    record.add(2 * SECOND, pose(2.0))
    assert record.motion(0, 3 * SECOND // 2) is None
    assert record.motion(0, 2 * SECOND) is not None


def test_a_stamp_that_goes_back_starts_anew_and_one_that_repeats_is_none(
    record: PoseRecord
) -> None:
    record.add(SECOND, pose(5.0))
    motion = record.motion(0, SECOND)
    assert motion is not None
    np.testing.assert_allclose(motion, pose(1.0), atol=1e-12)
    record.add(SECOND // 2, pose(0.5))
    assert record.motion(0, SECOND // 2) is None
    record.clear()
    assert not record.reaches(0)
