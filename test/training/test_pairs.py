"""Neighbours have enough motion, never too much, and never lie across a jump."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rendered_frames import CAMERA, rendered_cache, walk

from training.config import MotionMeasure, PairsConfig
from training.data.flow import GAPS, fit_rotation, measure_motion
from training.data.pairs import (
    PairMotion,
    find_targets,
    judge_pairs,
    single_targets,
    split_validation,
)

BY_POSE = PairsConfig(
    measure=MotionMeasure.POSE, min_translation_m=0.05, max_translation_m=0.2
)
VALUES = np.array([CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy])


def turned(angle_rad: float) -> np.ndarray:
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    pose = np.eye(4)
    pose[:3, :3] = [[c, 0, s], [0, 1, 0], [-s, 0, c]]
    return pose


def moving_pixels(previous_T_current: np.ndarray, rng: np.random.Generator) -> tuple:
    """Pixels of random points, and their displacement by a motion of the camera."""
    points = rng.uniform([0, 0], [CAMERA.width, CAMERA.height], (300, 2))
    depth = rng.uniform(1, 5, 300)
    rays = np.c_[(points - VALUES[2:]) / VALUES[:2], np.ones(300)]
    seen = (rays * depth[:, None]) @ previous_T_current[:3, :3].T + previous_T_current[:3, 3]
    moved = seen[:, :2] / seen[:, 2:] * VALUES[:2] + VALUES[2:]
    return points, moved - points


def test_turning_leaves_no_parallax() -> None:
    points, flow = moving_pixels(turned(0.02), np.random.default_rng(0))
    rotation, rest = fit_rotation(points, flow, VALUES)
    assert rotation == pytest.approx([0, 0.02, 0], abs=3e-4)
    assert np.linalg.norm(rest, axis=1).mean() < 0.02 * np.linalg.norm(flow, axis=1).mean()


def test_parallax_grows_with_translation_and_survives_turning() -> None:
    found = []
    for length in (0.02, 0.04, 0.08):
        motion = turned(0.02)
        motion[2, 3] = length
        points, flow = moving_pixels(motion, np.random.default_rng(0))
        _, rest = fit_rotation(points, flow, VALUES)
        found.append(np.linalg.norm(rest, axis=1).mean())
    assert found[1] / found[0] == pytest.approx(2, rel=0.15)
    assert found[2] / found[1] == pytest.approx(2, rel=0.15)


def test_flow_tells_standing_turning_and_walking_apart(tmp_path: Path) -> None:
    start = walk(1)[0]
    standing = np.stack([start] * 4)
    turning = np.stack([start @ turned(0.03 * i) for i in range(4)])
    step = np.eye(4)
    step[2, 3] = 0.06
    walking = np.stack([start @ np.linalg.matrix_power(step, i) for i in range(4)])
    parallax = []
    for name, path in (('stand', standing), ('turn', turning), ('walk', walking)):
        (tmp_path / name).mkdir()
        motion = measure_motion(rendered_cache(tmp_path / name, path), 3, 0.3)
        parallax.append(np.nanmean(motion.parallax[:, 2]))
        if name == 'turn':
            assert np.nanmean(motion.rotation_rad[:, 0]) == pytest.approx(0.03, rel=0.15)
    assert parallax[0] < 1e-3
    assert parallax[2] > 3 * parallax[1]
    assert parallax[2] > 0.008


def test_motion_is_measured_once_and_kept(tmp_path: Path) -> None:
    cache = rendered_cache(tmp_path, walk(6))
    first = measure_motion(cache, 4, 0.2)
    blind = replace(cache, images=np.zeros_like(cache.images))
    again = measure_motion(blind, 4, 0.2)
    np.testing.assert_array_equal(first.parallax, again.parallax)
    assert np.isnan(first.parallax[:, 4:]).all()


def test_pose_pairs_agree_with_a_naive_search(tmp_path: Path) -> None:
    cache = rendered_cache(tmp_path, walk(30))
    motion = judge_pairs(cache, BY_POSE)
    targets = {t.frame: t for t in find_targets(motion, np.ones(30, bool), np.ones(30, bool), 99)}
    positions = cache.world_T_cam[:, :3, 3]

    def wanted(a: int, b: int) -> bool:
        if not (0 <= a < b < 30) or b - a not in GAPS or b - a > BY_POSE.max_gap_frames:
            return False
        relative = cache.world_T_cam[a, :3, :3].T @ cache.world_T_cam[b, :3, :3]
        angle = np.arccos(np.clip((np.trace(relative) - 1) / 2, -1, 1))
        length = np.linalg.norm(positions[a] - positions[b])
        return bool(0.05 <= length <= 0.2 and angle <= BY_POSE.max_rotation_rad)

    for frame in range(30):
        earlier = {frame - g for g in GAPS if wanted(frame - g, frame)}
        later = {frame + g for g in GAPS if wanted(frame, frame + g)}
        if earlier and later:
            assert set(targets[frame].earlier) == earlier
            assert set(targets[frame].later) == later
        else:
            assert frame not in targets


def test_no_pair_lies_across_a_time_jump(tmp_path: Path) -> None:
    cache = rendered_cache(tmp_path, walk(24))
    stamps = cache.stamps_ns.copy()
    stamps[12:] += 700_000_000
    jumped = replace(cache, stamps_ns=stamps)
    motion = judge_pairs(jumped, BY_POSE)
    assert motion.wanted.any()
    for target in find_targets(motion, np.ones(24, bool), np.ones(24, bool), 3):
        same_side = [(i < 12) == (target.frame < 12) for i in target.earlier + target.later]
        assert all(same_side)


def test_unknown_poses_are_never_paired(tmp_path: Path) -> None:
    cache = rendered_cache(tmp_path, walk(20))
    poses = cache.world_T_cam.copy()
    poses[7] = np.nan
    motion = judge_pairs(replace(cache, world_T_cam=poses), BY_POSE)
    for target in find_targets(motion, np.ones(20, bool), np.ones(20, bool), 3):
        assert 7 not in (target.frame, *target.earlier, *target.later)


def test_standing_camera_gives_no_targets(tmp_path: Path) -> None:
    cache = rendered_cache(tmp_path, np.stack([walk(1)[0]] * 8))
    for config in (PairsConfig(), BY_POSE):
        motion = judge_pairs(cache, config)
        assert not motion.wanted.any()
        assert motion.small.any()
        assert find_targets(motion, np.ones(8, bool), np.ones(8, bool), 3) == []


@st.composite
def pair_tables(draw: st.DrawFn) -> tuple[PairMotion, np.ndarray, np.ndarray]:
    count = draw(st.integers(1, 25))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    exists = np.arange(count)[:, None] + np.array(GAPS) < count
    wanted = exists & (rng.random((count, len(GAPS))) < 0.4)
    small = exists & ~wanted & (rng.random((count, len(GAPS))) < 0.4)
    return PairMotion(wanted, small, 1.0), rng.random(count) < 0.7, rng.random(count) < 0.7


@given(pair_tables(), st.floats(1, 8))
def test_targets_keep_order_limits_and_the_split(
    tables: tuple[PairMotion, np.ndarray, np.ndarray], ratio: float
) -> None:
    motion, allowed, sources = tables
    for target in find_targets(motion, allowed, sources, ratio):
        for side in (target.earlier, target.later):
            gaps = [abs(i - target.frame) for i in side]
            assert max(gaps) <= ratio * min(gaps)
        assert allowed[target.frame]
        assert target.earlier
        assert target.later
        for side in (target.earlier, target.later, target.near_earlier, target.near_later):
            assert all(sources[i] for i in side)
        assert all(i < target.frame for i in target.earlier + target.near_earlier)
        assert all(i > target.frame for i in target.later + target.near_later)
        earlier, later = target.draw(np.random.default_rng(1), 0.3)
        assert earlier < target.frame < later


@given(st.integers(1, 500), st.floats(0, 0.89), st.integers(1, 5))
def test_split_keeps_the_asked_share(count: int, share: float, blocks: int) -> None:
    kept = split_validation(count, share, blocks)
    assert kept.shape == (count,)
    assert abs(int(kept.sum()) - share * count) <= blocks
    if blocks == 1 and kept.any():
        assert kept[-int(kept.sum()) :].all()


def test_without_neighbours_every_allowed_frame_is_a_target() -> None:
    targets = single_targets(np.array([True, False, True]))
    assert [(t.frame, t.earlier, t.later) for t in targets] == [(0, (0,), (0,)), (2, (2,), (2,))]
