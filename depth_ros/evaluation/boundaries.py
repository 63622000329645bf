"""How well edges of depth stand where they are: boundary scores that no scale changes.

Source: Bochkovskii et al., Depth Pro: Sharp Monocular Metric Depth in Less Than a Second, ICLR
2025. A contour lies between two neighbouring pixels where one is nearer by more than a ratio t.
Each pair is looked at in both directions, and t runs over ten values. Depths are z in any one
unit, [H,W]; 0, NaN and infinity mean unknown, and pairs that touch an unknown pixel of either map
are left out of both.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np

THRESHOLDS = np.linspace(1.05, 1.25, 10)
"""Ratios of depth above which neighbours have a contour between them."""
WEIGHTS = THRESHOLDS / THRESHOLDS.sum()
"""Of the scores at these thresholds, 0.0913 to 0.1087."""
FOREGROUND_ALPHA = 0.1
"""A mask's value above which a pixel is foreground."""
_NEAREST = 1e-6
"""Depths below this are taken for it."""
_SURELY_BELOW = 1.0 - 1e-4
"""Candidates are found a little below the threshold, in the map's own precision."""
_DENSE_SHARE = 0.5


@dataclass(frozen=True)
class BoundaryScore:
    """Contours of one prediction against the truth, 0 to 1, weighted over the thresholds.

    A direction in which a map has no contour at all counts as 0 in the mean of the four, as
    published: only a truth with contours in all of them, above all thresholds, can score 1.
    """

    f1: float
    precision: float
    """Share of the predicted contours that are true: low where edges are invented or displaced."""
    recall: float
    """Share of the true contours that are predicted: low where edges are smeared."""


class _Direction(enum.Enum):
    """From pixel i to its neighbour j: rows and columns to go."""

    RIGHT = (0, 1)
    LEFT = (0, -1)
    DOWN = (1, 0)
    UP = (-1, 0)

    def far_and_near(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The values [H,W] of all i and of their j: two views [N] of the flattened map.

        Horizontal pairs include those from the end of a row to the start of the next one; the
        position of a pair is that of its upper or left pixel in the flattened map.
        """
        rows, columns = self.value
        step = abs(rows) * values.shape[1] + abs(columns)
        flat = values.reshape(-1)
        first, second = flat[:max(0, flat.size - step)], flat[step:]
        return (first, second) if rows + columns > 0 else (second, first)

    def inside(self, pairs: np.ndarray, width: int) -> np.ndarray:
        """The pairs that do not go on in the next row."""
        rows, _ = self.value
        return pairs if rows else pairs[pairs % width != width - 1]


@dataclass(frozen=True, eq=False)
class _Contours:
    """Pairs of one direction whose j is nearer by more than the first threshold."""

    pairs: np.ndarray
    """int [N], positions in order."""
    ratios: np.ndarray
    """float64 [N], depth of i over depth of j."""


@dataclass(frozen=True, eq=False)
class TrueBoundaries:
    """The contours of a true depth map, found once for all that is compared with it."""

    known: np.ndarray
    """bool [H,W]."""
    contours: tuple[_Contours, ...]
    """By direction."""

    @classmethod
    def of(cls, truth_m: np.ndarray) -> TrueBoundaries | None:
        """Find the contours of true depth [H,W].

        Returns:
            None where the map has no contour above the first threshold: there is nothing to find.

        Raises:
            ValueError: the map does not have two dimensions.
        """
        known_m = _known_depth(truth_m)
        contours = tuple(_contours(known_m, direction) for direction in _Direction)
        if not any(found.pairs.size for found in contours):
            return None
        return cls(~np.isnan(known_m), contours)

    def score(self, predicted_m: np.ndarray) -> BoundaryScore | None:
        """Compare predicted depth [H,W], of any scale, with the true contours.

        Returns:
            None where a prediction is known at no true contour.

        Raises:
            ValueError: the prediction does not have the truth's size.
        """
        _check_sizes('truth', self.known, 'prediction', predicted_m)
        predicted_m = _known_depth(predicted_m)
        predicted_m[~self.known] = np.nan
        precision, recall = np.zeros_like(THRESHOLDS), np.zeros_like(THRESHOLDS)
        comparable = 0
        for direction, true in zip(_Direction, self.contours):
            ratios = _ratios(predicted_m, direction, true.pairs)
            known = ~np.isnan(ratios)
            comparable += int(known.sum())
            # Both maps exceed a threshold where the smaller ratio of the two does.
            found = _counts_above(np.minimum(true.ratios, ratios)[known])
            recall += found / np.maximum(_counts_above(true.ratios[known]), 1)
            predicted = _counts_above(_contours(predicted_m, direction).ratios)
            precision += found / np.maximum(predicted, 1)
        if comparable == 0:
            return None
        precision, recall = precision / len(_Direction), recall / len(_Direction)
        both = precision + recall
        f1 = 2.0 * precision * recall / np.where(both > 0.0, both, 1.0)
        return BoundaryScore(*(float(WEIGHTS @ value) for value in (f1, precision, recall)))


def mask_recall(predicted_m: np.ndarray, alpha: np.ndarray) -> float | None:
    """Share of a foreground mask's outline at which predicted depth has a contour too.

    Predicted contours are thinned: of neighbouring ones in a row (for up and down in a column)
    only that with the largest ratio is kept, the first of equal ones. There is no precision, since
    masks do not show the contours inside. As with the score against depth, directions without
    outline count as 0.

    Source: Bochkovskii et al., Depth Pro, ICLR 2025 (boundary recall on matting and segmentation
    masks).

    Args:
        predicted_m: [H,W], of any scale.
        alpha: [H,W], foreground above 0.1, in 0 to 1; or bool.

    Returns:
        Recall 0 to 1, the mean over the directions, weighted over the thresholds; None where the
        mask has no outline at which the prediction is known.

    Raises:
        ValueError: the maps are not [H,W] of one size.
    """
    _check_sizes('mask', alpha, 'prediction', predicted_m)
    predicted_m, foreground = _known_depth(predicted_m), np.asarray(alpha) > FOREGROUND_ALPHA
    recall = np.zeros_like(THRESHOLDS)
    outlined = 0
    # Down and up are right and left of the transposed maps, where runs of a column lie in rows.
    for depth_m, mask in ((predicted_m, foreground),
                          (predicted_m.T.copy(), foreground.T.copy())):
        for direction in (_Direction.RIGHT, _Direction.LEFT):
            i_is, j_is = direction.far_and_near(mask)
            outline = direction.inside(np.flatnonzero(j_is & ~i_is), mask.shape[1])
            outline = outline[~np.isnan(_ratios(depth_m, direction, outline))]
            outlined += outline.size
            found = _crests_on(outline, _contours(depth_m, direction), mask.size)
            recall += found / max(outline.size, 1)
    return float(WEIGHTS @ recall) / len(_Direction) if outlined else None


def is_dense(depth_m: np.ndarray) -> bool:
    """Whether most known pixels [H,W] have neighbours: sparse points have no contours."""
    known = ~np.isnan(_known_depth(depth_m))
    cornered = known[:-1, :-1] & known[1:, :-1] & known[:-1, 1:]
    return bool(np.count_nonzero(cornered) >= _DENSE_SHARE * max(np.count_nonzero(known), 1))


def _check_sizes(first: str, ours: np.ndarray, second: str, theirs: np.ndarray) -> None:
    if ours.shape != theirs.shape or ours.ndim != 2:
        raise ValueError(f'{first} {ours.shape} and {second} {theirs.shape}: '
                         'need equal sizes [H,W]')


def _known_depth(depth_m: np.ndarray) -> np.ndarray:
    """A contiguous float copy, NaN where unknown, never nearer than the nearest that counts."""
    if depth_m.ndim != 2:
        raise ValueError(f'depth {depth_m.shape}: need [H,W]')
    depth_m = np.ascontiguousarray(depth_m)
    if depth_m.dtype != np.float32:
        depth_m = depth_m.astype(np.float64)
    with np.errstate(invalid='ignore'):
        known = (depth_m > 0.0) & (depth_m < np.inf)
        depth_m = np.maximum(depth_m, depth_m.dtype.type(_NEAREST))
    depth_m[~known] = np.nan
    return depth_m


def _contours(depth_m: np.ndarray, direction: _Direction) -> _Contours:
    """The contours of a map that is NaN where unknown."""
    far, near = direction.far_and_near(depth_m)
    least = THRESHOLDS[0]
    with np.errstate(invalid='ignore', over='ignore'):
        # A product over all pairs and divisions over the few that are left.
        likely = np.flatnonzero(far > depth_m.dtype.type(least * _SURELY_BELOW) * near)
    pairs = direction.inside(likely, depth_m.shape[1])
    ratios = _ratios(depth_m, direction, pairs)
    above = ratios > least
    return _Contours(pairs[above], ratios[above])


def _ratios(depth_m: np.ndarray, direction: _Direction, pairs: np.ndarray) -> np.ndarray:
    """Depth of i over depth of j at some pairs: float64 [N], NaN where unknown."""
    far, near = direction.far_and_near(depth_m)
    return far[pairs].astype(np.float64) / near[pairs].astype(np.float64)


def _counts_above(ratios: np.ndarray) -> np.ndarray:
    """How many ratios exceed each threshold: float64 [10]."""
    return np.array([np.count_nonzero(ratios > t) for t in THRESHOLDS], np.float64)


def _crests_on(outline: np.ndarray, contours: _Contours, pixels: int) -> np.ndarray:
    """How many pairs of an outline have a thinned contour at each threshold: float64 [10]."""
    on_outline = np.zeros(pixels, bool)
    on_outline[outline] = True
    pairs, ratios = contours.pairs, contours.ratios
    # Runs only fall apart as the threshold grows: those off the outline never come to lie on it.
    run = _runs(pairs)
    touches = np.bincount(run, on_outline[pairs])[run] > 0.0
    pairs, ratios = pairs[touches], ratios[touches]
    found = np.zeros_like(THRESHOLDS)
    for index, threshold in enumerate(THRESHOLDS):
        above = ratios > threshold
        pairs, ratios = pairs[above], ratios[above]
        found[index] = np.count_nonzero(on_outline[pairs[_crests(pairs, ratios)]])
    return found


def _runs(pairs: np.ndarray) -> np.ndarray:
    """The number of the run of consecutive pairs that each belongs to, from 0: int [N]."""
    return np.cumsum(np.diff(pairs, prepend=pairs[:1] - 1) != 1)


def _crests(pairs: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    """Of each run of consecutive pairs, the index of the first with the largest ratio."""
    if pairs.size == 0:
        return pairs
    run = _runs(pairs)
    begins = np.diff(run, prepend=-1) != 0
    largest = np.maximum.reduceat(ratios, np.flatnonzero(begins))
    at_largest = np.flatnonzero(ratios == largest[run])
    return at_largest[np.diff(run[at_largest], prepend=-1) != 0]
