"""The node's answers against the truth that the bag holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from depth_ros.bags import read_depth, read_trajectory
from depth_ros.demo.answers import Answers
from depth_ros.demo.scene import Scene
from depth_ros.evaluation.alignment import Alignment, align
from depth_ros.evaluation.depth_scores import DepthScorer, DepthScores, TrueFrame
from depth_ros.evaluation.protocol import DepthProtocol
from depth_ros.evaluation.trajectories import (
    PositionError,
    path_length,
    position_error,
)
from depth_ros.evaluation.truth import STAMP_TOLERANCE_NS, NearestInTime
from depth_ros.model_folder.spec import ModelSpec, ScaleKind
from depth_ros.motion.body_odometry import DEFAULT_BASE_T_CAM
from depth_ros.motion.se3 import inverse

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
    caveat: str
    """Whose poses the true ones are, where not the camera's; else empty."""


def depth_accuracy(
    scene: Scene, depths_m: dict[int, np.ndarray], truths_m: dict[int, np.ndarray]
) -> DepthAccuracy | None:
    """Compare the kept answers with the true depth images; None where nothing can be compared.

    The truth of each answer is added to `truths_m` by the answer's stamp.
    """
    model = DepthScorer('model', DepthProtocol())
    constant = DepthScorer('constant', DepthProtocol(), has_unit=False)
    if scene.depth_topic is None or not depths_m:
        return None
    truths = NearestInTime(read_depth(scene.bag, scene.depth_topic), STAMP_TOLERANCE_NS)
    for stamp_ns in sorted(depths_m):
        truth_m = truths.to(stamp_ns)
        if truth_m is None:
            continue
        truth = TrueFrame(len(truths_m), truth_m)
        truths_m[stamp_ns] = truth_m
        model.add(truth, depths_m[stamp_ns])
        constant.add(truth, np.ones_like(truth_m))
    scores, guess = model.scores(), constant.scores()
    return None if scores is None or guess is None else DepthAccuracy(scores, guess)


def path_accuracy(scene: Scene, answers: Answers, spec: ModelSpec) -> PathAccuracy | None:
    """Compare the published odometry with the true path; None where too little overlaps."""
    if scene.odometry_topic is None:
        return None
    truth = read_trajectory(scene.bag, scene.odometry_topic, scene.camera_frame)
    stamps_ns = np.array(sorted(answers.odom_T_base), np.int64)
    stamps_ns = stamps_ns[truth.near(stamps_ns, STAMP_TOLERANCE_NS)]
    if len(stamps_ns) < MIN_POSES:
        return None
    ours = np.stack([answers.odom_T_base[int(one)] @ DEFAULT_BASE_T_CAM for one in stamps_ns])
    theirs = truth.at(stamps_ns)
    metric = spec.scale is ScaleKind.METRIC
    kinds = (*((Alignment.SE3,) if metric else ()), Alignment.SCALE, Alignment.SIM3)
    best = align(ours, theirs, kinds[0])
    back = inverse(np.vstack([np.c_[best.rotation, best.translation], [0.0, 0.0, 0.0, 1.0]]))
    moved = (theirs[:, :3, 3] @ back[:3, :3].T + back[:3, 3]) / best.scale
    errors = tuple(position_error(ours, theirs, kind) for kind in kinds)
    caveat = truth.caveat(scene.camera_frame)
    return PathAccuracy(len(theirs), path_length(theirs), errors, moved, caveat)
