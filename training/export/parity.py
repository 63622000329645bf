"""Compares the graphs of a model folder with the answers of torch that lie beside them."""

from pathlib import Path

import numpy as np

from depth_ros.agreement import depth_difference, motion_difference
from depth_ros.backends import BackendKind, BackendOptions, Device, open_backend
from depth_ros.errors import ModelError
from depth_ros.model import Model


def check_parity(model: Model) -> tuple[float, float | None]:
    """Relative differences (depth, motion) between the graphs and samples.npz.

    What is measured is told in depth_ros.agreement. Raises ModelError above the spec's tolerance.
    """
    samples, spec = model.samples(), model.spec
    depth = _run(model.depth_path, {'image': samples['image']}, 'depth')
    of_depth = depth_difference(depth, samples['depth'], spec.precision)
    refuse_above(of_depth, spec.tolerance, f'{model.depth_path.name} differs from torch by')
    if model.pose_path is None or spec.motion is None:
        return of_depth, None
    pair = {'previous': samples['previous'], 'current': samples['current']}
    motion = _run(model.pose_path, pair, 'motion')
    of_motion = motion_difference(motion, samples['motion'], spec.motion, spec.precision)
    refuse_above(of_motion, spec.tolerance, f'{model.pose_path.name} differs from torch by')
    return of_depth, of_motion


def refuse_above(difference: float, tolerance: float, what: str) -> None:
    """Raise ModelError where a relative difference is above the tolerance, or no number."""
    if not difference <= tolerance:
        raise ModelError(f'{what} {difference:.2e} (relative); allowed: {tolerance:.0e}')


def _run(path: Path, inputs: dict[str, np.ndarray], output: str) -> np.ndarray:
    backend = open_backend(path, BackendOptions(BackendKind.ONNXRUNTIME, Device.CPU))
    try:
        return backend.run(inputs)[output]
    finally:
        backend.close()
