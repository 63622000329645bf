"""The node's answers against the truth that the bag holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depth_ros.bags import read_depth, read_trajectory
from depth_ros.body_odometry import DEFAULT_BASE_T_CAM
from depth_ros.demo.answers import Answers
from depth_ros.evaluation.alignment import Alignment, align
from depth_ros.evaluation.depth_scores import DepthScorer, DepthScores, TrueFrame
from depth_ros.evaluation.protocol import DepthProtocol
from depth_ros.evaluation.trajectories import (
    PositionError,
    path_length,
    position_error,
)
from depth_ros.model import ModelSpec, ScaleKind
from depth_ros.se3 import inverse

STAMP_TOLERANCE_NS = 20_000_000
MIN_POSES = 3


@dataclass(frozen=True)
class DepthAccuracy:
    """Depth errors of the model, and of a constant beside it (median-scaled)."""

    model: DepthScores
    constant: DepthScores


@dataclass(frozen=True)
class PathAccuracy:
    """Egomotion errors over `poses` poses of a true path; positions in the odometry's frame."""

    poses: int
    path_m: float
    errors: tuple[PositionError, ...]
    true_in_odom_m: np.ndarray
    """float64 [poses,3], the true path moved onto the estimated one, in its scale."""


def depth_accuracy(
    bag: Path, topic: str, depths_m: dict[int, np.ndarray], truths_m: dict[int, np.ndarray]
) -> DepthAccuracy | None:
    """Compare the kept answers with the true depth images; None where nothing can be compared.

    The truth of each answer is added to `truths_m` by the answer's stamp.
    """
    model = DepthScorer('model', DepthProtocol())
    constant = DepthScorer('constant', DepthProtocol(), has_unit=False)
    stamps_ns = np.array(sorted(depths_m))
    for truth_ns, truth_m in read_depth(bag, topic) if len(stamps_ns) else ():
        stamp_ns = int(stamps_ns[np.argmin(np.abs(stamps_ns - truth_ns))])
        if abs(stamp_ns - truth_ns) > STAMP_TOLERANCE_NS or stamp_ns in truths_m:
            continue
        truth = TrueFrame(len(truths_m), truth_m)
        truths_m[stamp_ns] = truth_m
        model.add(truth, depths_m[stamp_ns])
        constant.add(truth, np.ones_like(truth_m))
    scores, guess = model.scores(), constant.scores()
    return None if scores is None or guess is None else DepthAccuracy(scores, guess)


def path_accuracy(bag: Path, topic: str, answers: Answers, spec: ModelSpec) -> PathAccuracy | None:
    """Compare the published odometry with the true path; None where too little overlaps."""
    truth = read_trajectory(bag, topic)
    predicted, true = [], []
    for stamp_ns, odom_T_base in sorted(answers.odom_T_base.items()):
        world_T_cam = truth.at(stamp_ns, STAMP_TOLERANCE_NS)
        if world_T_cam is not None:
            predicted.append(odom_T_base @ DEFAULT_BASE_T_CAM)
            true.append(world_T_cam)
    if len(true) < MIN_POSES:
        return None
    ours, theirs = np.stack(predicted), np.stack(true)
    metric = spec.scale is ScaleKind.METRIC
    kinds = (*((Alignment.SE3,) if metric else ()), Alignment.SCALE, Alignment.SIM3)
    best = align(ours, theirs, kinds[0])
    back = inverse(np.vstack([np.c_[best.rotation, best.translation], [0.0, 0.0, 0.0, 1.0]]))
    moved = (theirs[:, :3, 3] @ back[:3, :3].T + back[:3, 3]) / best.scale
    errors = tuple(position_error(ours, theirs, kind) for kind in kinds)
    return PathAccuracy(len(true), path_length(theirs), errors, moved)
