"""Errors of a predicted camera path: ATE, RPE, KITTI segments, snippets, direction, drift.

Poses are `world_T_cam` [N, 4, 4]; motions are `previous_T_current` [N-1, 4, 4], so that
`world_T_cam[i + 1] = world_T_cam[i] @ previous_T_current[i]` and driving forward is +z.
Lengths in metres, angles in degrees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depth_ros.evaluation.alignment import Alignment, align

KITTI_SEGMENTS_M = (100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0)


@dataclass(frozen=True)
class PositionError:
    """Absolute trajectory error in metres after the named alignment; `rmse` is the ATE."""

    alignment: Alignment
    scale: float
    rmse: float
    mean: float
    median: float
    max: float
    path_share: float | None
    """ATE as a share of the true path's length; None where the truth stands still."""


@dataclass(frozen=True)
class RelativeError:
    """Relative pose error over `step` frames."""

    step: int
    pairs: int
    translation_rmse: float
    rotation_rmse_deg: float


@dataclass(frozen=True)
class SegmentError:
    """KITTI odometry errors, averaged over all segments."""

    segments: int
    translation_percent: float
    rotation_deg_per_100m: float


@dataclass(frozen=True)
class SnippetError:
    """Snippet ATE of SfMLearner and Monodepth2 (not a true RMSE: the root is divided by n)."""

    snippets: int
    mean: float
    std: float


def invert_poses(a_T_b: np.ndarray) -> np.ndarray:
    """Return b_T_a of rigid transforms [..., 4, 4], exactly rigid."""
    b_T_a = np.zeros_like(a_T_b)
    rotation = np.swapaxes(a_T_b[..., :3, :3], -1, -2)
    b_T_a[..., :3, :3] = rotation
    b_T_a[..., :3, 3] = -np.einsum('...ij,...j->...i', rotation, a_T_b[..., :3, 3])
    b_T_a[..., 3, 3] = 1.0
    return b_T_a


def relative_motions(world_T_cam: np.ndarray, step: int = 1) -> np.ndarray:
    """Return `earlier_T_later` [N-step, 4, 4] of poses [N, 4, 4] that are `step` apart."""
    return invert_poses(world_T_cam[:-step]) @ world_T_cam[step:]


def chain_motions(previous_T_current: np.ndarray) -> np.ndarray:
    """Return poses [N, 4, 4] from motions [N-1, 4, 4], the first pose being the identity."""
    poses = np.tile(np.eye(4), (len(previous_T_current) + 1, 1, 1))
    for index, motion in enumerate(previous_T_current):
        poses[index + 1] = poses[index] @ motion
    return poses


def rotation_angles_deg(rotations: np.ndarray) -> np.ndarray:
    """Return the angles of rotations [..., 3, 3]."""
    cosine = (np.trace(rotations, axis1=-2, axis2=-1) - 1.0) / 2.0
    return np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))


def path_length(world_T_cam: np.ndarray) -> float:
    """Return the length of the path through poses [N, 4, 4].

    Over an interval in which the camera stands still this is the stationary drift.
    """
    return float(travelled(world_T_cam)[-1])


def travelled(world_T_cam: np.ndarray) -> np.ndarray:
    """Return the distance [N] travelled up to each pose [N, 4, 4]; the first is 0."""
    steps = np.linalg.norm(np.diff(world_T_cam[:, :3, 3], axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)])


def stationary_drift(predicted: np.ndarray, true: np.ndarray,
                     still_m: float = 1e-3) -> float | None:
    """Return the predicted path's length over those steps in which the truth moves < still_m.

    None where the truth never stands still.
    """
    still = np.diff(travelled(true)) < still_m
    return float(np.diff(travelled(predicted))[still].sum()) if still.any() else None


def position_error(predicted: np.ndarray, true: np.ndarray, alignment: Alignment) -> PositionError:
    """Return the absolute trajectory error (ATE) of predicted against true poses [N, 4, 4]."""
    similarity = align(predicted, true, alignment)
    distances = np.linalg.norm(true[:, :3, 3] - similarity.apply(predicted[:, :3, 3]), axis=1)
    rmse = float(np.sqrt(np.mean(distances ** 2)))
    length = path_length(true)
    return PositionError(alignment, similarity.scale, rmse, float(np.mean(distances)),
                         float(np.median(distances)), float(np.max(distances)),
                         rmse / length if length > 0.0 else None)


def relative_error(predicted: np.ndarray, true: np.ndarray, step: int = 1,
                   kept: np.ndarray | None = None) -> RelativeError | None:
    """Return the relative pose error (RPE) of predicted poses in the truth's scale [N, 4, 4].

    Over the pairs `kept`, bool [N-step]; None: all. None where there are no two poses `step`
    apart.
    """
    predicted, true = (relative_motions(poses, step) for poses in (predicted, true))
    if kept is not None:
        predicted, true = predicted[kept], true[kept]
    return motion_error(predicted, true, step)


def motion_error(predicted: np.ndarray, true: np.ndarray, step: int = 1) -> RelativeError | None:
    """Return the relative pose error of motions [N, 4, 4] over `step` frames; None for N = 0."""
    if len(true) == 0:
        return None
    error = invert_poses(true) @ predicted
    return RelativeError(
        step, len(error),
        float(np.sqrt(np.mean(np.sum(error[:, :3, 3] ** 2, axis=1)))),
        float(np.sqrt(np.mean(rotation_angles_deg(error[:, :3, :3]) ** 2))))


def direction_errors_deg(predicted: np.ndarray, true: np.ndarray,
                         min_true_m: float) -> np.ndarray:
    """Return the angles [n] between translations of motions [N, 4, 4] that truly moved.

    Pairs whose true translation is below `min_true_m` have no direction and are left out; a
    prediction of no translation counts 90 degrees, what a direction drawn blindly gets.
    """
    moved = np.linalg.norm(true[:, :3, 3], axis=1) >= min_true_m
    p, q = predicted[moved, :3, 3], true[moved, :3, 3]
    lengths = np.linalg.norm(p, axis=1) * np.linalg.norm(q, axis=1)
    cosine = np.sum(p * q, axis=1) / np.where(lengths > 0.0, lengths, 1.0)
    return np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))


def kitti_segment_errors(predicted: np.ndarray, true: np.ndarray,
                         lengths_m: tuple[float, ...] = KITTI_SEGMENTS_M,
                         start_every: int = 10) -> SegmentError | None:
    """Return the KITTI odometry devkit's errors; None where the path is shorter than all segments.

    Align the scale first (FeatDepth's protocol) for models without one.
    """
    distance = travelled(true)
    translations, rotations = [], []
    for first in range(0, len(true), start_every):
        for length in lengths_m:
            last = int(np.searchsorted(distance, distance[first] + length, side='right'))
            if last == len(true):
                continue
            error = (invert_poses(relative_between(predicted, first, last))
                     @ relative_between(true, first, last))
            translations.append(np.linalg.norm(error[:3, 3]) / length)
            rotations.append(rotation_angles_deg(error[:3, :3]) / length)
    if not translations:
        return None
    return SegmentError(len(translations), 100.0 * float(np.mean(translations)),
                        100.0 * float(np.mean(rotations)))


def relative_between(world_T_cam: np.ndarray, first: int, last: int) -> np.ndarray:
    """Return `first_T_last` [4, 4] of two of the poses [N, 4, 4]."""
    return invert_poses(world_T_cam[first]) @ world_T_cam[last]


def snippet_error(predicted: np.ndarray, true: np.ndarray, frames: int = 5) -> SnippetError | None:
    """Return the snippet ATE of poses [N, 4, 4] (Monodepth2's odometry evaluation).

    Snippets of up to `frames` poses start at every pose but the last; those at the end are
    shorter. Each has its own scale. None for fewer than two poses.
    """
    if len(true) < 2:
        return None
    # The published figures chain the pose network's own output, which takes points of a frame to
    # the next one; where the camera turns, that path is another than the camera's.
    predicted, true = (invert_poses(relative_motions(poses)) for poses in (predicted, true))
    errors = []
    for start in range(len(true)):
        end = start + frames - 1
        p = chain_motions(predicted[start:end])[:, :3, 3]
        q = chain_motions(true[start:end])[:, :3, 3]
        square = float(np.sum(p * p))
        scale = float(np.sum(q * p)) / square if square > 0.0 else 1.0
        errors.append(np.sqrt(np.sum((scale * p - q) ** 2)) / len(p))
    return SnippetError(len(errors), float(np.mean(errors)), float(np.std(errors)))
