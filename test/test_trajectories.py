"""Trajectory errors against their properties and naive second implementations."""

import math

import cv2
import numpy as np
import pytest

from depth_ros.bags import Trajectory
from depth_ros.evaluation.alignment import Alignment, align, scale_about_first, umeyama
from depth_ros.evaluation.motion_scores import make_pairing, path_scores
from depth_ros.evaluation.trajectories import (
    chain_motions,
    direction_errors_deg,
    invert_poses,
    kitti_segment_errors,
    path_length,
    position_error,
    relative_error,
    relative_motions,
    rotation_angles_deg,
    snippet_error,
    stationary_drift,
)


def make_motion(rng, rotation=0.1, translation=0.5):
    motion = np.eye(4)
    motion[:3, :3] = cv2.Rodrigues(rng.normal(0.0, rotation, 3))[0]
    motion[:3, 3] = rng.normal([0.0, 0.0, translation], translation)
    return motion


def make_path(seed=0, frames=30):
    rng = np.random.default_rng(seed)
    return chain_motions(np.array([make_motion(rng) for _ in range(frames - 1)]))


def make_straight_path(frames, step_m=1.0):
    motion = np.eye(4)
    motion[2, 3] = step_m
    return chain_motions(np.tile(motion, (frames - 1, 1, 1)))


def scaled(poses, factor):
    result = poses.copy()
    result[:, :3, 3] *= factor
    return result


def make_world_change(seed=9):
    return make_motion(np.random.default_rng(seed), rotation=1.0, translation=5.0)


@pytest.mark.parametrize('seed', range(5))
def test_umeyama_recovers_a_similarity(seed):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(3 + 4 * seed, 3))
    rotation, shift = make_world_change(seed)[:3, :3], rng.normal(size=3)
    found = umeyama(points, 2.7 * points @ rotation.T + shift, with_scale=True)
    assert found.scale == pytest.approx(2.7, abs=1e-8)
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-8)
    np.testing.assert_allclose(found.translation, shift, atol=1e-8)


@pytest.mark.parametrize('seed', range(5))
def test_umeyama_never_mirrors(seed):
    points = np.random.default_rng(seed).normal(size=(12, 3))
    found = umeyama(points, points * [1.0, 1.0, -1.0], with_scale=True)
    assert np.linalg.det(found.rotation) == pytest.approx(1.0)


def test_umeyama_is_the_least_squares_minimum():
    rng = np.random.default_rng(2)
    points, noisy = rng.normal(size=(20, 3)), rng.normal(size=(20, 3))
    found = umeyama(points, noisy, with_scale=True)
    best = np.sum((found.apply(points) - noisy) ** 2)
    for _ in range(50):
        turn = cv2.Rodrigues(rng.normal(0.0, 0.02, 3))[0]
        other = (found.scale * rng.normal(1.0, 0.02) * points @ (turn @ found.rotation).T
                 + found.translation + rng.normal(0.0, 0.02, 3))
        assert np.sum((other - noisy) ** 2) >= best


def test_se3_alignment_has_no_scale():
    path = make_path()
    assert align(scaled(path, 0.5), path, Alignment.SE3).scale == 1.0
    assert align(scaled(path, 0.5), path, Alignment.SIM3).scale == pytest.approx(2.0)


@pytest.mark.parametrize('alignment', [Alignment.SIM3, Alignment.SCALE])
def test_ate_of_a_transformed_copy_is_zero(alignment):
    path = make_path()
    copy = scaled(make_world_change() @ path, 0.3)
    error = position_error(copy, path, alignment)
    assert error.rmse == pytest.approx(0.0, abs=1e-9)
    assert error.scale == pytest.approx(1.0 / 0.3)
    assert error.alignment is alignment


def test_rigid_alignments_forgive_the_world_but_not_the_scale():
    path = make_path()
    for alignment in (Alignment.SE3, Alignment.NONE):
        copy = make_world_change() @ path
        assert position_error(copy, path, alignment).rmse == pytest.approx(0.0, abs=1e-9)
        assert position_error(scaled(copy, 0.5), path, alignment).rmse > 0.1


def test_ate_by_hand():
    true = make_straight_path(3)
    predicted = true.copy()
    predicted[1, 0, 3] = 3.0
    predicted[2, 0, 3] = 4.0
    error = position_error(predicted, true, Alignment.NONE)
    assert error.rmse == pytest.approx(math.sqrt(25.0 / 3.0))
    assert (error.mean, error.median, error.max) == pytest.approx((7.0 / 3.0, 3.0, 4.0))
    assert error.path_share == pytest.approx(math.sqrt(25.0 / 3.0) / 2.0)


def test_scale_about_first_by_hand():
    predicted, true = make_path(3)[:, :3, 3], make_path(4)[:, :3, 3]
    products = squares = 0.0
    for x, y in zip(predicted, true):
        products += float((x - predicted[0]) @ (y - true[0]))
        squares += float((x - predicted[0]) @ (x - predicted[0]))
    assert scale_about_first(predicted, true) == pytest.approx(products / squares)


def test_a_prediction_that_never_moves_keeps_its_scale():
    still = np.tile(np.eye(4), (10, 1, 1))
    for alignment in Alignment:
        assert align(still, make_path(frames=10), alignment).scale == 1.0
    assert position_error(make_path(frames=10), still, Alignment.SE3).path_share is None


def test_applying_a_similarity_moves_positions_and_turns_orientations():
    path, other = make_path(5), make_path(6)
    similarity = align(path, other, Alignment.SIM3)
    moved = similarity.apply_to_poses(path)
    np.testing.assert_allclose(moved[:, :3, 3], similarity.apply(path[:, :3, 3]))
    np.testing.assert_allclose(moved[:, :3, :3] @ np.swapaxes(path[:, :3, :3], 1, 2),
                               np.tile(similarity.rotation, (len(path), 1, 1)), atol=1e-12)


def test_alignment_refuses_paths_of_unequal_length():
    with pytest.raises(ValueError, match='5 predicted and 4 true'):
        align(make_path(frames=5), make_path(frames=4), Alignment.SE3)


@pytest.mark.parametrize('step', [1, 4])
def test_rpe_ignores_a_rigid_change_of_world(step):
    path = make_path()
    error = relative_error(make_world_change() @ path, path, step)
    assert error.translation_rmse == pytest.approx(0.0, abs=1e-9)
    assert error.rotation_rmse_deg == pytest.approx(0.0, abs=1e-5)
    assert error.pairs == len(path) - step


@pytest.mark.parametrize('step', [1, 3])
def test_rpe_equals_the_naive_implementation(step):
    predicted, true = make_path(1), make_path(2)
    translations, rotations = [], []
    for i in range(len(true) - step):
        true_motion = np.linalg.inv(true[i]) @ true[i + step]
        error = np.linalg.inv(true_motion) @ np.linalg.inv(predicted[i]) @ predicted[i + step]
        translations.append(np.linalg.norm(error[:3, 3]))
        rotations.append(math.degrees(np.linalg.norm(cv2.Rodrigues(error[:3, :3])[0])))
    error = relative_error(predicted, true, step)
    assert error.translation_rmse == pytest.approx(math.sqrt(np.mean(np.square(translations))))
    assert error.rotation_rmse_deg == pytest.approx(math.sqrt(np.mean(np.square(rotations))))


def test_rpe_of_too_short_a_path_is_no_value():
    assert relative_error(make_path(frames=3), make_path(frames=3), 3) is None


def test_kitti_errors_of_the_truth_are_zero():
    path = make_straight_path(400)
    error = kitti_segment_errors(path, path)
    assert error.translation_percent == pytest.approx(0.0, abs=1e-9)
    assert error.rotation_deg_per_100m == pytest.approx(0.0, abs=1e-4)
    # 400 m: 30 starts have 100 m to go (0 to 290), 20 have 200 m, 10 have 300 m.
    assert error.segments == 60


def test_kitti_errors_of_a_wrong_scale():
    path = make_straight_path(400, step_m=1.003)
    error = kitti_segment_errors(scaled(path, 1.1), path)
    assert error.translation_percent == pytest.approx(10.0, abs=0.2)
    assert error.rotation_deg_per_100m == pytest.approx(0.0, abs=1e-4)
    similarity = align(scaled(path, 1.1), path, Alignment.SCALE)
    aligned = kitti_segment_errors(similarity.apply_to_poses(scaled(path, 1.1)), path)
    assert aligned.translation_percent == pytest.approx(0.0, abs=1e-9)


def test_kitti_errors_of_a_steady_turn():
    turning = np.eye(4)
    turning[:3, :3] = cv2.Rodrigues(np.array([0.0, math.radians(0.05), 0.0]))[0]
    turning[2, 3] = 1.0
    error = kitti_segment_errors(chain_motions(np.tile(turning, (299, 1, 1))),
                                 make_straight_path(300))
    assert error.rotation_deg_per_100m == pytest.approx(5.0, rel=0.02)


def test_kitti_errors_of_a_short_path_are_no_value():
    assert kitti_segment_errors(make_straight_path(50), make_straight_path(50)) is None


def naive_snippet_error(predicted, true):
    """Monodepth2.md section 7, step by step, from camera-to-world poses P."""
    errors = []
    for i in range(len(true) - 1):
        positions = []
        for poses in (predicted, true):
            pose, chain = np.eye(4), [np.zeros(3)]
            for j in range(i + 1, min(i + 5, len(poses))):
                to_next = np.linalg.inv(np.linalg.inv(poses[j - 1]) @ poses[j])
                pose = pose @ to_next
                chain.append(pose[:3, 3])
            positions.append(np.array(chain) - chain[0])
        p, q = positions
        scale = np.sum(q * p) / np.sum(p ** 2)
        errors.append(np.sqrt(np.sum((scale * p - q) ** 2)) / len(p))
    return np.mean(errors), np.std(errors)


def test_snippet_error_equals_the_naive_implementation():
    predicted, true = make_path(1), make_path(2)
    stamps_ns = 100_000_000 * np.arange(len(true))
    scores = path_scores('model', predicted, true, stamps_ns,
                         make_pairing(stamps_ns, 0.1, Alignment.SIM3))
    for error in (snippet_error(predicted, true), scores.snippet):
        assert (error.mean, error.std) == pytest.approx(naive_snippet_error(predicted, true))
        assert error.snippets == len(true) - 1


@pytest.mark.parametrize('factor', [0.1, 1.0, 30.0])
def test_snippet_error_ignores_the_scale(factor):
    path = make_path()
    assert snippet_error(scaled(path, factor), path).mean == pytest.approx(0.0, abs=1e-9)
    assert snippet_error(path[:1], path[:1]) is None


def test_constant_forward_motion_is_a_straight_line_along_z():
    path = make_straight_path(11, step_m=0.3)
    np.testing.assert_allclose(path[:, 2, 3], 0.3 * np.arange(11))
    np.testing.assert_array_equal(path[:, :2, 3], 0.0)
    assert path_length(path) == pytest.approx(3.0)


def test_motions_and_poses_are_inverse_to_each_other():
    path = make_path()
    np.testing.assert_allclose(path[0] @ chain_motions(relative_motions(path)), path, atol=1e-9)
    np.testing.assert_allclose(invert_poses(path) @ path, np.tile(np.eye(4), (30, 1, 1)),
                               atol=1e-12)


def test_rotation_angles():
    turns = np.array([cv2.Rodrigues(np.array([0.0, math.radians(a), 0.0]))[0]
                      for a in (0.0, 10.0, 90.0, 180.0)])
    assert rotation_angles_deg(turns) == pytest.approx([0.0, 10.0, 90.0, 180.0], abs=1e-5)


def test_direction_errors():
    true, predicted = np.tile(np.eye(4), (4, 1, 1)), np.tile(np.eye(4), (4, 1, 1))
    true[:, :3, 3] = [[0, 0, 1], [0, 0, 1], [0, 0, 1e-4], [0, 0, 1]]
    predicted[:, :3, 3] = [[0, 0, 5], [0, 2, 2], [1, 0, 0], [0, 0, 0]]
    assert direction_errors_deg(predicted, true, min_true_m=0.01) == pytest.approx([0, 45, 90])


def test_stationary_drift_counts_only_the_standstill():
    true = np.concatenate([make_straight_path(5), np.tile(make_straight_path(5)[-1], (10, 1, 1))])
    predicted = make_straight_path(15, step_m=0.1)
    assert stationary_drift(predicted, true) == pytest.approx(1.0)
    assert stationary_drift(predicted, make_straight_path(15)) is None


def trajectory(stamps_ns, world_T_cam=None) -> Trajectory:
    poses = make_straight_path(len(stamps_ns)) if world_T_cam is None else world_T_cam
    return Trajectory(np.asarray(stamps_ns, np.int64), poses, 'world', 'camera')


def test_frames_are_covered_within_the_tolerance():
    stamps, path = np.array([0, 9, 15, 40, 100]), trajectory([1, 10, 21, 44])
    assert path.near(stamps, tolerance_ns=5).tolist() == [0, 1, 2, 3]
    assert path.near(stamps, tolerance_ns=4).tolist() == [0, 1, 3]


def test_covered_frames_equal_exhaustive_search():
    rng = np.random.default_rng(0)
    stamps, others = rng.integers(0, 10_000, 60), np.sort(rng.integers(0, 10_000, 40))
    distance = np.abs(stamps[:, None] - others).min(axis=1)
    covered = trajectory(others).near(stamps, tolerance_ns=80)
    assert 0 < len(covered) < 60
    assert covered.tolist() == np.flatnonzero(distance <= 80).tolist()


def test_a_path_of_few_poses_does_not_stand_still_between_them():
    period_ns = 33_333_333
    frames = np.arange(0, 30 * period_ns, period_ns // 2)  # twice as many as the path has poses
    path = make_straight_path(31)
    between = trajectory(np.arange(31) * period_ns, path).at(frames)
    np.testing.assert_allclose(between[:, 2, 3], frames / period_ns)
    assert stationary_drift(between, between) is None


def test_poses_at_their_own_stamps_are_those_of_the_path_and_its_ends_are_held():
    path, stamps = make_path(frames=4), np.array([10, 20, 50, 60])
    whole, ends = trajectory(stamps, path), np.array([3, 99])
    np.testing.assert_array_equal(whole.at(stamps), path)
    np.testing.assert_array_equal(whole.at(ends), path[[0, -1]])
    np.testing.assert_array_equal(trajectory(stamps[:1], path[:1]).at(ends), path[[0, 0]])
    halfway = whole.at(np.array([15]))[0]
    turns = [invert_poses(path[0]) @ halfway, invert_poses(halfway) @ path[1]]
    first, second = (rotation_angles_deg(turn[:3, :3]) for turn in turns)
    assert first == pytest.approx(second)
    np.testing.assert_allclose(halfway[:3, 3], path[:2, :3, 3].mean(axis=0))
