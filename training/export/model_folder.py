"""Networks to a model folder: graphs whose input is a camera's bytes and whose output is metres.

The folder is that of depth_ros.model. Everything between is inside the graphs, so that every
runtime computes the same; what they compute is compared with torch before the folder appears.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from depth_ros.errors import ModelError
from depth_ros.model import (
    DEPTH_FILE,
    METADATA_KEY,
    POSE_FILE,
    SAMPLES_FILE,
    Model,
    ModelSpec,
    Precision,
    write_checksums,
)
from depth_ros.parity import ACCEPTED
from training.export.graphs import DepthGraph, PoseGraph, ready_to_export, to_onnx
from training.export.half_precision import to_half_precision
from training.export.parity import check_parity
from training.networks.depth_net import SCALES, DepthNet
from training.networks.pose_net import PoseNet
from training.samples import SampleFrames


@dataclass(frozen=True)
class ExportReport:
    """What was written, and the largest relative differences from torch on the samples."""

    path: Path
    depth_difference: float
    motion_difference: float | None
    size_bytes: int

    def summary(self) -> str:
        """One line for people."""
        motion = (
            ''
            if self.motion_difference is None
            else f', of motion {self.motion_difference:.1e}'
        )
        return (
            f'{self.path}: {self.size_bytes / 1e6:.1f} MB; largest relative difference from '
            f'torch: of depth {self.depth_difference:.1e}{motion}'
        )


def export_model(
    depth_net: DepthNet,
    pose_net: PoseNet | None,
    spec: ModelSpec,
    samples: SampleFrames,
    out_folder: Path,
    unit: float = 1.0,
) -> ExportReport:
    """Writes the model folder `out_folder`, replacing an earlier model there.

    The depth range of the spec is the network's multiplied by unit, the number of spec units
    that one unit of the networks is (36 where a network's 0.1 .. 100 means 3.6 .. 3600 m).
    Precision, sizes and tolerance are taken from the spec; fp16 is mixed precision.

    Raises ModelError when the samples do not fit the spec, when a graph differs from torch by
    more than the spec's tolerance, or when out_folder holds something else than a model.
    """
    _check(spec, samples, pose_net)
    finest = _decoder_level(spec, depth_net.finest_stride)
    depth_graph = DepthGraph(depth_net, spec.min_depth, spec.max_depth, finest)
    pose_graph = PoseGraph(pose_net, unit) if pose_net is not None else None
    answers = _torch_answers(depth_graph, pose_graph, samples)
    with replacing_folder(out_folder) as folder:
        depth_model = to_onnx(depth_graph, ['image'], 'depth', spec)
        onnx.helper.set_model_props(depth_model, {METADATA_KEY: spec.to_json()})
        _save(depth_model, spec.precision, folder / DEPTH_FILE)
        if pose_graph is not None:
            pose_model = to_onnx(pose_graph, ['previous', 'current'], 'motion', spec)
            _save(pose_model, spec.precision, folder / POSE_FILE)
        np.savez_compressed(folder / SAMPLES_FILE, **answers)
        return _verified(folder, out_folder)


def convert_to_half(model: Model, out_folder: Path) -> ExportReport:
    """Writes a mixed-precision copy of a single-precision model, compared with its samples.

    Everything else in the folder is copied. Raises ModelError for a model that is not fp32 or
    has no samples, and as export_model does.
    """
    if model.spec.precision is not Precision.FP32:
        raise ModelError(f'{model.path} is {model.spec.precision.value}; need an fp32 model')
    if not model.samples():
        raise ModelError(f'{model.path} has no {SAMPLES_FILE} to check the result with')
    tolerance = max(ACCEPTED[Precision.FP16], model.spec.tolerance)
    spec = replace(model.spec, precision=Precision.FP16, tolerance=tolerance)
    with replacing_folder(out_folder) as folder:
        shutil.copytree(model.path, folder, dirs_exist_ok=True)
        depth_model = onnx.load(model.depth_path)
        onnx.helper.set_model_props(depth_model, {METADATA_KEY: spec.to_json()})
        _save(depth_model, spec.precision, folder / DEPTH_FILE)
        if model.pose_path is not None:
            _save(onnx.load(model.pose_path), spec.precision, folder / POSE_FILE)
        return _verified(folder, out_folder)


def _verified(folder: Path, out_folder: Path) -> ExportReport:
    write_checksums(folder)
    depth_difference, motion_difference = check_parity(Model.load(folder))
    size = sum(path.stat().st_size for path in folder.glob('*.onnx'))
    return ExportReport(out_folder, depth_difference, motion_difference, size)


def _torch_answers(
    depth_graph: DepthGraph, pose_graph: PoseGraph | None, samples: SampleFrames
) -> dict[str, np.ndarray]:
    answers = {'image': samples.image, 'depth': _answer(depth_graph, samples.image)}
    if pose_graph is not None:
        answers |= {
            'previous': samples.previous,
            'current': samples.current,
            'motion': _answer(pose_graph, samples.previous, samples.current),
        }
    return answers


@torch.no_grad()
def _answer(graph: nn.Module, *images: np.ndarray) -> np.ndarray:
    with ready_to_export(graph):
        return graph(*(torch.from_numpy(image) for image in images)).numpy()


def _save(model: onnx.ModelProto, precision: Precision, path: Path) -> None:
    if precision is Precision.FP16:
        model = to_half_precision(model)
    try:
        onnx.save(model, path)
    except OSError as error:
        raise ModelError(f'cannot write {path}: {error.strerror}') from error


def _check(spec: ModelSpec, samples: SampleFrames, pose_net: PoseNet | None) -> None:
    if spec.precision not in ACCEPTED:
        allowed = ', '.join(precision.value for precision in ACCEPTED)
        raise ModelError(f'cannot export {spec.precision.value}; allowed: {allowed}')
    if (pose_net is None) != (spec.motion is None):
        raise ModelError('a spec has a motion exactly where the model has a pose network')
    for image in (samples.image, samples.previous, samples.current):
        expected = (spec.height, spec.width, 3)
        if image.dtype != np.uint8 or image.shape[1:] != expected or len(image) == 0:
            raise ModelError(
                f'samples are {image.dtype} {image.shape}; need uint8 [n > 0, {expected}]'
            )
    if len(samples.previous) != len(samples.current):
        raise ModelError('samples have different numbers of previous and current frames')


def _decoder_level(spec: ModelSpec, finest_stride: int) -> int:
    for level in range(SCALES):
        stride = finest_stride << level
        if (spec.depth_width * stride, spec.depth_height * stride) == (spec.width, spec.height):
            return level
    strides = ', '.join(f'1/{finest_stride << level}' for level in range(SCALES))
    raise ModelError(
        f'depth of {spec.depth_width}x{spec.depth_height} from {spec.width}x{spec.height}; '
        f'the decoder answers at {strides} of the size'
    )


@contextmanager
def replacing_folder(out_folder: Path) -> Iterator[Path]:
    """A fresh folder beside `out_folder` that takes its place on success, else disappears.

    Raises ModelError when out_folder is a file, or a folder that holds no model.
    """
    replaceable = (out_folder / DEPTH_FILE).is_file() or (
        out_folder.is_dir() and not any(out_folder.iterdir())
    )
    if out_folder.exists() and not replaceable:
        raise ModelError(f'{out_folder} exists and is no model folder; not replaced')
    try:
        out_folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f'.{out_folder.name}.', dir=out_folder.parent))
    except OSError as error:
        raise ModelError(f'cannot write beside {out_folder}: {error.strerror}') from error
    try:
        fresh = aside / 'fresh'
        fresh.mkdir()
        yield fresh
        if out_folder.exists():
            out_folder.rename(aside / 'old')
        fresh.rename(out_folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
