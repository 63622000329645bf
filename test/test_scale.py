"""Where metres come from."""

import dataclasses
import itertools
import math

import graphs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.errors import ConfigError
from depth_ros.model_folder.spec import ScaleKind
from depth_ros.motion import se3
from depth_ros.motion.mounting import base_T_camera
from depth_ros.pipeline.ground_plane import down_of, height_above_ground
from depth_ros.pipeline.scale import ScaleSettings, ScaleSource, make_scale

CAMERA = Intrinsics(200, 200, 127.5, 95.5, 256, 192)
UP_TO_SCALE = dataclasses.replace(
    graphs.spec(), scale=ScaleKind.UP_TO_SCALE, scale_source='none'
)


def floor_depth(height, down=(0.0, 1.0, 0.0), far=60.0):
    """Exact depth of the plane X . down = height; `far` where the ray misses it."""
    rays = CAMERA.rays()
    slope = rays[..., 0] * down[0] + rays[..., 1] * down[1] + down[2]
    with np.errstate(divide='ignore'):
        depth = np.where(slope > 0, height / slope, far)
    return np.minimum(depth, far).astype(np.float32)


@given(st.floats(0.3, 3.0))
def test_height_of_a_level_camera(height):
    assert height_above_ground(floor_depth(height), CAMERA.rays()) == pytest.approx(
        height, rel=0.01
    )


@pytest.mark.parametrize('pitch', [-0.6, -0.3, 0.2])
@pytest.mark.parametrize('roll', [0.0, 0.15])
def test_height_of_a_tilted_camera(pitch, roll):
    turn = se3.axis_angle_to_matrix(np.array([pitch, 0, 0]))
    turn = turn @ se3.axis_angle_to_matrix(np.array([0, 0, roll]))
    down = tuple(turn.T @ [0, 1, 0])
    depth = floor_depth(1.2, down)
    assert height_above_ground(depth, CAMERA.rays(), down) == pytest.approx(1.2, rel=0.01)


def test_noisy_floor():
    rng = np.random.default_rng(0)
    depth = floor_depth(1.0) * (1 + rng.normal(0, 0.0005, (192, 256)))
    assert height_above_ground(depth.astype(np.float32), CAMERA.rays()) == pytest.approx(
        1.0, rel=0.03
    )


def test_unknown_pixels_are_left_out():
    depth = floor_depth(1.0)
    depth[:, ::17] = np.nan
    assert height_above_ground(depth, CAMERA.rays()) == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize('depth', [2.0, np.nan, np.inf])
def test_a_wall_is_no_floor(depth):
    assert height_above_ground(np.full((192, 256), depth, np.float32), CAMERA.rays()) is None


def test_two_levels_are_no_one_floor():
    depth = floor_depth(1.0)
    depth[:, 128:] = floor_depth(2.5)[:, 128:]
    assert height_above_ground(depth, CAMERA.rays()) is None


def test_a_ceiling_is_no_floor():
    ceiling = floor_depth(1.0)[::-1]
    assert height_above_ground(ceiling, CAMERA.rays()) is None


def height_scale():
    settings = ScaleSettings(source=ScaleSource.CAMERA_HEIGHT, camera_height_m=1.5)
    return make_scale(settings, UP_TO_SCALE)


def test_camera_height_is_unknown_until_ground_is_seen():
    scale = height_scale()
    assert not scale.state.valid
    assert math.isnan(scale.state.factor)
    assert 'no scale' in scale.state.text
    scale.observe_depth(np.full((192, 256), 2.0, np.float32), CAMERA.rays())
    assert not scale.state.valid
    scale.observe_depth(floor_depth(0.5), CAMERA.rays())
    assert scale.state.factor == pytest.approx(3.0, rel=0.01)
    kept = scale.state
    scale.observe_depth(np.full((192, 256), 2.0, np.float32), CAMERA.rays())
    assert scale.state == kept


def tilted(degrees):
    """Gravity in a camera that looks down by so much."""
    return down_of(base_T_camera((0, 0, 1, 0, math.radians(degrees), 0)))


@pytest.mark.parametrize('degrees', [6, 15, 30])
def test_camera_height_of_a_tilted_camera_needs_its_tilt(degrees):
    scale = height_scale()
    depth = floor_depth(0.5, tilted(degrees))
    scale.observe_depth(depth, CAMERA.rays())
    assert not scale.state.valid
    assert 'taking the camera for level since its tilt is not known' in scale.state.text
    assert 'more than 5 deg' in scale.state.text
    scale.tell_down(tilted(degrees))
    assert scale.state.text.endswith(f'seen yet, camera tilted by {degrees:.1f} deg')
    scale.observe_depth(depth, CAMERA.rays())
    assert scale.state.factor == pytest.approx(3.0, rel=0.01)
    assert scale.state.text.endswith(f'camera tilted by {degrees:.1f} deg')


def test_another_tilt_keeps_the_factor_but_not_what_it_was_the_median_of():
    scale = height_scale()
    for _ in range(20):
        scale.observe_depth(floor_depth(0.5), CAMERA.rays())
    scale.tell_down(tilted(15))
    assert scale.state.factor == pytest.approx(3.0, rel=0.01)
    scale.observe_depth(floor_depth(0.6, tilted(15)), CAMERA.rays())
    scale.tell_down(tilted(15))  # again, as the node does with every frame
    scale.observe_depth(floor_depth(0.6, tilted(15)), CAMERA.rays())
    assert scale.state.factor == pytest.approx(2.5, rel=0.01)


def test_twice_the_depth_is_half_the_factor():
    scales = height_scale(), height_scale()
    scales[0].observe_depth(floor_depth(0.5), CAMERA.rays())
    scales[1].observe_depth(2 * floor_depth(0.5), CAMERA.rays())
    assert scales[0].state.factor == pytest.approx(2 * scales[1].state.factor)


def test_one_jump_is_rejected_many_are_believed():
    scale = height_scale()
    for _ in range(20):
        scale.observe_depth(floor_depth(0.5), CAMERA.rays())
    scale.observe_depth(floor_depth(0.1), CAMERA.rays())
    assert scale.state.factor == pytest.approx(3.0, rel=0.01)
    for _ in range(40):
        scale.observe_depth(floor_depth(0.1), CAMERA.rays())
    assert scale.state.factor == pytest.approx(15.0, rel=0.01)


def odometry_scale():
    return make_scale(ScaleSettings(source=ScaleSource.ODOMETRY), UP_TO_SCALE)


def drive(scale, factor, steps=10, turn=0.0, offset_ns=0, late=0):
    """Motions of `step / factor` units every 0.2 s with odometry at 50 Hz."""
    def pose(t_s):
        return se3.motion_to_matrix(np.array([0, turn * t_s, 0, 0, 0, 0.5 * t_s]))

    for tick in range(steps * 10 + 1 + late):
        stamp = tick * 20_000_000
        scale.add_odometry(stamp, pose(stamp / 1e9))
        if tick % 10 == 0 and tick:
            first, last = stamp - 200_000_000 + offset_ns, stamp + offset_ns
            motion = se3.matrix_to_motion(se3.inverse(pose(first / 1e9)) @ pose(last / 1e9))
            motion[3:] /= factor
            scale.observe_motion(first, last, motion)


@given(st.floats(0.05, 50))
def test_odometry_factor(factor):
    scale = odometry_scale()
    drive(scale, factor)
    assert scale.state.valid
    assert scale.state.factor == pytest.approx(factor)


@pytest.mark.parametrize('offset_ns', [-7_000_000, 3_000_000, 60_000_000])
def test_odometry_is_interpolated_and_may_be_late(offset_ns):
    scale = odometry_scale()
    drive(scale, 4.0, offset_ns=offset_ns, late=10)
    assert scale.state.factor == pytest.approx(4.0)


def creep(scale, metres, factor, noise=0.0, rotation=0.0):
    """Motions of some metres each, every 0.1 s, seen by a model with a factor and noise."""
    rng = np.random.default_rng(0)
    poses = [se3.motion_to_matrix(np.array([0.0, rotation * index, 0.0, 0.0, 0.0, along]))
             for index, along in enumerate(np.concatenate([[0.0], np.cumsum(metres)]))]
    scale.add_odometry(0, poses[0])
    for index, (before, pose) in enumerate(itertools.pairwise(poses)):
        stamp = index * 10**8
        scale.add_odometry(stamp + 10**8, pose)
        seen = se3.matrix_to_motion(se3.inverse(before) @ pose)
        seen[3:] = seen[3:] / factor + noise * rng.normal(size=3)
        scale.observe_motion(stamp, stamp + 10**8, seen)


def test_short_motions_in_a_row_count_together():
    scale = odometry_scale()
    creep(scale, [0.02] * 12, factor=4.0)
    assert scale.state.valid
    assert scale.state.factor == pytest.approx(4.0)
    assert 'over 4 motions' in scale.state.text


def test_a_slow_turning_path_is_joined_as_far_as_it_turns_little():
    scale = odometry_scale()
    creep(scale, [0.03] * 12, factor=4.0, rotation=math.radians(2.0))
    assert scale.state.factor == pytest.approx(4.0)
    tight = odometry_scale()
    creep(tight, [0.02] * 12, factor=4.0, rotation=math.radians(2.0))
    assert not tight.state.valid


def test_noise_of_a_standstill_is_not_joined():
    scale = odometry_scale()
    creep(scale, [0.0] * 50 + [0.03, 0.03] * 5, factor=4.0, noise=2e-4)
    still = odometry_scale()
    creep(still, [0.0] * 50, factor=4.0, noise=0.05)
    assert scale.state.factor == pytest.approx(4.0, rel=0.05)
    assert not still.state.valid


def test_motions_that_do_not_meet_are_not_joined():
    scale = odometry_scale()
    for index in range(20):
        scale.add_odometry(index * 10**8, se3.rigid(np.eye(3), np.array([0, 0, 0.03 * index])))
        if index % 2:
            scale.observe_motion((index - 1) * 10**8, index * 10**8,
                                 np.array([0, 0, 0, 0, 0, 0.01]))
    assert not scale.state.valid


def test_outliers_do_not_count():
    scale = odometry_scale()
    drive(scale, 4.0, steps=20)
    scale.observe_motion(200_000_000, 400_000_000, np.array([0, 0, 0, 0, 0, 1e-4]))
    assert scale.state.factor == pytest.approx(4.0)


def test_standstill_and_turns_tell_nothing():
    scale = odometry_scale()
    drive(scale, 4.0, turn=1.0)
    assert not scale.state.valid
    for tick in range(100):
        scale.add_odometry(10**10 + tick * 10**8, np.eye(4))
        stamp = 10**10 + tick * 10**8
        scale.observe_motion(stamp - 2 * 10**8, stamp, np.full(6, 1e-3))
    assert not scale.state.valid


def test_a_gap_in_the_odometry_is_not_interpolated():
    scale = odometry_scale()
    scale.add_odometry(0, np.eye(4))
    scale.add_odometry(2 * 10**9, se3.rigid(np.eye(3), np.array([0, 0, 1.0])))
    for start in range(5):
        scale.observe_motion(start * 10**8, start * 10**8 + 10**9, np.array([0, 0, 0, 0, 0, 0.5]))
    assert not scale.state.valid


def test_odometry_that_starts_anew_keeps_the_factor():
    scale = odometry_scale()
    drive(scale, 4.0)
    scale.add_odometry(0, np.eye(4))
    scale.reset()
    assert scale.state.factor == pytest.approx(4.0)


def test_constant_sources():
    assert make_scale(ScaleSettings(), graphs.spec()).state.factor == 1.0
    fixed = ScaleSettings(source=ScaleSource.FIXED, factor=5.4)
    assert make_scale(fixed, UP_TO_SCALE).state.factor == 5.4
    none = make_scale(ScaleSettings(source=ScaleSource.NONE), UP_TO_SCALE).state
    assert none.valid
    assert 'no metres' in none.text


def test_an_up_to_scale_model_gives_no_metres():
    with pytest.raises(ConfigError, match='choose scale fixed, odometry or camera_height'):
        make_scale(ScaleSettings(), UP_TO_SCALE)


def test_odometry_scale_needs_a_pose_network():
    spec = dataclasses.replace(UP_TO_SCALE, motion=None)
    with pytest.raises(ConfigError, match='needs a pose network'):
        make_scale(ScaleSettings(source=ScaleSource.ODOMETRY), spec)


@pytest.mark.parametrize(
    'values', [{'factor': 0.0}, {'camera_height_m': math.nan}, {'down': (0.0, 2.0, 0.0)}]
)
def test_impossible_settings(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        ScaleSettings(**values)
