"""Guesses without a network: their definitions, and their known figures on the real bags."""

import numpy as np
import pytest

from depth_ros.evaluation.guesses import (
    depth_guesses,
    fill_holes,
    previous_motions,
    standing_still,
    straight_ahead,
)
from depth_ros.evaluation.trajectories import chain_motions, relative_motions


def make_turning_path(frames=8):
    angles = np.linspace(0.0, 1.0, frames)
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, 0, 0] = poses[:, 2, 2] = np.cos(angles)
    poses[:, 0, 2] = np.sin(angles)
    poses[:, 2, 0] = -np.sin(angles)
    poses[:, :3, 3] = np.stack([angles ** 2, np.zeros(frames), 3.0 * angles], axis=1)
    return poses


def test_image_blind_is_the_mean_of_what_is_known():
    frames = [np.array([[1.0, 2.0], [0.0, 4.0]]), np.array([[3.0, np.nan], [5.0, 8.0]])]
    guesses = depth_guesses(2, 2, frames)
    np.testing.assert_array_equal(guesses.image_blind, [[2.0, 2.0], [5.0, 6.0]])
    assert guesses.held[0].tolist() in ([3.0, 3.0], [3.0, 8.0])
    np.testing.assert_array_equal(guesses.held[1], [5.0, 8.0])
    assert [name for name, _ in guesses.items()] == [
        'constant', 'image-blind mean', 'last training frame held']


def test_without_training_frames_only_the_constant_is_left():
    guesses = depth_guesses(2, 3)
    assert [name for name, _ in guesses.items()] == ['constant']
    np.testing.assert_array_equal(guesses.constant, np.ones((2, 3)))


def test_an_empty_last_frame_is_not_held():
    guesses = depth_guesses(1, 2, [np.array([[1.0, 2.0]]), np.zeros((1, 2))])
    np.testing.assert_array_equal(guesses.held, [[1.0, 2.0]])


def test_training_depth_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r'\(1, 2\) is not \(2, 2\)'):
        depth_guesses(2, 2, [np.ones((1, 2))])


def test_holes_take_the_nearest_value():
    depth = np.full((5, 7), np.nan)
    depth[2, 0], depth[2, 6] = 1.0, 9.0
    filled = fill_holes(depth)
    np.testing.assert_array_equal(filled[:, :3], 1.0)
    np.testing.assert_array_equal(filled[:, 4:], 9.0)
    with pytest.raises(ValueError, match='no pixel'):
        fill_holes(np.full((2, 2), np.nan))


def test_straight_ahead_is_a_line_along_z():
    path = straight_ahead(8)
    np.testing.assert_array_equal(path[:, 2, 3], np.arange(8.0))
    np.testing.assert_array_equal(path[:, :3, :3], standing_still(8)[:, :3, :3])
    np.testing.assert_array_equal(relative_motions(standing_still(8)), standing_still(7))


@pytest.mark.parametrize('step', [1, 3])
def test_previous_motion_is_the_pair_that_ended_where_this_begins(step):
    path = make_turning_path()
    guessed, true = previous_motions(path, step)
    assert len(guessed) == len(true) == len(path) - 2 * step
    for index in range(len(true)):
        start = index + step
        np.testing.assert_allclose(path[start - step] @ guessed[index], path[start], atol=1e-12)
        np.testing.assert_allclose(path[start] @ true[index], path[start + step], atol=1e-12)


def test_previous_motion_of_a_steady_turn_is_right():
    turn = relative_motions(make_turning_path())[3]
    guessed, true = previous_motions(chain_motions(np.tile(turn, (9, 1, 1))), 2)
    np.testing.assert_allclose(guessed, true, atol=1e-12)


@pytest.mark.parametrize('frames', [1, 2, 3])
def test_too_few_frames_have_no_previous_motion(frames):
    assert previous_motions(straight_ahead(frames), 2)[0].shape == (0, 4, 4)
