"""Depth scores of a model or a guess over the frames of a bag."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import cv2
import numpy as np

from depth_ros.evaluation.boundaries import BoundaryScore, TrueBoundaries, is_dense
from depth_ros.evaluation.metrics import (
    DepthMetrics,
    ScaleStability,
    depth_metrics,
    mean_metrics,
    median_scale,
    scale_stability,
)
from depth_ros.evaluation.protocol import DepthProtocol, Scaling
from depth_ros.evaluation.texture import textureless


@dataclass(frozen=True, eq=False)
class TrueFrame:
    """What the depths of one frame are judged by."""

    index: int
    """Of the frame among those evaluated."""
    depth_m: np.ndarray
    """float [H,W], 0 or NaN where unknown."""
    plain: np.ndarray | None = None
    """bool [H,W]: the textureless part of the pixels that count and that the image shows; None:
    not asked for."""
    boundaries: TrueBoundaries | None = None
    """Contours among the pixels that count; None: not asked for, or the truth shows none."""

    @classmethod
    def of(
        cls,
        index: int,
        image: np.ndarray,
        depth_m: np.ndarray,
        protocol: DepthProtocol,
        *,
        has_contours: bool = True,
        seen: np.ndarray | None = None,
    ) -> TrueFrame:
        """Find the plain pixels of an image, uint8 RGB [h,w,3] of any size, and the contours.

        Pixels that the image does not show, `seen` bool [h,w] being false, are black and not
        plain. Without `has_contours`, and where the truth is sparse, no contours are looked for:
        between single points there is nothing to see.
        """
        counted = protocol.counted(depth_m, np.ones_like(depth_m))
        boundaries = None
        if has_contours and is_dense(depth_m):
            boundaries = TrueBoundaries.of(np.where(counted, depth_m, np.nan))
        shown = counted if seen is None else counted & _resized_mask(seen, counted.shape)
        return cls(index, depth_m, textureless(image, shown), boundaries)


@dataclass(frozen=True)
class FrameScore:
    """What one frame says; AbsRel by the protocol."""

    index: int
    ratio: float
    """median(truth) / median(prediction): the factor that median scaling hides."""
    abs_rel: float
    """After median scaling."""
    unscaled_abs_rel: float


@dataclass(frozen=True)
class PlainScores:
    """AbsRel on the textureless tenth of each image's pixels, averaged over images.

    The scale is that of the whole image.
    """

    median_scaled: float
    unscaled: float | None
    """None for what has no unit."""


@dataclass(frozen=True)
class BoundaryScores:
    """Boundary scores averaged over `images`, those whose truth shows contours; no scale."""

    images: int
    f1: float
    precision: float
    recall: float


@dataclass(frozen=True)
class DepthScores:
    """Metrics averaged over `images`, with the per-image median scale and without any."""

    name: str
    images: int
    coverage: float
    """Share of the pixels with truth that have a prediction; the metrics are over those."""
    unscaled: DepthMetrics | None
    """None for what has no unit, such as a constant."""
    median_scaled: DepthMetrics
    plain: PlainScores | None
    """None where no plain pixel could be compared."""
    boundaries: BoundaryScores | None
    """None where no truth shows contours: it is sparse, or flat."""
    stability: ScaleStability
    frames: tuple[FrameScore, ...]

    def metrics(self, scaling: Scaling) -> DepthMetrics | None:
        """The metrics after a scaling; None where there are none."""
        return self.median_scaled if scaling is Scaling.MEDIAN else self.unscaled

    def plain_abs_rel(self, scaling: Scaling) -> float | None:
        """AbsRel of the textureless tenth after a scaling; None where there is none."""
        if self.plain is None:
            return None
        return self.plain.median_scaled if scaling is Scaling.MEDIAN else self.plain.unscaled


class DepthScorer:
    """Collects the scores of one source of depth, an image at a time."""

    def __init__(self, name: str, protocol: DepthProtocol, *, has_unit: bool = True):
        self._name = name
        self._protocol = protocol
        self._has_unit = has_unit
        self._frames: list[FrameScore] = []
        self._metrics: dict[Scaling, list[DepthMetrics]] = {scaling: [] for scaling in Scaling}
        self._plain: dict[Scaling, list[float]] = {scaling: [] for scaling in Scaling}
        self._boundaries: list[BoundaryScore] = []
        self._compared = 0
        self._known = 0

    def add(self, truth: TrueFrame, predicted_m: np.ndarray) -> FrameScore | None:
        """Compare a depth [h, w] with the truth, after bringing it to the truth's size.

        An image in which nothing can be compared only lowers the coverage; None is returned.
        """
        truth_m = truth.depth_m
        predicted_m = resized_depth(predicted_m, *truth_m.shape)
        counted = self._protocol.counted(truth_m, predicted_m)
        self._known += int(self._protocol.counted(truth_m, np.ones_like(truth_m)).sum())
        self._compared += int(counted.sum())
        if not counted.any():
            return None
        ratio = median_scale(truth_m, predicted_m, counted)
        abs_rel = {}
        for scaling, factor in ((Scaling.MEDIAN, ratio), (Scaling.NONE, 1.0)):
            scaled_m = self._protocol.depth_range.clamp(factor * predicted_m)
            metrics = depth_metrics(truth_m, scaled_m, counted)
            assert metrics is not None
            abs_rel[scaling] = metrics.abs_rel
            self._metrics[scaling].append(metrics)
            if truth.plain is not None:
                plain = depth_metrics(truth_m, scaled_m, counted & truth.plain)
                self._plain[scaling] += [] if plain is None else [plain.abs_rel]
        if truth.boundaries is not None:
            boundary = truth.boundaries.score(predicted_m)
            self._boundaries += [] if boundary is None else [boundary]
        self._frames.append(
            FrameScore(truth.index, ratio, abs_rel[Scaling.MEDIAN], abs_rel[Scaling.NONE])
        )
        return self._frames[-1]

    def scores(self) -> DepthScores | None:
        """Return the means over the images so far; None where nothing could be compared."""
        scaled = mean_metrics(self._metrics[Scaling.MEDIAN])
        stability = scale_stability([frame.ratio for frame in self._frames])
        if scaled is None or stability is None:
            return None
        return DepthScores(
            name=self._name,
            images=len(self._frames),
            coverage=self._compared / self._known,
            unscaled=mean_metrics(self._metrics[Scaling.NONE]) if self._has_unit else None,
            median_scaled=scaled,
            plain=self._plain_scores(),
            boundaries=self._boundary_scores(),
            stability=stability,
            frames=tuple(self._frames),
        )

    def _plain_scores(self) -> PlainScores | None:
        if not self._plain[Scaling.MEDIAN]:
            return None
        scaled, unscaled = (
            float(np.mean(self._plain[scaling])) for scaling in (Scaling.MEDIAN, Scaling.NONE)
        )
        return PlainScores(scaled, unscaled if self._has_unit else None)

    def _boundary_scores(self) -> BoundaryScores | None:
        if not self._boundaries:
            return None
        f1, precision, recall = (
            float(mean) for mean in np.mean([astuple(s) for s in self._boundaries], axis=0)
        )
        return BoundaryScores(len(self._boundaries), f1, precision, recall)


def resized_depth(depth_m: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return depth [height, width], interpolated bilinearly as inverse depth; NaN spreads."""
    if depth_m.shape == (height, width):
        return depth_m
    with np.errstate(divide='ignore', invalid='ignore'):
        inverse = np.where(depth_m > 0.0, 1.0 / depth_m, np.nan).astype(np.float32)
        return 1.0 / cv2.resize(inverse, (width, height), interpolation=cv2.INTER_LINEAR)


def _resized_mask(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    height, width = shape
    return cv2.resize(mask.view(np.uint8), (width, height),
                      interpolation=cv2.INTER_NEAREST).view(bool)
