"""A run is refused where no frame that it trains on has the truth that its losses want."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import quiet
from recordings import rewrite
from rendered_frames import CAMERA, rendered_cache, walk
from training_runs import TINY

from depth_ros.errors import ConfigError
from depth_ros.synthetic import SyntheticBag, write_bag
from training.config import BagSource, TrainConfig
from training.config.presets import load_config
from training.data.cache import FrameCache
from training.data.dataset import BagTargets
from training.data.module import TrainingData, prepare_data
from training.data.pairs import Target

COUNT = 8


@pytest.fixture(scope='module')
def frames(tmp_path_factory: pytest.TempPathFactory) -> FrameCache:
    """Depth, poses, places and partners of every frame."""
    cache = rendered_cache(tmp_path_factory.mktemp('cache'), walk(COUNT))
    return replace(
        cache, partner_images=cache.images, partner_right_m=np.full(COUNT, 0.2),
        place_m=cache.world_T_cam[:, :3, 3], piece=np.zeros(COUNT, int),
    )  # fmt: skip


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('bags') / 'walk'
    write_bag(path, SyntheticBag(5, 16, 8.0, CAMERA))
    return path


def configure(bag: Path, cache: Path, *settings: str) -> TrainConfig:
    return load_config(TINY, [*settings, f'data.cache={cache}'], [BagSource(bag)])


def held_by(data: TrainingData) -> tuple[bool, bool, bool, bool]:
    """Whether there is depth, odometry, a pair and a way to learn from."""
    return data.has_depth, data.has_poses, data.has_stereo, data.has_velocity


def held(cache: FrameCache, frame: int = 3) -> tuple[bool, bool, bool, bool]:
    """The same where only this frame is trained on."""
    target = Target(frame, (frame - 1,), (frame + 1,), near_later=(frame + 2,))
    data = TrainingData(CAMERA, (BagTargets(cache, [target]),), (BagTargets(cache, []),))
    return held_by(data)


def known_at(cache: FrameCache, *known: int) -> FrameCache:
    """The frames with truth of these alone."""
    lost = np.ones(COUNT, bool)
    lost[list(known)] = False
    poses, right_m, place_m = (
        np.where(lost.reshape(-1, *[1] * (array.ndim - 1)), np.nan, array)
        for array in (cache.world_T_cam, cache.partner_right_m, cache.place_m)
    )
    return replace(
        cache, has_truth=~lost, world_T_cam=poses, partner_right_m=right_m, place_m=place_m
    )


@pytest.mark.parametrize(
    ('known', 'expected'),
    [
        (tuple(range(COUNT)), (True, True, True, True)),
        ((), (False, False, False, False)),
        ((3, 5), (True, True, True, True)),
        ((3, 6), (True, False, True, False)),
        ((2, 4), (False, False, False, False)),
        ((0, 7), (False, False, False, False)),
    ],
)
def test_only_the_truth_of_targets_counts(
    frames: FrameCache, known: tuple[int, ...], expected: tuple[bool, ...]
) -> None:
    assert held(known_at(frames, *known)) == expected


def test_a_bag_without_targets_teaches_nothing(frames: FrameCache) -> None:
    data = TrainingData(CAMERA, (BagTargets(frames, []),), ())
    assert held_by(data) == (False, False, False, False)


def test_ways_of_another_piece_do_not_count(frames: FrameCache) -> None:
    assert held(replace(frames, piece=np.arange(COUNT)))[3] is False


def test_odometry_far_from_every_image_makes_nothing_metric(bag: Path, tmp_path: Path) -> None:
    def late(topic: str, index: int, message: Any) -> Any:
        if hasattr(message, 'child_frame_id'):
            message.header.stamp.nanosec += 60_000_000
            if message.header.stamp.nanosec >= 10**9:
                message.header.stamp.sec += 1
                message.header.stamp.nanosec -= 10**9
        return message

    taught = ('loss.motion=1', 'loss.teacher=odometry')
    prepare_data(configure(bag, tmp_path, *taught), quiet)
    far = rewrite(tmp_path / 'far', bag, late)
    with pytest.raises(ConfigError, match=r'has odometry of both a frame .* at most 25 ms'):
        prepare_data(configure(far, tmp_path, *taught), quiet)


def test_odometry_of_an_unplaced_body_is_told_and_named(bag: Path, tmp_path: Path) -> None:
    def of_wheels(topic: str, index: int, message: Any) -> Any:
        if hasattr(message, 'child_frame_id'):
            message.child_frame_id = 'wheels'
        return message

    wheels = rewrite(tmp_path / 'wheels', bag, of_wheels)
    fault = "tells the pose of 'wheels', which /tf_static does not connect with 'camera"
    told: list[str] = []
    for _ in range(2):  # the second finds a cache
        assert not held_by(prepare_data(configure(wheels, tmp_path), told.append))[1]
        assert sum(fault in line and str(wheels) in line for line in told) == 1
        told.clear()
    for settings in (('loss.motion=1', 'loss.teacher=odometry'), ('pairs.measure=pose',)):
        with pytest.raises(ConfigError, match=fault):
            prepare_data(configure(wheels, tmp_path, *settings), quiet)


def test_a_slash_before_a_frame_makes_no_other_body(bag: Path, tmp_path: Path) -> None:
    def slashed(topic: str, index: int, message: Any) -> Any:
        if hasattr(message, 'child_frame_id'):
            message.child_frame_id = f'/{message.child_frame_id}'
        return message

    path = rewrite(tmp_path / 'slashed', bag, slashed)
    assert held_by(prepare_data(configure(path, tmp_path), quiet))[1]
