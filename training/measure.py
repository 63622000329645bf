"""How well a trained pose network does, and what factor makes it metric."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from depth_ros.model_folder.spec import MotionSpec
from training.data import augment
from training.data.batch import NEXT, PREVIOUS, TARGET, Batch
from training.geometry import small_product
from training.tasks.self_supervised import SelfSupervisedTask
from training.tracking.known_turns import motions_by_turn

# Shorter true motions than this share of the typical one say nothing of scale.
_LONG_ENOUGH = 0.3
_SMALLEST = 1e-6
# Median distance of the logarithms of length ratios from their median: half as much again.
_WIDEST_SCATTER = 0.4


@dataclass(frozen=True)
class Motions:
    """Predicted and true motions of n frame pairs; truth is NaN where unknown.

    Attributes:
        predicted: target_T_previous as the network states it, [n,4,4].
        composed: next_T_previous as the product of its two parts, [n,4,4].
        direct: next_T_previous as the network states it at once, [n,4,4].
        true: target_T_previous [n,4,4].
        interval_s: [n].
    """

    predicted: np.ndarray
    composed: np.ndarray
    direct: np.ndarray
    true: np.ndarray
    interval_s: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """Where there is truth, bool [n]."""
        return np.isfinite(self.true).all((1, 2))


@dataclass(frozen=True)
class Ways:
    """Lengths of motions [n], NaN where unknown.

    Attributes:
        predicted: in the unit of the networks.
        true: by odometry [m].
    """

    predicted: np.ndarray
    true: np.ndarray

    @classmethod
    def of(cls, motions: Motions) -> Ways:
        """Those of the pose network."""
        return cls(_lengths(motions.predicted), _lengths(motions.true))

    @property
    def known(self) -> np.ndarray:
        """Where there are both, bool [n]."""
        return np.isfinite(self.true) & np.isfinite(self.predicted)


@torch.no_grad()
def predict_motions(task: SelfSupervisedTask, batches: Iterable[Batch]) -> Motions:
    """Run the pose network over batches, as it would be exported."""
    pose = task.best_networks.pose
    assert pose is not None
    was_training = pose.training
    pose.eval()
    rows = []
    for batch in batches:
        on_device = Batch(*(field.to(task.device) for field in batch))
        frames01 = augment.to_unit_images(on_device.images)
        pairs = ((PREVIOUS, TARGET), (TARGET, NEXT), (PREVIOUS, NEXT))
        with task.objective.single_precision():
            first, second, direct = task.objective.motions(
                pose, frames01, on_device.intrinsics, pairs
            )
        composed = small_product(second, first)
        tensors = (first, composed, direct, batch.target_T_previous, batch.interval_s[:, 0])
        rows.append([tensor.double().cpu().numpy() for tensor in tensors])
    pose.train(was_training)
    return Motions(*(np.concatenate(column) for column in zip(*rows)))


@torch.no_grad()
def measure_ways(task: SelfSupervisedTask, batches: Iterable[Batch]) -> Ways:
    """The ways between frames as corners and predicted depth tell them, turned as odometry tells.

    The unit is that of depth, whatever the pose network says.
    """
    predicted: list[np.ndarray] = []
    true: list[np.ndarray] = []
    for batch in batches:
        on_device = Batch(*(field.to(task.device) for field in batch))
        frames01 = augment.to_unit_images(on_device.images)
        with task.objective.single_precision():
            depth_m = task.terms(on_device).depth_m
        found = motions_by_turn(on_device, frames01, depth_m)
        told = torch.stack([batch.target_T_previous, batch.next_T_target])
        for motions, rows in ((found, predicted), (told, true)):
            rows.append(_lengths(motions.flatten(0, 1).double().cpu().numpy()))
    return Ways(np.concatenate(predicted), np.concatenate(true))


def fit_unit(ways: Ways) -> float | None:
    """Metres in one unit of the networks: the median ratio of true to predicted ways.

    None where too little is known, or where the ratios scatter so widely that the networks have
    no unit yet: a model is better up to scale than wrong in metres.
    """
    ratios = _log_ratios(ways)
    if len(ratios) == 0:
        return None
    typical = float(np.median(ratios))
    if np.median(np.abs(ratios - typical)) > _WIDEST_SCATTER:
        return None
    return float(np.exp(typical))


def describe_motion(motions: Motions, unit: float | None) -> MotionSpec:
    """Typical motion and errors, against truth where there is any.

    Without truth the error is that of two motions in a row against the one that spans both: less
    than the true error, since what is wrong with both alike does not show. What is typical is
    always of one interval.

    Args:
        motions: of frames that were not trained on, if possible.
        unit: metres in one unit of the network; None: the model is up to scale, and what it says
            is compared with truth in its own unit, as far as that can be told.
    """
    known, told = motions.known, 1.0 if unit is None else unit
    estimate, reference = scaled(motions.direct, told), scaled(motions.composed, told)
    # The two span both intervals: what is typical of one is another matter.
    of_interval = scaled(motions.predicted, told)
    if unit is None:
        ratios = _log_ratios(Ways.of(motions))
        metres = float(np.exp(np.median(ratios))) if len(ratios) else None
    else:
        metres = unit
    if known.any() and metres is not None:
        estimate = scaled(motions.predicted[known], told)
        reference = of_interval = scaled(motions.true[known], told / metres)
    error = np.linalg.inv(reference) @ estimate
    lengths = _lengths(reference)
    length = np.maximum(lengths, _LONG_ENOUGH * max(_root_mean_square(lengths), _SMALLEST))
    difference = np.linalg.norm(estimate[:, :3, 3] - reference[:, :3, 3], axis=1)
    return MotionSpec(
        interval_s=float(np.median(motions.interval_s)),
        translation=max(_root_mean_square(_lengths(of_interval)), _SMALLEST),
        rotation_rad=max(_root_mean_square(_angles(of_interval)), _SMALLEST),
        sigma_translation=max(_root_mean_square(difference / length), _SMALLEST),
        sigma_rotation_rad=max(_root_mean_square(_angles(error)), _SMALLEST),
    )


def _log_ratios(ways: Ways) -> np.ndarray:
    """Logarithms of true to predicted ways, of those long enough to tell; maybe none."""
    true, predicted = ways.true[ways.known], ways.predicted[ways.known]
    if len(true) == 0:
        return true
    moving = (true > _LONG_ENOUGH * np.median(true)) & (true > _SMALLEST) & (predicted > _SMALLEST)
    return np.log(true[moving] / predicted[moving])


def scaled(transforms: np.ndarray, unit: float) -> np.ndarray:
    """Rigid transforms [n,4,4] with their translations multiplied."""
    result = transforms.copy()
    result[:, :3, 3] *= unit
    return result


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _lengths(transforms: np.ndarray) -> np.ndarray:
    return np.linalg.norm(transforms[:, :3, 3], axis=1)


def _angles(transforms: np.ndarray) -> np.ndarray:
    """Rotation angles, accurate near zero too [rad]."""
    r = transforms[:, :3, :3]
    axis = np.stack([r[:, 2, 1] - r[:, 1, 2], r[:, 0, 2] - r[:, 2, 0], r[:, 1, 0] - r[:, 0, 1]])
    return np.arctan2(np.linalg.norm(axis, axis=0), np.trace(r, axis1=1, axis2=2) - 1)
