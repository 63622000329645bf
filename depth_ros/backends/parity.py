"""Frames for one graph of a model, and how far two answers to them are apart.

Export compares a graph with torch by them, `depth_ros doctor` the runtime in use, and every graph
that a runtime compiled for itself is compared with ONNX Runtime before it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from depth_ros.backends.agreement import depth_difference, motion_difference
from depth_ros.backends.backend import Backend
from depth_ros.backends.options import BackendOptions, Device
from depth_ros.backends.ort import OrtBackend
from depth_ros.errors import BackendError, ModelError
from depth_ros.model_folder.model import Model
from depth_ros.model_folder.spec import MotionSpec, Precision

ACCEPTED = {Precision.FP32: 1e-3, Precision.FP16: 3e-2}
"""Largest relative difference from training that export accepts.

Half precision rounds every activation to one part in 2000; the worst pixel of a depth network
with some twenty layers shows a few per cent, the median one a few per mille.
"""
BF16_ACCEPTED = 0.25
"""The same of bfloat16, which keeps an eighth of half precision's digits."""
MARGIN = 2.0
"""Times what export accepted: another processor rounds differently, a wrong runtime is far off."""
_FRAMES = 3


@dataclass(frozen=True)
class ParityCase:
    """What one graph is asked, and how its answers are compared."""

    inputs: dict[str, np.ndarray]
    """[n,...] by the names of the graph's inputs, and perhaps of others."""
    output: str
    precision: Precision
    tolerance: float
    """Relative difference that is allowed, see depth_ros.backends.agreement."""
    typical: MotionSpec | None
    """Of a pose network; None: the output is depth."""
    expected: np.ndarray | None
    """The training framework's answers; None where the model came without."""

    def __len__(self) -> int:
        """Frames, or pairs of them."""
        return len(next(iter(self.inputs.values())))

    def asked(self, index: int, names: Sequence[str]) -> dict[str, np.ndarray]:
        """The inputs of one run with one frame, of a graph whose inputs have these names."""
        return {
            name: np.ascontiguousarray(array[index : index + 1])
            for name, array in self.inputs.items()
            if name in names
        }

    def answers(self, backend: Backend) -> np.ndarray:
        """What a runtime answers to all of them, run one by one.

        Raises:
            BackendError: the runtime failed.
        """
        names = backend.input_names
        runs = (backend.run(self.asked(i, names))[self.output] for i in range(len(self)))
        return np.concatenate([answer.copy() for answer in runs])

    def difference(self, answers: np.ndarray, expected: np.ndarray) -> float:
        """How far answers are from the expected ones; NaN where they are no numbers."""
        if self.typical is None:
            return depth_difference(answers, expected, self.precision)
        return motion_difference(answers, expected, self.typical, self.precision)


class WrongAnswersError(BackendError):
    """A runtime that loads and runs a graph, and computes something else than it says."""


def verify(
    backend: Backend, onnx_path: Path, case: ParityCase, least_tolerance: float = 0.0
) -> tuple[float, float]:
    """Compare a runtime with ONNX Runtime on the CPU.

    Args:
        backend: the runtime with the graph.
        onnx_path: the graph.
        case: the frames.
        least_tolerance: what the runtime's own arithmetic excuses, where that is coarser.

    Returns:
        The relative difference, and what is allowed.

    Raises:
        WrongAnswersError: it is above what is allowed.
        BackendError: one of the two failed.
    """
    allowed = MARGIN * max(case.tolerance, least_tolerance)
    with closing(OrtBackend(onnx_path, BackendOptions(device=Device.CPU))) as reference:
        expected = case.answers(reference)
    difference = case.difference(case.answers(backend), expected)
    if not difference <= allowed:  # NaN too
        raise WrongAnswersError(
            f'{backend.description} computes {onnx_path} wrongly: its {case.output} differs from '
            f'that of ONNX Runtime by {difference:.2g} (relative), allowed: {allowed:.2g}'
        )
    return difference, allowed


def compare_with_training(
    backend: Backend, onnx_path: Path, case: ParityCase, least_tolerance: float = 0.0
) -> None:
    """Compare a runtime with the training framework, where the model came with its answers.

    Args:
        backend: the runtime with the graph.
        onnx_path: the graph.
        case: the frames.
        least_tolerance: see verify.

    Raises:
        WrongAnswersError: the difference is above what is allowed.
        BackendError: the runtime failed.
    """
    if case.expected is None:
        return
    allowed = MARGIN * max(case.tolerance, least_tolerance)
    difference = case.difference(case.answers(backend), case.expected)
    if not difference <= allowed:
        raise WrongAnswersError(
            f'{backend.description} computes {onnx_path} wrongly: its {case.output} differs from '
            f'what training told of the samples by {difference:.2g} (relative), allowed: '
            f'{allowed:.2g}'
        )


def depth_case(model: Model) -> ParityCase:
    """Of depth.onnx.

    Raises:
        ModelError: samples.npz is damaged.
    """
    spec, samples = model.spec, model.samples()
    if 'image' in samples:
        names: tuple[str, ...] = ('image', 'intrinsics')
        inputs = {name: samples[name] for name in names if name in samples}
    else:
        camera = (spec.width, spec.width, (spec.width - 1) / 2, (spec.height - 1) / 2)
        inputs = {
            'image': _textured(spec.width, spec.height),
            'intrinsics': np.tile(np.array(camera, np.float32), (_FRAMES, 1)),
        }
    return ParityCase(
        inputs, 'depth', spec.precision, spec.tolerance, None, samples.get('depth')
    )


def motion_case(model: Model) -> ParityCase:
    """Of pose.onnx.

    Raises:
        ModelError: samples.npz is damaged, or the model has no pose network.
    """
    spec, samples = model.spec, model.samples()
    if spec.motion is None:
        raise ModelError(f'model {spec.name!r} has no pose network')
    if 'previous' in samples:
        inputs = {name: samples[name] for name in ('previous', 'current')}
    else:
        previous = _textured(spec.width, spec.height)
        inputs = {'previous': previous, 'current': np.roll(previous, 2, axis=2)}
    return ParityCase(
        inputs, 'motion', spec.precision, spec.tolerance, spec.motion, samples.get('motion')
    )


def _textured(width: int, height: int) -> np.ndarray:
    """Pictures uint8 [n,H,W,3] of blurred noise, always the same."""
    random = np.random.default_rng(0)
    noise = random.uniform(0, 255, (_FRAMES, height, width, 3)).astype(np.float32)
    pictures = []
    for i, picture in enumerate(noise):
        blurred = np.asarray(cv2.GaussianBlur(picture, (0, 0), 2.0 + 3.0 * i))
        pictures.append(255 * (blurred - blurred.min()) / np.ptp(blurred))
    return np.stack(pictures).astype(np.uint8)
