"""Corners of a training batch, tracked from the target into its other frames."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from depth_ros.motion.refinement import track_corners
from training.data.batch import TARGET, Batch

FEWEST = 16
"""Corners that tell something."""


class CornerTracks:
    """Corners of a batch's targets in their other frames; found on the CPU, sample by sample."""

    def __init__(self, batch: Batch, images01: Tensor, depth_m: Tensor) -> None:
        luma = torch.tensor((0.299, 0.587, 0.114), device=images01.device)
        grey = (images01 * 255 * luma[:, None, None]).sum(2).round().byte()
        self._grey = grey.cpu().numpy()
        self._depths = depth_m[:, 0].float().cpu().numpy()
        self._visible = batch.visible.round().int().clamp(min=0).cpu().numpy()
        self.K = batch.intrinsics.double().cpu().numpy()

    def track(self, i: int, source: int) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Corners of target i [n,2], where the source shows them [n,2], their depths [n].

        None where there are too few.
        """
        height, width = self._depths[i].shape
        x0, y0, x1, y1 = self._visible[i]
        mask = np.zeros((height, width), np.uint8)
        mask[y0:y1, x0:x1] = 255
        tracked = track_corners(self._grey[i, TARGET], self._grey[i, source], mask)
        if tracked is None:
            return None
        pixels, found = tracked
        columns, rows = np.rint(pixels).astype(int).T
        z = self._depths[i][rows.clip(0, height - 1), columns.clip(0, width - 1)]
        known = np.isfinite(z)
        if known.sum() < FEWEST:
            return None
        return pixels[known], found[known], z[known].astype(np.float64)
