"""Guesses that need no network: what a model must beat before its figures mean anything.

A camera hardly looks at more than a few kinds of places in few ways, so that a blind guess of its
depth or motion is often good; a model is worth running by what it adds to that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from depth_ros.evaluation.trajectories import relative_motions


@dataclass(frozen=True)
class DepthGuesses:
    """Depth maps [H, W], without holes, that are the same for each evaluated frame."""

    constant: np.ndarray
    """Ones: with median scaling, the best that a flat wall can do."""
    image_blind: np.ndarray | None
    """Per-pixel mean of the training frames' known depths; None without training frames."""
    held: np.ndarray | None
    """Depth of the last training frame; None without training frames."""

    def items(self) -> tuple[tuple[str, np.ndarray], ...]:
        """Return (name, depth map) of each guess there is."""
        guesses = (('constant', self.constant), ('image-blind mean', self.image_blind),
                   ('last training frame held', self.held))
        return tuple((name, depth) for name, depth in guesses if depth is not None)


def depth_guesses(height: int, width: int, training_m: Iterable[np.ndarray] = ()) -> DepthGuesses:
    """Return the guesses for frames of a size, from training depths [H, W] (0, NaN: unknown).

    The training depths are consumed one at a time, so that a long bag does not fill the memory.
    """
    constant = np.ones((height, width), np.float32)
    total = np.zeros((height, width), np.float64)
    count = np.zeros((height, width), np.int64)
    last = None
    for depth_m in training_m:
        if depth_m.shape != (height, width):
            raise ValueError(f'training depth {depth_m.shape} is not {(height, width)}')
        known = np.isfinite(depth_m) & (depth_m > 0.0)
        total += np.where(known, depth_m, 0.0)
        count += known
        if known.any():
            last = np.where(known, depth_m, np.nan)
    if last is None:
        return DepthGuesses(constant, None, None)
    mean = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    return DepthGuesses(constant, fill_holes(mean), fill_holes(last))


def fill_holes(depth_m: np.ndarray) -> np.ndarray:
    """Return depth [H, W] float32 in which each NaN has the value of about the nearest pixel.

    At least one pixel must be known. Without this a guess would be judged on fewer pixels than
    the model.
    """
    unknown = ~np.isfinite(depth_m)
    if unknown.all():
        raise ValueError('no pixel of the depth map is known')
    _, labels = cv2.distanceTransformWithLabels(unknown.astype(np.uint8), cv2.DIST_L2, 5,
                                                labelType=cv2.DIST_LABEL_PIXEL)
    value_of_label = np.zeros(labels.max() + 1, np.float32)
    value_of_label[labels[~unknown]] = depth_m[~unknown]
    return value_of_label[labels]


def standing_still(frames: int) -> np.ndarray:
    """Guess that the camera does not move: `world_T_cam` [frames, 4, 4]."""
    return np.tile(np.eye(4), (frames, 1, 1))


def straight_ahead(frames: int) -> np.ndarray:
    """Guess constant motion: one unit along the optical axis per frame and no turning.

    Returns `world_T_cam` [frames, 4, 4]; it has no unit and is judged after scale alignment.
    """
    poses = standing_still(frames)
    poses[:, 2, 3] = np.arange(frames)
    return poses


def previous_motions(true_world_T_cam: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Guess that the true motion over the `step` frames before repeats itself.

    Returns guessed and true motions [N - 2 step, 4, 4] of the pairs that have one before, from N
    poses. The guess looks at the truth, one pair late: only its errors per pair mean anything,
    for chained it is the true path.
    """
    motions = relative_motions(true_world_T_cam, step)
    return motions[:-step], motions[step:]
