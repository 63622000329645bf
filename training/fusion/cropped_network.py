"""A model's depth network asked for crops, and what a bag knows to compare its answers with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from depth_ros.backends import Backend
from depth_ros.cameras.rectifier import RectifyMode
from depth_ros.model_folder.spec import ModelSpec
from training.config import BagSource
from training.data.cache import CacheSettings, FrameCache
from training.fusion.corner_crops import Candidates
from training.fusion.filling import shrink_known
from training.fusion.stages import CropIntrinsics, CropStage

LEAST_KNOWN = 0.5
"""Of a frame's depth: the rest is filled from its surroundings, which has its limits."""


class CroppedNetwork:
    """A model's depth network, asked for all crops of an image by any runtime."""

    def __init__(self, backend: Backend, candidates: Candidates) -> None:
        """The network must take the candidates' crops."""
        self._backend = backend
        self._crop = CropStage(candidates)
        self._intrinsics = CropIntrinsics(candidates)
        self.all_candidates = candidates

    @torch.no_grad()
    def crop_depths(self, image: np.ndarray, intrinsics: np.ndarray) -> Tensor:
        """Depth of all crops float32 [K,h,w] in the model's unit.

        Args:
            image: uint8 [H,W,3].
            intrinsics: (fx, fy, cx, cy) in its pixels.

        Raises:
            BackendError: the runtime failed.
        """
        # Copied, since frames of a cache are read-only and torch warns of that.
        crops = as_bytes(self._crop(torch.from_numpy(image[None].copy())))
        inputs = {'image': crops}
        if 'intrinsics' in self._backend.input_names:
            row = torch.from_numpy(np.asarray(intrinsics, np.float32)[None])
            inputs['intrinsics'] = self._intrinsics(row).contiguous().numpy()
        return torch.from_numpy(self._backend.run(inputs)['depth'].copy())

    def candidates(self, image: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
        """Candidates float32 [M,N1,N2] of one image, see crop_depths."""
        return self.all_candidates.assembled(self.crop_depths(image, intrinsics))[0].numpy()

    @property
    def takes_intrinsics(self) -> bool:
        """Whether the network is told the camera."""
        return 'intrinsics' in self._backend.input_names


def cache_settings(source: BagSource, outer: ModelSpec, rectify: RectifyMode) -> CacheSettings:
    """Frames of a bag as a combined model of that spec sees them, with true depth."""
    return CacheSettings(
        source, outer.width, outer.height, outer.fit, rectify, outer.intrinsics,
        outer.resize_filter, odometry_truth=False,
    )  # fmt: skip


@dataclass(frozen=True)
class KnownFrame:
    """A frame whose true depth is known.

    Both depths are in the unit of the graph's answer, before it is corrected for the focal length.

    Attributes:
        candidates: [M,N1,N2].
        truth: [N1,N2], NaN where unknown.
        place: 0 to 1, where it comes in its bag.
    """

    candidates: np.ndarray
    truth: np.ndarray
    place: float


def known_frames(
    cache: FrameCache, outer: ModelSpec, network: CroppedNetwork, every: int = 1
) -> Iterator[KnownFrame]:
    """Of one frame in so many, those with enough truth."""
    if cache.depth_m is None:
        return
    for index in range(0, len(cache), every):
        depth_m = np.asarray(cache.depth_m[index], np.float32)
        x0, y0, x1, y1 = cache.visible[index]
        shown = np.isfinite(depth_m[y0:y1, x0:x1])
        if shown.size == 0 or shown.mean() < LEAST_KNOWN:
            continue
        # The runtime corrects the graph's answer for the camera's focal length.
        factor = 1.0
        if outer.intrinsics is not None:
            factor = float(cache.intrinsics[index, 0]) / outer.intrinsics.fx
        truth = shrink_known(depth_m / factor, outer.depth_height, outer.depth_width)
        image = np.ascontiguousarray(cache.images[index])
        candidates = network.candidates(image, cache.intrinsics[index])
        yield KnownFrame(candidates, truth, index / len(cache))


def as_bytes(whole: Tensor) -> np.ndarray:
    """Whole numbers 0 .. 255 as a runtime takes them."""
    return whole.to(torch.uint8).contiguous().numpy()
