"""An 8-bit copy of a model, calibrated on frames of a bag and judged by later ones."""

from __future__ import annotations

import shutil
import time
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx

from depth_ros.backends import Backend, BackendKind, BackendOptions, Device, open_backend
from depth_ros.backends.agreement import depth_difference, motion_difference
from depth_ros.cameras.rectifier import RectifyMode
from depth_ros.errors import BagError, ModelError
from depth_ros.evaluation.evaluate import EvaluationRequest, evaluate
from depth_ros.model_folder.model import (
    DEPTH_FILE,
    POSE_FILE,
    SAMPLES_FILE,
    Model,
    write_checksums,
)
from depth_ros.model_folder.spec import METADATA_KEY, ModelSpec, Precision
from depth_ros.pipeline import DepthPipeline
from training.config import BagSource
from training.data.cache import default_cache_root
from training.export.model_folder import replacing_folder
from training.export.onnx_files import refuse_large
from training.export.parity import check_parity, refuse_above
from training.int8.calibration import (
    CalibrationFrames,
    GraphInputs,
    Inputs,
    read_calibration_frames,
)
from training.int8.graph import to_int8
from training.progress import Progress

# Mean relative difference of depth and of motion; lite0 calibrated on the kitchen has 0.012 and
# 0.002 on frames held out.
INT8_TOLERANCE = 0.05
_TIMED_RUNS = 20



@dataclass(frozen=True)
class Accuracy:
    """AbsRel against the truth of the bag, with the median scale of each image and without."""

    scaled: float
    unscaled: float | None


@dataclass(frozen=True)
class Int8Report:
    """What eight bits cost and bring, on frames that were not calibrated on."""

    path: Path
    judged_frames: int
    depth_difference: float
    """Mean relative difference from the single-precision model's depth."""
    motion_difference: float | None
    accuracy: tuple[Accuracy, Accuracy] | None
    """Of the single-precision model and of this one; None where the bag has no depth truth."""
    size_bytes: tuple[int, int]
    """Of the graphs of both."""
    milliseconds: tuple[float, float]
    """Of a frame's depth on this machine's CPU, both measured in turns."""

    def summary(self) -> str:
        """A few lines for people."""
        before, after = self.milliseconds
        lines = [
            f'{self.path}: int8, {self.size_bytes[1] / 1e6:.1f} MB of '
            f'{self.size_bytes[0] / 1e6:.1f} MB',
            f'on {self.judged_frames} frames kept from calibration, mean relative difference '
            f'from fp32: of depth {self.depth_difference:.4f}'
            + (f', of motion {self.motion_difference:.4f}' if self.motion_difference else ''),
            f'CPU time of a frame: {after / before:.2f} of that of fp32 '
            f'({after:.1f} and {before:.1f} ms)',
        ]
        if self.accuracy is not None:
            single, eight = self.accuracy
            lines.append(f'AbsRel, median-scaled: fp32 {single.scaled:.4f}, '
                         f'int8 {eight.scaled:.4f}')
            if single.unscaled is not None and eight.unscaled is not None:
                lines.append(f'AbsRel, not scaled: fp32 {single.unscaled:.4f}, '
                             f'int8 {eight.unscaled:.4f}')
        return '\n'.join(lines)


def convert_to_int8(
    model: Model,
    source: BagSource,
    rectify: RectifyMode,
    out_folder: Path,
    progress: Progress,
    tolerance: float = INT8_TOLERANCE,
) -> Int8Report:
    """Writes an 8-bit copy of a single-precision model; everything else in the folder is copied.

    Raises:
        ModelError: the model is not fp32 or has no samples, a graph is above 2 GB or cannot be
            quantised, or one differs from its single-precision form by more than the tolerance,
            on the held-out frames of the bag or on the samples; out_folder holds something else
            than a model.
        BagError, CameraError: as read_calibration_frames.
    """
    if model.spec.precision is not Precision.FP32:
        raise ModelError(f'{model.path} is {model.spec.precision.value}; need an fp32 model')
    if not model.samples():
        raise ModelError(f'{model.path} has no {SAMPLES_FILE} to check the result with')
    for path in (model.depth_path, model.pose_path):
        if path is not None:
            refuse_large(path, 'int8')
    frames = read_calibration_frames(model.spec, source, rectify, default_cache_root(), progress)
    with replacing_folder(out_folder) as folder:
        # The 8-bit graphs hold their weights: a file of the single ones is theirs no more.
        graphs = shutil.ignore_patterns('*.onnx', '*.onnx.data')
        shutil.copytree(model.path, folder, ignore=graphs, dirs_exist_ok=True)
        progress(f'calibrating on {len(frames.calibrated.depth)} frames of {source.path} '
                 f'and the samples of the model')
        spec = _spec(model.spec, source, len(frames.calibrated.depth), tolerance)
        _write_graphs(model, spec, frames, folder)
        write_checksums(folder)
        eight = Model.load(folder)
        report = _judge(model, eight, frames, source, rectify)
        what = f'{DEPTH_FILE} differs from fp32 on {report.judged_frames} frames by'
        refuse_above(report.depth_difference, tolerance, what)
        if report.motion_difference is not None:
            what = what.replace(DEPTH_FILE, POSE_FILE)
            refuse_above(report.motion_difference, tolerance, what)
        check_parity(eight)
    return replace(report, path=out_folder)


def _spec(spec: ModelSpec, source: BagSource, frames: int, tolerance: float) -> ModelSpec:
    made = f'{spec.training_run}; int8 calibrated on {frames} frames of {source.path.stem}'
    return replace(spec, precision=Precision.INT8, tolerance=tolerance, training_run=made)


def _write_graphs(model: Model, spec: ModelSpec, frames: CalibrationFrames, folder: Path) -> None:
    samples = _sample_inputs(model)
    depth = to_int8(onnx.load(model.depth_path), frames.calibrated.depth + samples.depth)
    onnx.helper.set_model_props(depth, {METADATA_KEY: spec.to_json()})
    graphs = {DEPTH_FILE: depth}
    if model.pose_path is not None:
        runs = frames.calibrated.pose + samples.pose
        graphs[POSE_FILE] = to_int8(onnx.load(model.pose_path), runs)
    for name, graph in graphs.items():
        try:
            onnx.save(graph, folder / name)
        except OSError as error:
            raise ModelError(f'cannot write {folder / name}: {error.strerror}') from error


def _sample_inputs(model: Model) -> GraphInputs:
    """The frames that every robot compares the graphs with, of other places than the bag's.

    Ranges that leave them out cut their answers off, and a good model is refused.
    """
    samples = model.samples()

    def runs(*names: str) -> tuple[Inputs, ...]:
        arrays = {name: samples[name] for name in names if name in samples}
        count = min((len(array) for array in arrays.values()), default=0)
        return tuple({name: array[i : i + 1] for name, array in arrays.items()}
                     for i in range(count))

    return GraphInputs(runs('image', 'intrinsics'), runs('previous', 'current'))


def _judge(
    single: Model, eight: Model, frames: CalibrationFrames, source: BagSource, rectify: RectifyMode
) -> Int8Report:
    judged, spec = frames.judged, eight.spec
    answers = [_answers(model.depth_path, judged.depth, 'depth') for model in (single, eight)]
    of_motion = None
    if single.pose_path is not None and eight.pose_path is not None and spec.motion is not None:
        motions = [_answers(path, judged.pose, 'motion')
                   for path in (single.pose_path, eight.pose_path)]  # fmt: skip
        of_motion = motion_difference(motions[1], motions[0], spec.motion, spec.precision)
    return Int8Report(
        path=eight.path,
        judged_frames=len(judged.depth),
        depth_difference=depth_difference(answers[1], answers[0], spec.precision),
        motion_difference=of_motion,
        accuracy=_accuracies(single, eight, frames, source, rectify),
        size_bytes=(_size(single), _size(eight)),
        milliseconds=_times_ms(single.depth_path, eight.depth_path, judged.depth[0]),
    )


def _accuracies(
    single: Model, eight: Model, frames: CalibrationFrames, source: BagSource, rectify: RectifyMode
) -> tuple[Accuracy, Accuracy] | None:
    """Both models through the robot's pipeline; None where the bag has no depth truth."""
    request = EvaluationRequest(
        bag=source.path,
        selection=frames.judged_selection,
        rectify=rectify,
        image_topic=source.image_topic,
        camera_info_topic=source.camera_info_topic,
        depth_topic=source.depth_topic,
        odometry_topic=source.odometry_topic,
        samples=0,
    )
    found = []
    for model in (single, eight):
        with closing(DepthPipeline.open(model, BackendOptions(device=Device.CPU))) as pipeline:
            try:
                evaluation = evaluate(request, pipeline, lambda _: None)
            except BagError:  # a bag without any truth is good to calibrate on
                return None
        scores = next((score for score in evaluation.depth if score.name == 'model'), None)
        if scores is None:
            return None
        unscaled = scores.unscaled.abs_rel if scores.unscaled is not None else None
        found.append(Accuracy(scores.median_scaled.abs_rel, unscaled))
    return found[0], found[1]


def _open(path: Path) -> Backend:
    return open_backend(path, BackendOptions(BackendKind.ONNXRUNTIME, Device.CPU))


def _answers(path: Path, inputs: tuple[Inputs, ...], output: str) -> np.ndarray:
    with closing(_open(path)) as backend:
        own = backend.input_names
        runs = (backend.run({name: run[name] for name in own}) for run in inputs)
        return np.concatenate([answers[output] for answers in runs])


def _times_ms(first: Path, second: Path, inputs: Inputs) -> tuple[float, float]:
    """Median milliseconds of a run of each, taken in turns so that both meet the same machine."""
    with closing(_open(first)) as one, closing(_open(second)) as other:
        taken: tuple[list[float], list[float]] = ([], [])
        for _ in range(_TIMED_RUNS):
            for backend, times in zip((one, other), taken):
                own = {name: inputs[name] for name in backend.input_names}
                started = time.perf_counter()
                backend.run(own)
                times.append(1e3 * (time.perf_counter() - started))
    return float(np.median(taken[0])), float(np.median(taken[1]))


def _size(model: Model) -> int:
    return sum(path.stat().st_size for path in model.path.glob('*.onnx*'))
