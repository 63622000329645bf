"""Which pixels count, and how predictions are brought to the truth's unit before they are judged.

The order is always: resize the prediction to the truth as inverse depth, mask, scale, clamp,
metrics, mean over images.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

import numpy as np

from depth_ros.evaluation.metrics import DepthRange, comparable_pixels, garg_crop


class ProtocolKind(enum.Enum):
    """A set of rules under which figures can be compared with published ones."""

    PLAIN = 'plain'
    """Every pixel with truth."""
    KITTI_EIGEN = 'kitti-eigen'
    """Eigen et al.'s test on KITTI: truth of 1e-3 to 80 m inside Garg et al.'s crop."""


class Crop(enum.Enum):
    """Which part of the image counts."""

    NONE = 'none'
    GARG = 'garg'
    """Where KITTI's LiDAR sees: the lower part, without the sides (Garg et al. 2016)."""


class Scaling(enum.Enum):
    """How a prediction is brought to the truth's unit."""

    MEDIAN = 'median-scaled'
    """Each image by median(truth) / median(prediction)."""
    NONE = 'no scaling'


@dataclass(frozen=True)
class DepthProtocol:
    """The rules of one evaluation."""

    kind: ProtocolKind = ProtocolKind.PLAIN
    crop: Crop = Crop.NONE
    depth_range: DepthRange = field(default_factory=DepthRange)

    @classmethod
    def of(cls, kind: ProtocolKind, depth_range: DepthRange | None = None) -> DepthProtocol:
        """The rules of a kind; `depth_range` instead of its own, where given."""
        crop = Crop.GARG if kind is ProtocolKind.KITTI_EIGEN else Crop.NONE
        return cls(kind, crop, depth_range or DepthRange())

    def counted(self, truth_m: np.ndarray, predicted_m: np.ndarray) -> np.ndarray:
        """Where both are known, the truth is in range and inside the crop: bool [H,W]."""
        known = comparable_pixels(truth_m, predicted_m, self.depth_range)
        if self.crop is Crop.NONE:
            return known
        window = garg_crop(*truth_m.shape)
        result = np.zeros_like(known)
        result[window] = known[window]
        return result
