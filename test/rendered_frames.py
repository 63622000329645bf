"""Rendered frames as a cache, for tests that need no bag."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from depth_ros import synthetic
from depth_ros.cameras.intrinsics import Intrinsics
from training.data.cache import FrameCache

WIDTH, HEIGHT = 96, 64
CAMERA = Intrinsics(80.0, 80.0, 46.5, 30.5, WIDTH, HEIGHT)


@cache
def _scene() -> synthetic.Scene:
    return synthetic.make_scene(seed=3)


def rendered_cache(folder: Path, world_T_cam: np.ndarray, rate_hz: float = 15.0) -> FrameCache:
    """Frames of one scene along a path [n,4,4], with depth and poses."""
    seen = [synthetic.render(_scene(), CAMERA, pose) for pose in world_T_cam]
    count = len(world_T_cam)
    values = (CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy)
    return FrameCache(
        folder=folder,
        images=np.stack([image for image, _ in seen]),
        intrinsics=np.tile(np.float32(values), (count, 1)),
        visible=np.tile(np.int32([0, 0, WIDTH, HEIGHT]), (count, 1)),
        stamps_ns=(10**9 + np.arange(count) * round(1e9 / rate_hz)).astype(np.int64),
        indices=np.arange(count),
        depth_m=np.stack([depth for _, depth in seen]).astype(np.float32),
        has_truth=np.ones(count, bool),
        world_T_cam=np.asarray(world_T_cam, np.float64),
    )


def walk(count: int, rate_hz: float = 15.0) -> np.ndarray:
    """A path through the scene of `rendered_cache`, world_T_cam [count,4,4]."""
    return synthetic.make_path(_scene(), count, rate_hz, seed=3)
