"""Every runtime on an NVIDIA GPU, side by side in one run: how fast it is, and if it is right.

    python -m benchmarks.gpu             # ResNet-18 and -50, 640x192 and 1024x320, 1 and 8 frames
    python -m benchmarks.gpu --backbones resnet18 --out gpu.json

torch eager in single precision is how the papers' code runs; half precision, channels_last and a
CUDA graph is what torch can do. ONNX Runtime and TensorRT run through this project's own backends,
with the copies of picture and depth that a robot pays for; so does torch here. Shares are of the
matrix product rate and of the copy rate that this GPU showed in the same run. `--device cpu` runs
what runs there, to try the benchmark itself.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.inference_models import random_model
from benchmarks.processor import processor_name
from benchmarks.sizes import parse_size
from benchmarks.training import matrix_peak
from depth_ros.backends import (
    Backend,
    BackendKind,
    BackendOptions,
    Device,
    EngineOptions,
    open_backend,
)
from depth_ros.backends.agreement import depth_difference
from depth_ros.backends.parity import ACCEPTED, MARGIN, depth_case
from depth_ros.errors import BackendError
from depth_ros.model_folder.model import Model
from depth_ros.model_folder.spec import Precision
from training.export.graphs import DepthGraph
from training.export.model_folder import convert_to_half
from training.geometry import disparity_to_depth

_ROUNDS, _ROUND_S = 5, 0.2
_GIB = 1 << 30


@dataclass(frozen=True)
class Case:
    """One network at one size with so many frames at once."""

    backbone: str
    width: int
    height: int
    frames: int

    def __str__(self) -> str:
        """As in 'resnet18 640x192, 1 frame'."""
        plural = '' if self.frames == 1 else 's'
        return f'{self.backbone} {self.width}x{self.height}, {self.frames} frame{plural}'


@dataclass(frozen=True)
class Figure:
    """What a runtime did with a case; the problem where it could not run."""

    case: str
    runtime: str
    problem: str = ''
    milliseconds: float = float('nan')
    frames_per_second: float = float('nan')
    times_eager: float = float('nan')
    matrix_share: float = float('nan')
    """Multiply-adds of the network over the GPU's rate in that precision."""
    bandwidth_share: float = float('nan')
    """Bytes of weights, input and output, each once, over the GPU's copy rate."""
    difference: float = float('nan')
    """Relative, of the worst pixel, from torch in single precision."""


Run = Callable[[np.ndarray], np.ndarray]
"""uint8 [N,H,W,3] to depth float32 [N,h,w]."""


def main() -> int:
    """Measure and print; 1 where some runtime computes wrongly."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    parser.add_argument('--device', choices=['cuda', 'cpu'], default='cuda')
    parser.add_argument('--backbones', nargs='+', default=['resnet18', 'resnet50'])
    parser.add_argument('--sizes', nargs='+', type=parse_size, metavar='WxH',
                        default=[(640, 192), (1024, 320)])
    parser.add_argument('--frames', nargs='+', type=int, default=[1, 8])
    parser.add_argument('--out', type=Path, help='JSON to write')
    args = parser.parse_args()
    if args.device == 'cuda' and not torch.cuda.is_available():
        print('benchmarks.gpu: error: torch finds no GPU; --device cpu tries the benchmark itself',
              file=sys.stderr)  # fmt: skip
        return 2
    name = torch.cuda.get_device_name() if args.device == 'cuda' else processor_name()
    peaks = {
        precision: matrix_peak(args.device, kind)
        for precision, kind in _KINDS.items()
        if args.device == 'cuda' or precision is Precision.FP32  # CPUs have no half products
    }
    copy_gb = copy_rate(args.device) / 1e9
    print(f'{name}, torch {torch.__version__}; products '
          + ', '.join(f'{p.value} {peak:.1f} TFLOP/s' for p, peak in peaks.items())
          + f'; copies {copy_gb:.0f} GB/s', flush=True)  # fmt: skip
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        for backbone, (width, height) in product(args.backbones, args.sizes):
            models = make_models(backbone, width, height, Path(folder))
            for frames in args.frames:
                case = Case(backbone, width, height, frames)
                found = measure(case, models, args.device, peaks, copy_gb)
                for figure in found:
                    print(line_of(figure), flush=True)
                figures += found
    if args.out:
        machine = {'gpu': name, 'torch': torch.__version__, 'copy_gb_per_s': copy_gb,
                   'matrix_tflops': {p.value: peak for p, peak in peaks.items()}}  # fmt: skip
        args.out.write_text(
            json.dumps({**machine, 'figures': [asdict(figure) for figure in figures]}, indent=2)
        )
    wrong = [figure for figure in figures if 'wrong' in figure.problem]
    return 1 if wrong else 0


_KINDS = {Precision.FP32: torch.float32, Precision.FP16: torch.float16}


@dataclass(frozen=True)
class Models:
    """One network as torch has it and as model folders of both precisions."""

    graph: DepthGraph
    single: Model
    half: Model


def make_models(backbone: str, width: int, height: int, folder: Path) -> Models:
    """A Monodepth2 depth network with random weights."""
    out = folder / f'{backbone}-{width}x{height}'
    net, _, single = random_model(backbone, width, height, out)
    convert_to_half(single, half := out.with_name(f'{out.name}-fp16'))
    graph = DepthGraph(net, single.spec.min_depth, single.spec.max_depth, 0)
    return Models(graph, single, Model.load(half))


def measure(
    case: Case, models: Models, device: str, peaks: dict[Precision, float], copy_gb: float
) -> list[Figure]:
    """All runtimes in turns, so that they meet the same machine."""
    images = np.random.default_rng(0).integers(
        0, 256, (case.frames, case.height, case.width, 3), np.uint8
    )
    expected = torch_run(models.graph, 'cpu')(images)
    runs: dict[str, tuple[Run, Precision]] = {}
    figures = []
    with closing(Opened()) as opened:
        for name, precision, make in subjects(case, models, device, opened):
            try:
                runs[name] = make(), precision
            except BackendError as error:
                figures.append(Figure(str(case), name, problem=str(error)))
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(_ROUNDS):
            for name, (run, _) in runs.items():
                seconds[name].append(time_of(run, images))
        operations = count_operations(models.graph, images)
        for name, (run, precision) in runs.items():
            taken = float(np.median(seconds[name]))
            difference = depth_difference(run(images), expected, precision)
            allowed = MARGIN * ACCEPTED[precision]
            weights = sum(p.numel() for p in models.graph.parameters())
            weight_bytes = weights * (4 if precision is Precision.FP32 else 2)
            moved = images.nbytes + expected.nbytes + weight_bytes
            figures.append(Figure(
                case=str(case),
                runtime=name,
                problem='' if difference <= allowed else f'wrong: {difference:.2g} off',
                milliseconds=1e3 * taken,
                frames_per_second=case.frames / taken,
                times_eager=float(np.median(seconds[EAGER])) / taken,
                matrix_share=operations / taken / 1e12 / peaks.get(precision, float('nan')),
                bandwidth_share=moved / taken / 1e9 / copy_gb,
                difference=difference,
            ))  # fmt: skip
    return figures


EAGER = 'torch fp32, eager'


class Opened:
    """Backends to close at the end."""

    def __init__(self) -> None:
        """None yet."""
        self._backends: list[Backend] = []

    def backend(self, model: Model, kind: BackendKind, device: Device, frames: int) -> Run:
        """A backend as a run.

        Raises:
            BackendError: it is not here, or refuses the graph.
        """
        options = BackendOptions(kind, device, engine=EngineOptions(max_batch=frames))
        backend = open_backend(model.depth_path, options, lambda: depth_case(model))
        self._backends.append(backend)
        backend.warm_up()
        return lambda images: backend.run({'image': images})['depth']

    def close(self) -> None:
        """All of them."""
        for backend in self._backends:
            backend.close()


def subjects(
    case: Case, models: Models, device: str, opened: Opened
) -> Iterator[tuple[str, Precision, Callable[[], Run]]]:
    """Name, precision and maker of every runtime."""
    single, half, frames = Precision.FP32, Precision.FP16, case.frames
    where = Device.CUDA if device == 'cuda' else Device.CPU
    yield EAGER, single, lambda: torch_run(models.graph, device)
    if device == 'cuda':
        yield ('torch fp16, channels_last, CUDA graph', half,
               lambda: graph_run(models.graph, frames, case))  # fmt: skip
    for precision, model in ((single, models.single), (half, models.half)):
        yield (f'ONNX Runtime {precision.value}', precision,
               lambda model=model: opened.backend(model, BackendKind.ONNXRUNTIME, where, frames))
        if device == 'cuda':
            yield (f'TensorRT {precision.value}', precision,
                   lambda model=model: opened.backend(model, BackendKind.TENSORRT, where, frames))


def torch_run(graph: nn.Module, device: str) -> Run:
    """As the papers' code runs it."""
    graph = copy.deepcopy(graph).eval().to(device)

    @torch.inference_mode()
    def run(images: np.ndarray) -> np.ndarray:
        return graph(torch.from_numpy(images).to(device)).cpu().numpy()

    return run


class HalfDepth(nn.Module):
    """A depth graph whose network computes in half precision with channels last."""

    def __init__(self, graph: DepthGraph) -> None:
        """Copy the network."""
        super().__init__()
        self._net = copy.deepcopy(graph.net).half().to(memory_format=torch.channels_last)
        self._range = graph.min_depth, graph.max_depth

    def forward(self, image: Tensor) -> Tensor:
        """As DepthGraph: uint8 [N,H,W,3] to depth float32 [N,H,W]."""
        pixels = (image.permute(0, 3, 1, 2) / 255.0).half()
        disparity = self._net(pixels, 1, 0)[0].squeeze(1).float()
        return disparity_to_depth(disparity, *self._range)


def graph_run(graph: DepthGraph, frames: int, case: Case) -> Run:
    """Half precision with channels last, recorded as a CUDA graph, from pinned memory."""
    half = HalfDepth(graph).eval().cuda()
    shape = (frames, case.height, case.width, 3)
    host_in = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
    on_gpu = torch.zeros(shape, dtype=torch.uint8, device='cuda')
    with torch.inference_mode():
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(3):
                answer: Tensor = half(on_gpu)
        torch.cuda.synchronize()
        recording = torch.cuda.CUDAGraph()
        with torch.cuda.graph(recording):
            answer = half(on_gpu)
    host_out = torch.empty(answer.shape, dtype=torch.float32, pin_memory=True)

    def run(images: np.ndarray) -> np.ndarray:
        host_in.numpy()[...] = images
        on_gpu.copy_(host_in, non_blocking=True)
        recording.replay()
        host_out.copy_(answer, non_blocking=True)
        torch.cuda.synchronize()
        return host_out.numpy()

    return run


def time_of(run: Run, images: np.ndarray) -> float:
    """Seconds of a run: the median over a fifth of a second, at least three."""
    run(images)
    taken: list[float] = []
    while len(taken) < 3 or sum(taken) < _ROUND_S:
        started = time.perf_counter()
        run(images)
        taken.append(time.perf_counter() - started)
    return float(np.median(taken))


def count_operations(graph: nn.Module, images: np.ndarray) -> float:
    """Multiplications and additions of the network."""
    graph = copy.deepcopy(graph).cpu()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        graph(torch.from_numpy(images))
    return float(counter.get_total_flops())


def copy_rate(device: str) -> float:
    """Bytes a second that a large copy within memory reads and writes together."""
    size = 2 * _GIB if device == 'cuda' else _GIB // 4
    source = torch.randint(0, 256, (size,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    best = float('inf')
    for _ in range(10):
        with waited(device):
            started = time.perf_counter()
            target.copy_(source)
        best = min(best, time.perf_counter() - started)
    return 2 * size / best


@contextmanager
def waited(device: str) -> Iterator[None]:
    """Until the device has done it."""
    yield
    if device == 'cuda':
        torch.cuda.synchronize()


def line_of(figure: Figure) -> str:
    """A line of the table."""
    start = f'{figure.case:34s} {figure.runtime:38s}'
    if figure.problem and figure.milliseconds != figure.milliseconds:
        return f'{start} not run: {figure.problem}'
    return (
        f'{start} {figure.milliseconds:8.2f} ms {figure.frames_per_second:8.1f} frames/s '
        f'{figure.times_eager:5.2f}x eager, {figure.matrix_share:5.1%} of products, '
        f'{figure.bandwidth_share:5.1%} of copies, off by {figure.difference:.1e} {figure.problem}'
    )


if __name__ == '__main__':
    sys.exit(main())
