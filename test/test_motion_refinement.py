"""Refined motions against the truth of rendered frames."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from depth_ros import synthetic
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.motion import se3
from depth_ros.motion.refinement import MotionRefiner

CAMERA = Intrinsics(210.0, 210.0, 127.5, 95.5, 256, 192)
WHOLE = (slice(0, 192), slice(0, 256))
NOTHING = np.zeros(6)


@pytest.fixture(scope='module')
def frames() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Two rendered frames, the depth of the second, and the true motion [4,4]."""
    room = synthetic.make_scene(seed=1_000_020)
    poses = synthetic.make_path(room, frames=3, rate_hz=7.5, seed=4)
    previous, _ = synthetic.render(room, CAMERA, poses[0])
    current, depth_m = synthetic.render(room, CAMERA, poses[1])
    return previous, current, depth_m, np.linalg.inv(poses[0]) @ poses[1]


def refine(previous, current, depth, start=NOTHING, window=WHOLE) -> np.ndarray:
    refined = MotionRefiner(CAMERA, window)(previous, current, depth, start)
    assert refined is not None
    return refined.motion


def errors(motion: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Rotation [rad], and translation relative to the true one."""
    matrix = se3.motion_to_matrix(motion)
    turn = se3.rotation_angle(matrix[:3, :3].T @ truth[:3, :3])
    shift = np.linalg.norm(matrix[:3, 3] - truth[:3, 3]) / np.linalg.norm(truth[:3, 3])
    return turn, float(shift)


def test_finds_the_motion_from_nothing_and_from_a_wrong_answer(frames) -> None:
    previous, current, depth_m, truth = frames
    wrong = np.array([0.02, -0.05, 0.01, 0.1, 0.0, -0.1])
    for start in (NOTHING, wrong):
        turn, shift = errors(refine(previous, current, depth_m, start), truth)
        assert turn < 0.003
        assert shift < 0.05
    assert se3.rotation_angle(truth[:3, :3]) > 0.02  # there was something to find


def test_the_unit_is_that_of_depth_whatever_its_grid(frames) -> None:
    previous, current, depth_m, truth = frames
    refined = refine(previous, current, 3 * depth_m[::2, ::2])
    refined[3:] /= 3
    turn, shift = errors(refined, truth)
    assert turn < 0.005
    assert shift < 0.1


def test_the_same_frames_give_the_same_answer(frames) -> None:
    previous, current, depth_m, _ = frames
    np.testing.assert_array_equal(
        refine(previous, current, depth_m), refine(previous, current, depth_m)
    )


def test_a_known_turn_tells_it_from_a_step_to_the_side(frames) -> None:
    """Where depth is flat, features alone take one for the other."""
    previous, current, depth_m, truth = frames
    flat = np.sqrt(depth_m * np.median(depth_m))
    refiner = MotionRefiner(CAMERA, WHOLE)
    alone = refiner(previous, current, flat, NOTHING)
    told = refiner(previous, current, flat, NOTHING, truth[:3, :3])
    assert alone is not None
    assert told is not None
    (turn, shift), (known, known_shift) = (errors(one.motion, truth) for one in (alone, told))
    assert known < 1e-3 < turn
    assert known_shift < 0.8 * shift
    assert np.trace(told.covariance) < np.trace(alone.covariance)


def test_a_turn_that_was_never_made_is_not_believed(frames) -> None:
    previous, current, depth_m, truth = frames
    wrong = se3.axis_angle_to_matrix(np.array([0.0, 0.5, 0.3])) @ truth[:3, :3]
    refined = MotionRefiner(CAMERA, WHOLE)(previous, current, depth_m, NOTHING, wrong)
    assert refined is not None
    np.testing.assert_array_equal(refined.motion, refine(previous, current, depth_m))


def test_says_nothing_where_nothing_can_be_tracked(frames) -> None:
    previous, current, depth_m, _ = frames
    refiner, answer = MotionRefiner(CAMERA, WHOLE), np.arange(6) / 100.0
    grey = np.full_like(current, 128)
    noise = np.random.default_rng(0).integers(0, 255, current.shape, np.uint8)
    unknown = np.full_like(depth_m, np.nan)
    for before, now, depth in (
        (grey, grey, depth_m), (noise, current, depth_m), (previous, current, unknown)
    ):  # fmt: skip
        assert refiner(before, now, depth, answer) is None


@pytest.mark.parametrize('seed', range(8))
def test_absurd_depths_never_stop_the_robot(frames, seed) -> None:
    """Points end up beside and behind the camera, where projection means nothing."""
    previous, current, depth_m, _ = frames
    rng = np.random.default_rng(seed)
    depth = (depth_m * np.exp(rng.normal(0, 8, depth_m.shape))).astype(np.float32)
    start = rng.normal(0, [1, 1, 1, 9, 9, 9])
    refined = MotionRefiner(CAMERA, WHOLE)(previous, current, depth, start)
    assert refined is None or np.isfinite(refined.motion).all()


def test_points_at_the_lens_count_for_nothing() -> None:
    points, seen = np.tile([0.0, 0.0, 1.0], (20, 1)), np.zeros((20, 2))
    for back in (-1.0, -1.0 + 1e-6, -1.5):
        start = np.array([0, 0, 0, 0, 0, back])
        _, distances = MotionRefiner(CAMERA, WHOLE)._adjust(points, seen, start)
        assert np.isinf(distances).all()


def test_padding_is_not_tracked(frames) -> None:
    """Corners of the border between image and padding stand still whatever the camera does."""
    previous, current, depth_m, truth = (np.array(array) for array in frames)
    for picture in (previous, current):
        picture[:40] = 128
        picture[:40, ::8] = 0
    window = (slice(46, 192), slice(0, 256))
    turn, _ = errors(refine(previous, current, depth_m, window=window), truth)
    assert turn < 0.003


def test_the_covariance_covers_the_errors_of_wrong_depths(frames) -> None:
    """Depths are bent and scaled at random; errors stay within three of the sigmas told."""
    previous, current, depth_m, truth = frames
    refiner, within = MotionRefiner(CAMERA, WHOLE), []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        bend = cv2.resize(rng.normal(0, 0.1, (5, 6)), (256, 192), interpolation=cv2.INTER_CUBIC)
        wrong = (depth_m * np.exp(bend + rng.normal(0, 0.1))).astype(np.float32)
        refined = refiner(previous, current, wrong, NOTHING)
        assert refined is not None
        error = se3.motion_to_matrix(refined.motion)
        turn = se3.matrix_to_axis_angle(error[:3, :3] @ truth[:3, :3].T)
        difference = np.concatenate([error[:3, 3] - truth[:3, 3], turn])
        assert np.linalg.eigvalsh(refined.covariance).min() > 0
        within.append(np.abs(difference) < 3 * np.sqrt(np.diag(refined.covariance)))
    assert np.mean(within) > 0.9
    assert np.sqrt(refined.covariance[3:, 3:].trace()) < 0.03  # and they are of use
