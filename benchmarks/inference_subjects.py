"""What benchmarks/inference.py times: networks, and everything on a CPU that runs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import ModelProto
from torch import nn

from benchmarks.plain_networks import PlainNetworks
from depth_ros import synthetic
from depth_ros.backends import (
    Backend,
    BackendKind,
    BackendOptions,
    CpuPrecision,
    Device,
    open_backend,
)
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.cameras.rectifier import RectifyMode
from depth_ros.cli.train import find_preset
from depth_ros.errors import BackendError, DepthRosError
from depth_ros.model_folder.model import DEFAULT_MODEL, DEPTH_FILE, POSE_FILE, Model
from depth_ros.model_folder.spec import Fit
from training.config import BagSource
from training.config.presets import load_config
from training.export.graphs import DepthGraph, PoseGraph, to_onnx
from training.geometry import disparity_to_depth, invert_motion
from training.int8.graph import to_int8
from training.int8.quantize import convert_to_int8
from training.networks.build import build_depth_net, build_pose_net
from training.official.monodepth2_files import read_official
from training.weights import read_weights

Inputs = Mapping[str, np.ndarray]
Run = Callable[[Inputs], np.ndarray]

TORCH, PLAIN = 'torch eager fp32', "torch eager fp32, the paper's code"
_FRAMES = 10
_MOTION_STEP = 2
_MIN_DEPTH, _MAX_DEPTH = 0.1, 100.0


@dataclass(frozen=True)
class Accuracy:
    """The bundled model on frames of a bag that it was not calibrated on."""

    bag: str
    frames: int
    runs_on: str
    fp32_abs_rel: float
    int8_abs_rel: float
    """Median-scaled."""
    depth_difference: float
    """Mean relative difference of int8's depth from fp32's."""

    @property
    def loss(self) -> float:
        """By how much of itself AbsRel grows with int8."""
        return self.int8_abs_rel / self.fp32_abs_rel - 1


@dataclass(frozen=True)
class Subject:
    """One row to be: what to time, what it multiplies in, and who it is."""

    name: str
    arithmetic: str
    run: Run
    runs_on: str


@dataclass(frozen=True)
class Network:
    """One network with all that runs it, torch first."""

    name: str
    inputs: Inputs
    multiply_adds: int
    subjects: tuple[Subject, ...]


def count_multiply_adds(model: ModelProto) -> int:
    """Multiply-adds of the convolutions and matrix products for a batch of one.

    Args:
        model: a graph in floats; its dynamic dimensions are taken as 1.

    Raises:
        DepthRosError: the shape of one cannot be inferred.
    """
    fixed = ModelProto()
    fixed.CopyFrom(model)
    for value in (*fixed.graph.input, *fixed.graph.output):
        for size in value.type.tensor_type.shape.dim:
            if not size.HasField('dim_value'):
                size.dim_value = 1
    graph = onnx.shape_inference.infer_shapes(fixed, data_prop=True).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
    total = 0
    for node in graph.node:
        if node.op_type not in ('Conv', 'Gemm', 'MatMul'):
            continue
        answer, weight = shapes.get(node.output[0], ()), shapes.get(node.input[1], ())
        if not answer or not weight or 0 in answer + weight:
            raise DepthRosError(f'the shape of {node.output[0]} cannot be inferred')
        if node.op_type == 'Conv':
            summed = int(np.prod(weight[1:]))
        else:
            transposed = any(a.name == 'transB' and a.i for a in node.attribute)
            summed = weight[-1 if transposed else -2]
        total += int(np.prod(answer)) * summed
    return total


def pictures(width: int, height: int, count: int = _FRAMES) -> np.ndarray:
    """Frames uint8 [count,H,W,3] of a walk through a rendered room."""
    scene = synthetic.make_scene(seed=3)
    focal = 0.6 * width
    camera = Intrinsics(focal, focal, (width - 1) / 2, (height - 1) / 2, width, height)
    path = synthetic.make_path(scene, count, 8.0, seed=3)
    return np.stack([synthetic.render(scene, camera, pose)[0] for pose in path])


def depth_runs(images: np.ndarray) -> list[dict[str, np.ndarray]]:
    """Each frame by itself, as a depth graph takes it."""
    return [{'image': image[None]} for image in images]


def pose_runs(images: np.ndarray) -> list[dict[str, np.ndarray]]:
    """Each frame with one a little later, as a pose graph takes them."""
    pairs = zip(images, images[_MOTION_STEP:])
    return [{'previous': one[None], 'current': other[None]} for one, other in pairs]


def eager(graph: nn.Module) -> Run:
    """A network as torch runs it, layer by layer."""
    graph.eval()

    def run(inputs: Inputs) -> np.ndarray:
        with torch.inference_mode():
            return graph(*(torch.from_numpy(value) for value in inputs.values())).numpy()

    return run


def plain_depth(networks: PlainNetworks) -> Run:
    """As the paper's code infers: all four disparities, channels first."""

    def run(inputs: Inputs) -> np.ndarray:
        with torch.no_grad():
            disparity = networks.disparities(_as_tensor(inputs['image']))[0]
            return disparity_to_depth(disparity[:, 0], _MIN_DEPTH, _MAX_DEPTH).numpy()

    return run


def plain_pose(networks: PlainNetworks) -> Run:
    """As the paper's code infers, and the direction of the graph's answer."""

    def run(inputs: Inputs) -> np.ndarray:
        with torch.no_grad():
            motion = networks.motion(*(_as_tensor(inputs[name]) for name in inputs))
            return torch.cat(invert_motion(motion[:, :3], motion[:, 3:]), 1).numpy()

    return run


def _as_tensor(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().float().div(255)


def runtimes(single: Path, eight: Path, threads: int, stack: ExitStack) -> list[Subject]:
    """Every runtime that is installed, in every precision that it has on this CPU."""
    plans = [
        ('ONNX Runtime fp32', 'fp32', single, BackendKind.ONNXRUNTIME, CpuPrecision.FILE),
        ('ONNX Runtime int8', 'int8', eight, BackendKind.ONNXRUNTIME, CpuPrecision.FILE),
        ('OpenVINO fp32', 'fp32', single, BackendKind.OPENVINO, CpuPrecision.FILE),
        ('OpenVINO bf16', 'bf16', single, BackendKind.OPENVINO, CpuPrecision.BF16),
        ('OpenVINO int8', 'int8', eight, BackendKind.OPENVINO, CpuPrecision.FILE),
    ]
    subjects = []
    for name, arithmetic, path, kind, precision in plans:
        options = BackendOptions(kind, Device.CPU, threads, precision)
        try:
            backend = open_backend(path, options)
        except BackendError as error:
            print(f'{name} is left out: {error}', flush=True)
            continue
        stack.callback(backend.close)
        subjects.append(Subject(name, arithmetic, _asking(backend), backend.description))
    return subjects


def _asking(backend: Backend) -> Run:
    def run(inputs: Inputs) -> np.ndarray:
        (answer,) = backend.run(inputs).values()
        return answer

    return run


def resnet_networks(
    width: int, height: int, threads: int, folder: Path, stack: ExitStack
) -> list[Network]:
    """Monodepth2's networks, random weights, the same in the paper's code and in the graphs."""
    images = pictures(width, height)
    torch.manual_seed(0)
    plain = PlainNetworks(18)
    batch = _as_tensor(images[:4])
    with torch.no_grad():  # batch norms that have seen pictures, as trained ones have
        for _ in range(5):
            plain.disparities(batch)
            plain.motion(batch, batch.flip(0))
    plain.eval()
    ours = read_official(plain.save(folder / 'official', width, height))
    assert ours.pose_net is not None
    spec = replace(
        Model.load(Path(DEFAULT_MODEL)).spec,
        width=width, height=height, depth_width=width, depth_height=height,
        intrinsics=None, fit=Fit.STRETCH,
    )  # fmt: skip
    size = f'ResNet-18 {width}x{height}'
    parts = [
        ('depth', DepthGraph(ours.depth_net.eval(), _MIN_DEPTH, _MAX_DEPTH, 0),
         depth_runs(images), plain_depth(plain)),
        ('motion', PoseGraph(ours.pose_net.eval(), 1.0), pose_runs(images), plain_pose(plain)),
    ]  # fmt: skip
    networks = []
    for output, graph, runs, plain_run in parts:
        print(f'exporting and quantising {size}, {output}', flush=True)
        single, eight = folder / f'{output}.onnx', folder / f'{output}_int8.onnx'
        model = to_onnx(graph, spec)
        onnx.save(model, single)
        onnx.save(to_int8(model, runs), eight)
        subjects = (
            Subject(TORCH, 'fp32', eager(graph), f'torch {torch.__version__}'),
            Subject(PLAIN, 'fp32', plain_run, f'torch {torch.__version__}'),
            *runtimes(single, eight, threads, stack),
        )
        work = count_multiply_adds(model)
        networks.append(Network(f'{size}, {output}', runs[0], work, subjects))
    return networks


def bundled_networks(
    bag: Path | None, threads: int, folder: Path, stack: ExitStack
) -> tuple[list[Network], Accuracy | None]:
    """The bundled model from its weights, its graphs, and these in 8 bits."""
    model = Model.load(Path(DEFAULT_MODEL))
    spec = model.spec
    images = pictures(spec.width, spec.height)
    out = folder / 'int8'
    print(f'quantising {spec.name}', flush=True)
    accuracy = None
    if bag is not None:
        report = convert_to_int8(model, BagSource(bag), RectifyMode.AUTO, out, _say)
        if report.accuracy is not None:
            with closing(
                open_backend(model.depth_path, BackendOptions(device=Device.CPU))
            ) as backend:
                runtime = backend.description
            single, eight = report.accuracy
            accuracy = Accuracy(bag.name, report.judged_frames, runtime, single.scaled,
                                eight.scaled, report.depth_difference)  # fmt: skip
    networks = []
    for output, graph in bundled_graphs(model).items():
        name = DEPTH_FILE if output == 'depth' else POSE_FILE
        runs = (depth_runs if output == 'depth' else pose_runs)(images)
        loaded = onnx.load(model.path / name)
        if bag is None:
            out.mkdir(exist_ok=True)
            onnx.save(to_int8(loaded, runs), out / name)
        subjects = (
            Subject(TORCH, 'fp32', eager(graph), f'torch {torch.__version__}'),
            *runtimes(model.path / name, out / name, threads, stack),
        )
        title = f'{spec.name} {spec.width}x{spec.height}, {output}'
        networks.append(Network(title, runs[0], count_multiply_adds(loaded), subjects))
    return networks, accuracy


def bundled_graphs(model: Model) -> dict[str, nn.Module]:
    """The bundled model in torch, of the weights beside its graphs."""
    config = load_config(
        find_preset('lite0'), ['network.pretrained=none'], [BagSource(Path('none'))]
    ).network
    depth_net, pose_net = build_depth_net(config), build_pose_net(config)
    weights = read_weights(model.path)
    for prefix, net in (('depth_net.', depth_net), ('pose_net.', pose_net)):
        own = {n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)}
        net.load_state_dict(own)
    spec = model.spec
    return {
        'depth': DepthGraph(depth_net.eval(), spec.min_depth, spec.max_depth, 0),
        'motion': PoseGraph(pose_net.eval(), spec.min_depth / config.min_depth),
    }


def _say(text: str) -> None:
    print(text, flush=True)
