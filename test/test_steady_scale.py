"""Depth at the mean scale of the last seconds."""

import math

import numpy as np
import pytest

from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.motion import se3
from depth_ros.pipeline.steady_scale import SteadyDepth, SteadyScale

CAMERA = Intrinsics(60.0, 62.0, 31.5, 24.5, 64, 48)
RAYS = CAMERA.rays()
STEP_S = 0.1


def room(world_T_cam):
    """True depth [48,64] of a floor 1 m below, a wall 4 m ahead and one 2 m to the right."""
    rays = np.concatenate([RAYS, np.ones((48, 64, 1))], axis=2) @ world_T_cam[:3, :3].T
    start = world_T_cam[:3, 3]
    with np.errstate(divide='ignore'):
        reach = (np.array([2.0, 1.0, 4.0]) - start) / rays
    return np.where(reach > 0, reach, np.inf).min(axis=2).astype(np.float32)


def path(count):
    """Poses that go ahead, sideways and turn."""
    return [se3.motion_to_matrix(np.array([0.0, 0.01, 0.0, 0.01, -0.005, 0.02]) * i)
            for i in range(count)]  # fmt: skip


def follow(factors, window_s, poses=None, steady=None):
    """What depth with these errors of scale becomes; the errors that are left."""
    poses = poses or path(len(factors))
    steady = steady or SteadyScale(RAYS)
    state = SteadyDepth(factors[0] * room(poses[0]))
    left = [factors[0]]
    for i in range(1, len(factors)):
        motion = se3.inverse(poses[i - 1]) @ poses[i]
        motion[:3, 3] *= factors[i]  # found with the depth of this frame
        depth = factors[i] * room(poses[i])
        state = steady.follow(state, depth, motion, STEP_S, window_s)
        left.append(factors[i] * state.factor)
    return np.array(left)


def test_the_ratio_of_two_scales_is_found_whatever_the_motion():
    poses = path(8)
    earlier, current = 1.2 * room(poses[0]), 0.9 * room(poses[7])
    motion = se3.inverse(poses[0]) @ poses[7]
    motion[:3, 3] *= 0.9
    ratio = SteadyScale(RAYS).log_ratio(earlier, current, motion)
    assert ratio == pytest.approx(math.log(1.2 / 0.9), abs=0.002)


def test_what_moves_and_what_is_unknown_does_not_count():
    poses = path(2)
    earlier, current = room(poses[0]), room(poses[1])
    earlier[:, :20] *= 0.3
    current[30:] = np.nan
    motion = se3.inverse(poses[0]) @ poses[1]
    assert SteadyScale(RAYS).log_ratio(earlier, current, motion) == pytest.approx(0.0, abs=0.002)


def test_frames_get_the_mean_scale_of_those_before():
    factors = np.exp(np.random.default_rng(0).normal(0.05, 0.1, 40))
    left = np.log(follow(factors, 1e9))
    expected = np.cumsum(np.log(factors)) / np.arange(1, 41)
    np.testing.assert_allclose(left, expected, atol=0.001)


def test_a_lasting_change_is_followed_within_the_window():
    factors = np.array([1.0] * 20 + [1.3] * 60)
    left = follow(factors, 1.0)
    assert left[20] < 1.05  # a tenth of a second of one
    assert left[29] == pytest.approx(1.3 ** (1 - (10 / 11) ** 10), rel=0.01)
    assert left[-1] == pytest.approx(1.3, rel=0.01)


def test_frames_with_too_little_in_common_have_the_last_correction():
    poses = path(2)
    away = poses[1] @ se3.motion_to_matrix(np.array([0.0, math.pi, 0.0, 0.0, 0.0, 0.0]))
    earlier = SteadyDepth(room(poses[0]), 0.2, 1.0)
    steady = SteadyScale(RAYS)
    for depth, motion in ((room(away), away), (np.full((48, 64), np.nan, np.float32), np.eye(4))):
        state = steady.follow(earlier, depth, motion, STEP_S, 1.0)
        assert (state.correction, state.span_s) == (0.2, 1.0)
        assert state.depth is depth


def test_equal_stamps_are_no_exception():
    poses = path(2)
    earlier = SteadyDepth(room(poses[0]), 0.2)
    state = SteadyScale(RAYS).follow(earlier, 1.1 * room(poses[0]), np.eye(4), 0.0, 1.0)
    assert state.correction == pytest.approx(0.2 - math.log(1.1), abs=0.002)
