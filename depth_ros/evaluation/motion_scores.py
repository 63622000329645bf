"""Egomotion scores of a model and of the guesses beside it, against a true path."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depth_ros.evaluation.alignment import Alignment, align
from depth_ros.evaluation.guesses import previous_motions, standing_still, straight_ahead
from depth_ros.evaluation.metrics import ScaleStability, scale_stability
from depth_ros.evaluation.trajectories import (
    PositionError,
    RelativeError,
    SegmentError,
    SnippetError,
    direction_errors_deg,
    kitti_segment_errors,
    motion_error,
    path_length,
    position_error,
    relative_error,
    relative_motions,
    snippet_error,
    stationary_drift,
)

WITH_UNIT = (Alignment.SE3, Alignment.SCALE, Alignment.SIM3)
WITHOUT_UNIT = (Alignment.SCALE, Alignment.SIM3)
MIN_DIRECTION_M = 0.01
"""True translations shorter than this have no direction that the truth knows well."""

_LARGEST_LATENESS = 1.75
"""Pairs that take more than so many times the usual time span a hole in the truth."""


@dataclass(frozen=True)
class Pairing:
    """Which pairs of frames RPE and direction are measured over, and in whose scale.

    `step` frames lie between the two, about the interval that the pose network answers for;
    `second` frames make a second.
    """

    step: int
    second: int
    alignment: Alignment


@dataclass(frozen=True)
class MotionScores:
    """Errors of one path; None where a measure makes no sense or the path is too short for it."""

    name: str
    positions: tuple[PositionError, ...]
    pair: RelativeError | None
    per_second: RelativeError | None
    direction_median_deg: float | None
    length: ScaleStability | None
    """True over predicted length of translations, pair by pair, before any alignment."""
    snippet: SnippetError | None
    segments: SegmentError | None
    stationary_drift_m: float | None
    """Path predicted while the truth stands still; None where it never does."""


@dataclass(frozen=True)
class MotionEvaluation:
    """The model's scores and the guesses' over `frames` frames of a true path."""

    frames: int
    path_m: float
    pairing: Pairing
    model: MotionScores
    guesses: tuple[MotionScores, ...]


def make_pairing(stamps_ns: np.ndarray, interval_s: float, alignment: Alignment) -> Pairing:
    """Return the steps nearest to the interval and to a second for frames at stamps [N]."""
    period_s = float(np.median(np.diff(stamps_ns))) * 1e-9
    return Pairing(max(1, round(interval_s / period_s)), max(1, round(1.0 / period_s)), alignment)


def evaluate_motion(predicted: np.ndarray, true: np.ndarray, stamps_ns: np.ndarray,
                    pairing: Pairing) -> MotionEvaluation:
    """Score predicted against true poses `world_T_cam` [N, 4, 4] at stamps [N], N at least 2."""
    without_unit = Pairing(pairing.step, pairing.second, Alignment.SCALE)
    guesses = (
        path_scores('no motion', standing_still(len(true)), true, stamps_ns, pairing),
        path_scores('straight ahead', straight_ahead(len(true)), true, stamps_ns, without_unit),
        _previous_motion_scores(true, stamps_ns, pairing),
    )
    return MotionEvaluation(len(true), path_length(true), pairing,
                            path_scores('model', predicted, true, stamps_ns, pairing), guesses)


def path_scores(name: str, predicted: np.ndarray, true: np.ndarray, stamps_ns: np.ndarray,
                pairing: Pairing) -> MotionScores:
    """Score one path; RPE and KITTI errors are taken after the pairing's alignment."""
    kept, kept_second = (close_pairs(stamps_ns, step) for step in (pairing.step, pairing.second))
    pairs = tuple(relative_motions(poses, pairing.step)[kept] for poses in (predicted, true))
    alignments = WITH_UNIT if pairing.alignment is Alignment.SE3 else WITHOUT_UNIT
    aligned = align(predicted, true, pairing.alignment).apply_to_poses(predicted)
    return MotionScores(
        name=name,
        positions=tuple(position_error(predicted, true, kind) for kind in alignments),
        pair=relative_error(aligned, true, pairing.step, kept),
        per_second=relative_error(aligned, true, pairing.second, kept_second),
        direction_median_deg=_direction_median(*pairs),
        length=_length_ratios(*pairs),
        snippet=snippet_error(predicted, true),
        segments=kitti_segment_errors(aligned, true),
        stationary_drift_m=stationary_drift(aligned, true),
    )


def close_pairs(stamps_ns: np.ndarray, step: int) -> np.ndarray:
    """Return which pairs of poses `step` apart, at stamps [N], take the usual time: bool [N-step].

    Where the truth has a hole, the next pose comes late: what a path drifts meanwhile is no error
    of one step.
    """
    lasting_ns = stamps_ns[step:] - stamps_ns[:-step]
    return lasting_ns <= _LARGEST_LATENESS * np.median(lasting_ns) if lasting_ns.size else (
        np.zeros(0, bool))


def _previous_motion_scores(true: np.ndarray, stamps_ns: np.ndarray,
                            pairing: Pairing) -> MotionScores:
    pairs, seconds = (_repeated_motions(true, stamps_ns, step)
                      for step in (pairing.step, pairing.second))
    return MotionScores(
        name='previous true motion',
        positions=(),
        pair=motion_error(*pairs, pairing.step),
        per_second=motion_error(*seconds, pairing.second),
        direction_median_deg=_direction_median(*pairs),
        length=_length_ratios(*pairs),
        snippet=None,
        segments=None,
        stationary_drift_m=None,
    )


def _repeated_motions(true: np.ndarray, stamps_ns: np.ndarray,
                      step: int) -> tuple[np.ndarray, np.ndarray]:
    guessed, motions = previous_motions(true, step)
    kept = close_pairs(stamps_ns, step)
    both = kept[:-step] & kept[step:]
    return guessed[both], motions[both]


def _direction_median(predicted: np.ndarray, true: np.ndarray) -> float | None:
    errors = direction_errors_deg(predicted, true, MIN_DIRECTION_M)
    return float(np.median(errors)) if errors.size else None


def _length_ratios(predicted: np.ndarray, true: np.ndarray) -> ScaleStability | None:
    lengths, true_m = (np.linalg.norm(motions[:, :3, 3], axis=1) for motions in (predicted, true))
    moving = (true_m >= MIN_DIRECTION_M) & (lengths > 1e-6 * np.max(true_m, initial=1e-6))
    return scale_stability((true_m[moving] / lengths[moving]).tolist())
