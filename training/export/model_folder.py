"""Networks to a model folder: graphs whose input is a camera's bytes and whose output is metres.

The folder is that of depth_ros.model_folder.model. Everything between is inside the graphs, so
that every runtime computes the same; what they compute is compared with torch before the folder
appears.
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

from depth_ros.backends.parity import ACCEPTED
from depth_ros.errors import ModelError
from depth_ros.model_folder.model import (
    DEPTH_FILE,
    POSE_FILE,
    SAMPLES_FILE,
    Model,
    write_checksums,
)
from depth_ros.model_folder.spec import METADATA_KEY, ModelSpec, Precision
from training.export.graphs import Graph, ready_to_export, to_onnx
from training.export.half_precision import to_half_precision
from training.export.onnx_files import MAX_FILE_BYTES, load_structure, save_graph
from training.export.parity import check_parity
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
    depth_graph: Graph,
    pose_graph: Graph | None,
    spec: ModelSpec,
    samples: SampleFrames,
    out_folder: Path,
    max_file_bytes: int = MAX_FILE_BYTES,
) -> ExportReport:
    """Writes the model folder `out_folder`, replacing an earlier model there.

    The graphs are those of training.export.graphs. Precision, sizes and tolerance are taken from
    the spec; fp16 is mixed precision. A graph of more than max_file_bytes has its weights in a
    file beside it.

    Raises ModelError when the samples do not fit the spec or the graphs, when a graph differs
    from torch by more than the spec's tolerance, or when out_folder holds something else than a
    model.

    The last sample of a graph that tells the field of view asks for depth by that.
    """
    _check(spec, samples, depth_graph, pose_graph)
    if 'fov_deg' in depth_graph.outputs:
        samples = samples.with_unknown_focal()
    answers = _torch_answers(depth_graph, samples)
    if pose_graph is not None:
        answers |= _torch_answers(pose_graph, samples)
    with replacing_folder(out_folder) as folder, _folder_beside(folder) as aside:
        for graph, name in ((depth_graph, DEPTH_FILE), (pose_graph, POSE_FILE)):
            if graph is not None:
                model = to_onnx(graph, spec, aside)
                _write(model, aside, spec, folder / name, max_file_bytes)
        np.savez_compressed(folder / SAMPLES_FILE, **answers)
        return _verified(folder, out_folder)


def convert_to_half(
    model: Model, out_folder: Path, max_file_bytes: int = MAX_FILE_BYTES
) -> ExportReport:
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
        graphs = shutil.ignore_patterns('*.onnx', '*.onnx.data')
        shutil.copytree(model.path, folder, ignore=graphs, dirs_exist_ok=True)
        for path in (model.depth_path, model.pose_path):
            if path is not None:
                graph = load_structure(path)
                _write(graph, model.path, spec, folder / path.name, max_file_bytes)
        return _verified(folder, out_folder)


def _verified(folder: Path, out_folder: Path) -> ExportReport:
    write_checksums(folder)
    depth_difference, motion_difference = check_parity(Model.load(folder))
    size = sum(path.stat().st_size for path in folder.glob('*.onnx*'))
    return ExportReport(out_folder, depth_difference, motion_difference, size)


@torch.no_grad()
def _torch_answers(graph: Graph, samples: SampleFrames) -> dict[str, np.ndarray]:
    """The samples that a graph takes, and what it answers to them."""
    inputs = samples.of(graph.inputs)
    with ready_to_export(graph):
        answer = graph(*(torch.from_numpy(array) for array in inputs.values()))
    answers = (answer,) if len(graph.outputs) == 1 else answer
    return inputs | {name: one.numpy() for name, one in zip(graph.outputs, answers)}


@contextmanager
def _folder_beside(folder: Path) -> Iterator[Path]:
    """Takes large weights on their way."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        yield Path(name)


def _write(
    model: onnx.ModelProto, weights: Path, spec: ModelSpec, path: Path, max_file_bytes: int
) -> None:
    """Write a graph whose large weights may lie in the folder `weights`."""
    if spec.precision is Precision.FP16:
        model = to_half_precision(model, weights)
    if path.name == DEPTH_FILE:
        onnx.helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    save_graph(model, path, weights, max_file_bytes)


def _check(
    spec: ModelSpec, samples: SampleFrames, depth_graph: Graph, pose_graph: Graph | None
) -> None:
    if spec.precision not in ACCEPTED:
        allowed = ', '.join(precision.value for precision in ACCEPTED)
        raise ModelError(f'cannot export {spec.precision.value}; allowed: {allowed}')
    if (pose_graph is None) != (spec.motion is None):
        raise ModelError('a spec has a motion exactly where the model has a pose network')
    for image in (samples.image, samples.previous, samples.current):
        expected = (spec.height, spec.width, 3)
        if image.dtype != np.uint8 or image.shape[1:] != expected or len(image) == 0:
            raise ModelError(
                f'samples are {image.dtype} {image.shape}; need uint8 [n > 0, {expected}]'
            )
    if len(samples.previous) != len(samples.current):
        raise ModelError('samples have different numbers of previous and current frames')
    if 'intrinsics' in depth_graph.inputs:
        found = samples.intrinsics
        if found is None or found.dtype != np.float32 or found.shape != (len(samples.image), 4):
            told = 'missing' if found is None else f'{found.dtype} {found.shape}'
            raise ModelError(f'intrinsics of the samples are {told}; need float32 [n, 4]')


def check_replaceable(out_folder: Path) -> None:
    """Raise ModelError when out_folder is a file, or a folder that holds no model."""
    replaceable = (out_folder / DEPTH_FILE).is_file() or (
        out_folder.is_dir() and not any(out_folder.iterdir())
    )
    if out_folder.exists() and not replaceable:
        raise ModelError(f'{out_folder} exists and is no model folder; not replaced')


@contextmanager
def replacing_folder(out_folder: Path) -> Iterator[Path]:
    """A fresh folder beside `out_folder` that takes its place on success, else disappears.

    Raises ModelError when out_folder is a file, or a folder that holds no model.
    """
    check_replaceable(out_folder)
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
