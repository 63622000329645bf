"""Compares the graphs of a model folder with the answers of torch that lie beside them."""

from pathlib import Path

import numpy as np

from depth_ros.backends import BackendKind, BackendOptions, Device, open_backend
from depth_ros.errors import ModelError
from depth_ros.model import Model, MotionSpec


def check_parity(model: Model) -> tuple[float, float | None]:
    """Largest relative differences (depth, motion) between the graphs and samples.npz.

    Depth per pixel; rotation and translation relative to their length, or to the typical one of
    the spec where they are shorter. Raises ModelError above the spec's tolerance.
    """
    samples, spec = model.samples(), model.spec
    depth = _run(model.depth_path, {'image': samples['image']}, 'depth')
    depth_difference = float(np.max(np.abs(depth / samples['depth'] - 1.0)))
    _refuse_above(depth_difference, spec.tolerance, model.depth_path)
    if model.pose_path is None or spec.motion is None:
        return depth_difference, None
    pair = {'previous': samples['previous'], 'current': samples['current']}
    motion = _run(model.pose_path, pair, 'motion')
    motion_difference = _motion_difference(motion, samples['motion'], spec.motion)
    _refuse_above(motion_difference, spec.tolerance, model.pose_path)
    return depth_difference, motion_difference


def _motion_difference(motion: np.ndarray, expected: np.ndarray, typical: MotionSpec) -> float:
    worst = 0.0
    for part, shortest in (
        (slice(0, 3), typical.rotation_rad),
        (slice(3, 6), typical.translation),
    ):
        error = np.linalg.norm(motion[:, part] - expected[:, part], axis=1)
        length = np.maximum(np.linalg.norm(expected[:, part], axis=1), shortest)
        worst = max(worst, float(np.max(error / length)))
    return worst


def _refuse_above(difference: float, tolerance: float, path: Path) -> None:
    # Written so that NaN is refused.
    if not difference <= tolerance:
        raise ModelError(
            f'{path.name} differs from torch by {difference:.2e} (relative, at worst); '
            f'allowed: {tolerance:.0e}'
        )


def _run(path: Path, inputs: dict[str, np.ndarray], output: str) -> np.ndarray:
    backend = open_backend(path, BackendOptions(BackendKind.ONNXRUNTIME, Device.CPU))
    try:
        return backend.run(inputs)[output]
    finally:
        backend.close()
