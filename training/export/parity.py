"""Compares the graphs of a model folder with the answers of torch that lie beside them."""

from contextlib import closing
from pathlib import Path

from depth_ros.backends import BackendKind, BackendOptions, Device, open_backend
from depth_ros.backends.parity import ParityCase, depth_case, motion_case
from depth_ros.errors import ModelError
from depth_ros.model_folder.model import Model


def check_parity(model: Model) -> tuple[float, float | None]:
    """Relative differences (depth, motion) between the graphs and samples.npz.

    What is measured is told in depth_ros.backends.agreement.

    Raises:
        ModelError: one is above the spec's tolerance, or the folder has no samples.
    """
    of_depth = _checked(model.depth_path, depth_case(model))
    if model.pose_path is None:
        return of_depth, None
    return of_depth, _checked(model.pose_path, motion_case(model))


def refuse_above(difference: float, tolerance: float, what: str) -> None:
    """Raise ModelError where a relative difference is above the tolerance, or no number."""
    if not difference <= tolerance:
        raise ModelError(f'{what} {difference:.2e} (relative); allowed: {tolerance:.0e}')


def _checked(path: Path, case: ParityCase) -> float:
    if case.expected is None:
        raise ModelError(f'{path.parent} has no samples to compare {path.name} with')
    options = BackendOptions(BackendKind.ONNXRUNTIME, Device.CPU)
    with closing(open_backend(path, options)) as backend:
        difference = case.difference(case.answers(backend), case.expected)
    refuse_above(difference, case.tolerance, f'{path.name} differs from torch by')
    return difference
