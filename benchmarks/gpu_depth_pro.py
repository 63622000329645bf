"""Depth Pro on an NVIDIA GPU: the published network at 1536 x 1536 in half precision.

    python -m benchmarks.gpu_depth_pro                   # 952 million parameters, random weights
    python -m benchmarks.gpu_depth_pro --device cpu --small    # to try the benchmark itself

Each runtime takes the bytes of one picture and gives back its depth, copies included. Shares are
of the matrix product rate that this GPU showed in the same run; the paper tells 341 ms on a V100.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.depth_pro_full import random_state
from benchmarks.gpu import time_of
from benchmarks.processor import processor_name
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
from training.export.graphs import DepthProGraph
from training.networks.canonical import canonical_to_depth
from training.networks.depth_pro import DepthPro, DepthProConfig
from training.official.import_depth_pro import DepthProImport, import_depth_pro

PAPER_MS = 341.0
"""On a V100: Bochkovskii et al., Depth Pro, ICLR 2025, table 5."""
SMALL = DepthProConfig(
    'test_vit', window_px=32, windows=(4, 2), latent_blocks=(1, 3), widths=(12, 20, 24), width=16
)
_ROUNDS = 5
_KINDS = {Precision.FP32: torch.float32, Precision.FP16: torch.float16}


@dataclass(frozen=True)
class Figure:
    """What a runtime did; the problem where it could not run."""

    runtime: str
    problem: str = ''
    milliseconds: float = float('nan')
    matrix_share: float = float('nan')
    """Multiply-adds of the network over the rate of products in its precision."""
    times_paper: float = float('nan')
    """How often it would be done while the paper's is once."""
    difference: float = float('nan')
    """From torch in single precision, see depth_ros.backends.agreement."""


Run = Callable[[np.ndarray], np.ndarray]
"""uint8 [1,S,S,3] to depth float32 [1,S,S] by a focal length of S pixels."""


@dataclass(frozen=True)
class Subject:
    """A runtime that may be here."""

    name: str
    precision: Precision
    make: Callable[[], Run]


class HalfDepthPro(nn.Module):
    """As DepthProGraph, the network in half precision with channels last."""

    def __init__(self, net: DepthPro) -> None:
        """Copy the network."""
        super().__init__()
        self.net = copy.deepcopy(net).half().to(memory_format=torch.channels_last)

    def forward(self, image: Tensor, intrinsics: Tensor) -> Tensor:
        """See DepthProGraph; the field of view is computed and left out."""
        pixels = (image.permute(0, 3, 1, 2) / 255.0).half()
        canonical = self.net(pixels)[0].float().squeeze(1)
        return canonical_to_depth(canonical, intrinsics[:, 0], self.net.config.image_px)


class Opened:
    """Backends to close at the end."""

    def __init__(self, focal_px: float) -> None:
        """None yet."""
        self._intrinsics = np.array([[focal_px, focal_px, 0.0, 0.0]], np.float32)
        self._backends: list[Backend] = []

    def backend(self, model: Model, kind: BackendKind, device: Device) -> Run:
        """A backend as a run.

        Raises:
            BackendError: it is not here, or refuses the graph.
        """
        options = BackendOptions(kind, device, engine=EngineOptions(max_batch=1))
        backend = open_backend(model.depth_path, options, lambda: depth_case(model))
        self._backends.append(backend)
        backend.warm_up()
        given = self._intrinsics
        return lambda image: backend.run({'image': image, 'intrinsics': given})['depth']

    def close(self) -> None:
        """All of them."""
        for backend in self._backends:
            backend.close()


def torch_run(graph: nn.Module, device: str, focal_px: float) -> Run:
    """A module as it is."""
    graph = graph.eval().to(device)
    given = torch.tensor([[focal_px, focal_px, 0.0, 0.0]], device=device)

    @torch.inference_mode()
    def run(image: np.ndarray) -> np.ndarray:
        answer = graph(torch.from_numpy(image).to(device), given)
        return (answer if isinstance(answer, Tensor) else answer[0]).cpu().numpy()

    return run


def count_operations(config: DepthProConfig) -> float:
    """Multiplications and additions of one picture."""
    with torch.device('meta'), torch.inference_mode(), FlopCounterMode(display=False) as counter:
        DepthPro(config).eval()(torch.empty(1, 3, config.image_px, config.image_px))
    return float(counter.get_total_flops())


def make_models(config: DepthProConfig, folder: Path) -> tuple[DepthPro, dict[Precision, Model]]:
    """Random weights as the network and as model folders, by the real import."""
    file = folder / 'depth_pro.pt'
    state = random_state(config)
    torch.save(state, file)
    net = DepthPro(config).eval()
    net.load_state_dict({key: value.float() for key, value in state.items()})
    models = {}
    for precision in _KINDS:
        out = folder / precision.value
        import_depth_pro(file, out, DepthProImport(precision, network=config, max_depth_m=1e4))
        models[precision] = Model.load(out)
    return net, models


def subjects(
    net: DepthPro, models: dict[Precision, Model], device: str, opened: Opened
) -> Iterator[Subject]:
    """Every runtime."""
    side = float(net.config.image_px)
    where = Device.CUDA if device == 'cuda' else Device.CPU
    kinds = {'ONNX Runtime': BackendKind.ONNXRUNTIME}
    if device == 'cuda':
        yield Subject('torch', Precision.FP16, lambda: torch_run(HalfDepthPro(net), device, side))
        kinds['TensorRT'] = BackendKind.TENSORRT
    for precision, model in models.items():
        for name, kind in kinds.items():
            yield Subject(
                name, precision, lambda m=model, k=kind: opened.backend(m, k, where)
            )  # fmt: skip


def measure(
    net: DepthPro, models: dict[Precision, Model], device: str, peaks: dict[Precision, float]
) -> list[Figure]:
    """All runtimes in turns, so that they meet the same machine."""
    side = net.config.image_px
    image = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), np.uint8)
    single = torch_run(DepthProGraph(net), device, float(side))
    expected = single(image)
    runs: dict[Subject, Run] = {Subject('torch', Precision.FP32, lambda: single): single}
    figures = []
    with closing(Opened(float(side))) as opened:
        for subject in subjects(net, models, device, opened):
            try:
                runs[subject] = subject.make()
            except BackendError as error:
                name = f'{subject.name} {subject.precision.value}'
                figures.append(Figure(name, problem=str(error)))
        taken: dict[Subject, list[float]] = {subject: [] for subject in runs}
        for _ in range(_ROUNDS):
            for subject, run in runs.items():
                taken[subject].append(time_of(run, image))
        operations = count_operations(net.config)
        for subject, run in runs.items():
            precision, seconds = subject.precision, float(np.median(taken[subject]))
            difference = depth_difference(run(image), expected, precision)
            figure = Figure(
                runtime=f'{subject.name} {precision.value}',
                milliseconds=1e3 * seconds,
                matrix_share=operations / seconds / 1e12 / peaks.get(precision, float('nan')),
                times_paper=PAPER_MS / (1e3 * seconds),
                difference=difference,
            )
            if not difference <= MARGIN * ACCEPTED[precision]:
                figure = replace(figure, problem=f'wrong: {difference:.2g} off')
            figures.append(figure)
    return figures


def line_of(figure: Figure) -> str:
    """A line of the table."""
    start = f'{figure.runtime:20s}'
    if figure.problem and figure.milliseconds != figure.milliseconds:
        return f'{start} not run: {figure.problem}'
    return (
        f'{start} {figure.milliseconds:9.1f} ms, {figure.matrix_share:5.1%} of products, '
        f'{figure.times_paper:5.2f}x the paper, off by {figure.difference:.1e} {figure.problem}'
    )


def main() -> int:
    """Measure and print; 1 where some runtime computes wrongly."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    parser.add_argument('--device', choices=['cuda', 'cpu'], default='cuda')
    parser.add_argument('--small', action='store_true', help='a tiny network of the same kind')
    parser.add_argument('--out', type=Path, help='JSON to write')
    args = parser.parse_args()
    if args.device == 'cuda' and not torch.cuda.is_available():
        print('benchmarks.gpu_depth_pro: error: torch finds no GPU; --device cpu --small tries '
              'the benchmark itself', file=sys.stderr)  # fmt: skip
        return 2
    name = torch.cuda.get_device_name() if args.device == 'cuda' else processor_name()
    config = SMALL if args.small else DepthProConfig()
    peaks = {
        precision: matrix_peak(args.device, kind)
        for precision, kind in _KINDS.items()
        if args.device == 'cuda' or precision is Precision.FP32  # CPUs have no half products
    }
    told = ', '.join(f'{p.value} {peak:.1f} TFLOP/s' for p, peak in peaks.items())
    print(f'{name}, torch {torch.__version__}; products {told}', flush=True)
    with tempfile.TemporaryDirectory() as folder:
        net, models = make_models(config, Path(folder))
        figures = measure(net, models, args.device, peaks)
    side = config.image_px
    print(f'Depth Pro {side}x{side}, {count_operations(config) / 1e12:.3g} TFLOP a picture')
    for figure in figures:
        print(line_of(figure))
    if args.out:
        machine = {'device': name, 'torch': torch.__version__, 'side': side,
                   'matrix_tflops': {p.value: peak for p, peak in peaks.items()}}  # fmt: skip
        args.out.write_text(
            json.dumps({**machine, 'figures': [asdict(figure) for figure in figures]}, indent=2)
        )
    return 1 if any('wrong' in figure.problem for figure in figures) else 0


if __name__ == '__main__':
    sys.exit(main())
