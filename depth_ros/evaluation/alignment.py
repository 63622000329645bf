"""Bringing a predicted camera path onto the true one before their difference is measured.

Source: Umeyama, "Least-squares estimation of transformation parameters between two point
patterns", PAMI 1991. Positions are [N, 3] in metres, poses `world_T_cam` [N, 4, 4].
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np


class Alignment(enum.Enum):
    """What may differ between the two worlds. Name it wherever a figure stands."""

    NONE = 'none'
    """The first poses are made to coincide; nothing is fitted."""
    SE3 = 'SE(3)'
    """Best rotation and translation: for metric models."""
    SIM3 = 'Sim(3)'
    """Best rotation, translation and scale: for models without a scale."""
    SCALE = 'scale'
    """The first poses coincide, then the best scale about the first position."""


@dataclass(frozen=True)
class Similarity:
    """The map x -> scale * rotation @ x + translation from predicted to true world."""

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    def apply(self, positions: np.ndarray) -> np.ndarray:
        """Map positions [N, 3]."""
        return self.scale * positions @ self.rotation.T + self.translation

    def apply_to_poses(self, world_T_cam: np.ndarray) -> np.ndarray:
        """Map poses [N, 4, 4]: positions by the similarity, orientations by its rotation."""
        poses = world_T_cam.copy()
        poses[:, :3, :3] = self.rotation @ world_T_cam[:, :3, :3]
        poses[:, :3, 3] = self.apply(world_T_cam[:, :3, 3])
        return poses


def align(predicted_world_T_cam: np.ndarray, true_world_T_cam: np.ndarray,
          alignment: Alignment) -> Similarity:
    """Return the similarity that brings the predicted poses [N, 4, 4] onto the true ones.

    A prediction that never moves has no scale: 1 is returned for it.
    """
    if len(predicted_world_T_cam) != len(true_world_T_cam) or len(true_world_T_cam) == 0:
        raise ValueError(f'{len(predicted_world_T_cam)} predicted and {len(true_world_T_cam)} '
                         'true poses: need as many of both, and at least one')
    predicted = predicted_world_T_cam[:, :3, 3]
    true = true_world_T_cam[:, :3, 3]
    if alignment in (Alignment.SE3, Alignment.SIM3):
        return umeyama(predicted, true, with_scale=alignment is Alignment.SIM3)
    rotation = true_world_T_cam[0, :3, :3] @ predicted_world_T_cam[0, :3, :3].T
    scale = 1.0
    if alignment is Alignment.SCALE:
        scale = scale_about_first(predicted @ rotation.T, true)
    return Similarity(scale, rotation, true[0] - scale * rotation @ predicted[0])


def umeyama(predicted: np.ndarray, true: np.ndarray, *, with_scale: bool) -> Similarity:
    """Return the least-squares similarity from points [N, 3] to points [N, 3]; det R is +1."""
    predicted_mean, true_mean = predicted.mean(axis=0), true.mean(axis=0)
    centred, true_centred = predicted - predicted_mean, true - true_mean
    U, D, Vt = np.linalg.svd(true_centred.T @ centred / len(true))
    mirror = np.array([1.0, 1.0, np.sign(np.linalg.det(U) * np.linalg.det(Vt))])
    rotation = (U * mirror) @ Vt
    variance = float(np.mean(np.sum(centred ** 2, axis=1)))
    scale = float(D @ mirror) / variance if with_scale and variance > 0.0 else 1.0
    return Similarity(scale, rotation, true_mean - scale * rotation @ predicted_mean)


def scale_about_first(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return c = sum(x.y)/sum(x.x) of positions [N, 3] relative to their first; 1 if x is 0."""
    x, y = predicted - predicted[0], true - true[0]
    square = float(np.sum(x * x))
    return float(np.sum(x * y)) / square if square > 0.0 else 1.0
