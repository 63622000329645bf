"""How a model's depth follows the outlines of foreground masks, over the frames of a bag."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depth_ros.evaluation.boundaries import mask_recall
from depth_ros.evaluation.depth_scores import resized_depth


@dataclass(frozen=True)
class MaskScores:
    """Mask recall averaged over `images`: the masks with an outline where depth is known.

    Range and crop of the protocol do not apply, for a mask tells no depth. Models alone have it:
    guesses are made of true depth, which masks do without.

    Source: Bochkovskii et al., Depth Pro, ICLR 2025 (boundary recall).
    """

    images: int
    recall: float
    """0 to 1; no scale changes it."""


class MaskScorer:
    """Collects the mask recall of one model, a mask at a time."""

    def __init__(self) -> None:
        """Begin before the first mask."""
        self._recalls: list[float] = []

    def add(self, alpha: np.ndarray, predicted_m: np.ndarray) -> None:
        """Compare a depth [h,w] of any scale with a mask, after bringing it to the mask's size.

        Args:
            alpha: float [H,W], 0 to 1 (foreground).
            predicted_m: of the same picture, of any size.
        """
        recall = mask_recall(resized_depth(predicted_m, *alpha.shape), alpha)
        self._recalls += [] if recall is None else [recall]

    def scores(self) -> MaskScores | None:
        """The mean over the masks so far; None where none of them has an outline."""
        if not self._recalls:
            return None
        return MaskScores(len(self._recalls), float(np.mean(self._recalls)))
