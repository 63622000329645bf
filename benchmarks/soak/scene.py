"""The pictures of a soak, and the depth that the robot's pipeline computes of each."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.model_folder.model import Model
from depth_ros.pipeline import CameraTrack, DepthPipeline, TrackSettings, Wanted
from depth_ros.pipeline.depth_pipeline import Frame
from depth_ros.synthetic.path import make_path
from depth_ros.synthetic.render import render
from depth_ros.synthetic.room import WallStyle, make_scene

_SEED = 1_000_003
_FOV_DEG = 62.7
_STRIDE = 8
"""Every so many pixels of a depth map are compared."""
_TOLERANCE = 0.02
"""Relative: runtimes differ in the third digit, and interpolation at edges a little more."""


@dataclass(frozen=True)
class Picture:
    """One image and its depth."""

    rgb: np.ndarray
    """uint8 [H,W,3]."""
    depth_m: np.ndarray
    """float32, every _STRIDE-th pixel."""

    def explains(self, depth_m: np.ndarray) -> bool:
        """Whether a depth map [H,W] is the one of this picture."""
        found = depth_m[::_STRIDE, ::_STRIDE]
        return found.shape == self.depth_m.shape and np.allclose(
            found, self.depth_m, rtol=_TOLERANCE, atol=0.0, equal_nan=True
        )


@dataclass(frozen=True)
class Scene:
    """A walk through a room, as many pictures as are wanted."""

    camera: Intrinsics
    pictures: tuple[Picture, ...]


def render_scene(model: Model, width: int, height: int, frames: int, rate_hz: float) -> Scene:
    """Render a room and let the pipeline compute each picture.

    Raises:
        DepthRosError: the model cannot be run.
    """
    focal = 0.5 * width / math.tan(math.radians(_FOV_DEG) / 2)
    camera = Intrinsics(focal, focal, (width - 1) / 2, (height - 1) / 2, width, height)
    room = make_scene(_SEED, WallStyle.TEXTURED)
    poses = make_path(room, frames, rate_hz, _SEED, 0.6)
    images = [render(room, camera, world_T_cam)[0] for world_T_cam in poses]
    with closing(DepthPipeline.open(model)) as pipeline:
        track = CameraTrack(pipeline, TrackSettings())
        depths = [
            track.process(Frame(index, rgb, camera, 'camera'), Wanted(egomotion=False)).depth_m
            for index, rgb in enumerate(images)
        ]
    return Scene(camera, tuple(
        Picture(rgb, depth_m[::_STRIDE, ::_STRIDE].copy()) for rgb, depth_m in zip(images, depths)
    ))  # fmt: skip
