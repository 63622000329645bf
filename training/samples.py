"""Frames that go with every model: rendered ones, which may be given away."""

from dataclasses import dataclass

import numpy as np

from depth_ros import synthetic
from depth_ros.camera import Intrinsics

_COUNT = 3
_RATE_HZ = 5.0


@dataclass(frozen=True)
class SampleFrames:
    """What an export is checked with: RGB uint8 [n, H, W, 3] at the network's size, each.

    previous and current are pairs in temporal order for the pose network, where there is one.
    """

    image: np.ndarray
    previous: np.ndarray
    current: np.ndarray


def render_samples(camera: Intrinsics) -> SampleFrames:
    """A short walk through a rendered room, seen by a camera of the network's size."""
    scene = synthetic.make_scene(seed=1)
    path = synthetic.make_path(scene, _COUNT + 1, _RATE_HZ, seed=1)
    frames = np.stack([synthetic.render(scene, camera, pose)[0] for pose in path])
    return SampleFrames(frames[:-1], frames[:-1], frames[1:])
