"""Frames that go with every model: rendered ones, which may be given away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from depth_ros import synthetic
from depth_ros.cameras.intrinsics import Intrinsics

_COUNT = 3
_RATE_HZ = 5.0


@dataclass(frozen=True)
class SampleFrames:
    """What an export is checked with: RGB uint8 [n, H, W, 3] at the network's size, each.

    previous and current are pairs in temporal order for the pose network, where there is one.
    intrinsics: float32 [n, 4], fx, fy, cx, cy of each image in its pixels, for graphs that take
    them.
    """

    image: np.ndarray
    previous: np.ndarray
    current: np.ndarray
    intrinsics: np.ndarray | None = None

    def of(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """The arrays of a graph's inputs, by their names."""
        return {name: getattr(self, name) for name in names}

    def with_unknown_focal(self) -> SampleFrames:
        """The same, the focal length of the last image being unknown: 0."""
        assert self.intrinsics is not None
        intrinsics = self.intrinsics.copy()
        intrinsics[-1, 0] = 0.0
        return replace(self, intrinsics=intrinsics)


def render_samples(camera: Intrinsics, count: int = _COUNT) -> SampleFrames:
    """A short walk through a rendered room, seen by a camera of the network's size."""
    scene = synthetic.make_scene(seed=1)
    path = synthetic.make_path(scene, count + 1, _RATE_HZ, seed=1)
    frames = np.stack([synthetic.render(scene, camera, pose)[0] for pose in path])
    row = np.array([camera.fx, camera.fy, camera.cx, camera.cy], np.float32)
    return SampleFrames(frames[:-1], frames[:-1], frames[1:], np.tile(row, (count, 1)))
