"""The published Depth Pro network, 952 million parameters at 1536 x 1536, on the CPU.

Writes a file of random weights with the official names and shapes, runs it in torch, imports it by
the real verb, runs what came out in ONNX Runtime, and compares inverse depth with torch; the same
in half precision. Each step is a process of its own, whose time and peak memory are told. Takes
14 GB of disk and some minutes.

    python -m benchmarks.depth_pro_full --folder /var/tmp/depth_pro --out depth_pro_full.json
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.processor import processor_name
from depth_ros.backends.options import BackendOptions, Device
from depth_ros.backends.ort import OrtBackend
from depth_ros.backends.parity import depth_case
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.model_folder.model import Model
from training.export.graphs import DepthProGraph
from training.networks.depth_pro import DepthPro, DepthProConfig
from training.official.depth_pro_files import PUBLISHED, read_official_depth_pro
from training.samples import render_samples

_WEIGHTS, _SINGLE, _HALF = 'depth_pro.pt', 'fp32', 'fp16'
_TENSORS = 1119
_LAST_BIAS = 1.0
"""Without it inverse depth by random weights is 0 everywhere, which any graph would answer."""


@dataclass(frozen=True)
class Duration:
    """Of something within a process."""

    seconds: float
    cpu_seconds: float

    def __str__(self) -> str:
        """For people."""
        return f'{self.seconds:.1f} s ({self.cpu_seconds:.1f} s of CPU)'


class Stopwatch:
    """Tells how long it was since it was asked last."""

    def __init__(self) -> None:
        """Start."""
        self.lap()

    def lap(self) -> Duration:
        """Since the last lap."""
        now, cpu = time.perf_counter(), time.process_time()
        before = getattr(self, '_last', (now, cpu))
        self._last = (now, cpu)
        return Duration(now - before[0], cpu - before[1])


@dataclass(frozen=True)
class Step:
    """One process."""

    name: str
    seconds: float
    cpu_seconds: float
    """Of all its threads: what an idle machine would take with one, on a busy one too."""
    peak_gib: float


@dataclass(frozen=True)
class Answers:
    """A runtime on the sample, against torch; inverse depth in 1/m."""

    precision: str
    load: Duration
    run: Duration
    relative_difference: float
    """As export accepts it, see depth_ros.backends.agreement."""
    median_relative_difference: float
    least_inverse: float
    greatest_inverse: float
    files: dict[str, int]
    """Bytes of each."""


@dataclass(frozen=True)
class Result:
    """What the run came to."""

    steps: tuple[Step, ...]
    torch: Duration
    answers: tuple[Answers, ...]
    threads: int
    machine: str
    versions: dict[str, str]


def write_weights(path: Path) -> None:
    """A file of the official names and shapes."""
    state = random_state(PUBLISHED)
    assert len(state) == _TENSORS
    torch.save(state, path)


def random_state(config: DepthProConfig) -> dict[str, Tensor]:
    """Weights that keep numbers near one, in half precision as the official file."""
    with torch.device('meta'):
        shapes = {key: value.shape for key, value in DepthPro(config).state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    state = {}
    for key, shape in shapes.items():
        noise = torch.randn(shape, generator=generator)
        if 'norm' in key or 'gamma' in key:
            noise = 0.1 * noise + (0.0 if key.endswith('bias') else 1.0)
        elif len(shape) == 1 or key.endswith(('pos_embed', 'cls_token')):
            noise = 0.1 * noise
        else:
            noise = noise / math.sqrt(math.prod(shape[1:]))
        state[key] = noise.half()
    state['head.4.bias'] += _LAST_BIAS
    if config.fov_head:
        state['fov.head.4.bias'] += 60.0
    return state


def run_torch(path: Path) -> dict[str, float]:
    """The Duration of one forward pass."""
    graph = DepthProGraph(read_official_depth_pro(path)).eval()
    side = PUBLISHED.image_px
    camera = Intrinsics(side, side, (side - 1) / 2, (side - 1) / 2, side, side)
    samples = render_samples(camera, 1)
    assert samples.intrinsics is not None
    image, intrinsics = torch.from_numpy(samples.image), torch.from_numpy(samples.intrinsics)
    watch = Stopwatch()
    with torch.inference_mode():
        depth, fov_deg = graph(image, intrinsics)
    took = watch.lap()
    print(f'depth {float(depth.min()):.3g} to {float(depth.max()):.3g} m, '
          f'field of view {float(fov_deg):.1f} degrees', file=sys.stderr)  # fmt: skip
    return asdict(took)


def run_model(folder: Path, threads: int) -> dict[str, object]:
    """A model's answer to its sample, against torch's."""
    model = Model.load(folder)
    case = depth_case(model)
    assert case.expected is not None
    watch = Stopwatch()
    backend = OrtBackend(model.depth_path, BackendOptions(device=Device.CPU, threads=threads))
    load = watch.lap()
    answer = case.answers(backend)
    run = watch.lap()
    inverse, expected = 1.0 / answer, 1.0 / case.expected
    return asdict(Answers(
        model.spec.precision.value, load, run,
        case.difference(answer, case.expected),
        float(np.median(np.abs(inverse / expected - 1.0))),
        float(expected.min()), float(expected.max()),
        {path.name: path.stat().st_size for path in sorted(folder.iterdir())},
    ))  # fmt: skip


def measure(folder: Path, threads: int) -> Result:
    """Run all steps."""
    weights, single, half = (str(folder / name) for name in (_WEIGHTS, _SINGLE, _HALF))
    steps: list[Step] = []
    own = 'benchmarks.depth_pro_full'

    def step(name: str, *command: str) -> str:
        print(f'{name} ...', flush=True)
        took, told = _run(name, threads, command)
        print(f'  {took.seconds:.0f} s, of CPU {took.cpu_seconds:.0f} s, {took.peak_gib:.1f} GiB',
              flush=True)  # fmt: skip
        steps.append(took)
        return told

    def part(name: str, what: str, *arguments: str) -> str:
        arguments = ('--part', what, '--threads', str(threads), *arguments)
        return step(name, own, *arguments)

    part('write random weights', 'write', '--folder', weights)
    in_torch = Duration(**json.loads(part('torch, one image', 'torch', '--folder', weights)))
    step('import, fp32', 'depth_ros', 'import', 'depth_pro', weights, '--out', single)
    answers = [_answers(part('ONNX Runtime, fp32', 'model', '--folder', single))]
    step('export, fp16', 'depth_ros', 'export', single, '--precision', 'fp16', '--out', half)
    answers.append(_answers(part('ONNX Runtime, fp16', 'model', '--folder', half)))
    import onnxruntime

    return Result(
        tuple(steps), in_torch, tuple(answers), threads,
        processor_name(),
        {'torch': torch.__version__, 'onnxruntime': onnxruntime.__version__},
    )  # fmt: skip


def _answers(told: str) -> Answers:
    values = json.loads(told)
    for name in ('load', 'run'):
        values[name] = Duration(**values[name])
    return Answers(**values)


def _run(name: str, threads: int, command: tuple[str, ...]) -> tuple[Step, str]:
    """Run `python -m command`; its last line."""
    environment = {**os.environ, 'OMP_NUM_THREADS': str(threads)}
    started = time.perf_counter()
    with tempfile.TemporaryFile('w+') as output:
        process = subprocess.Popen(
            [sys.executable, '-m', *command], stdout=output, env=environment
        )
        # Popen.wait does not tell the memory.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        lines = output.read().splitlines()
    if process.returncode != 0:
        raise SystemExit(f'{name} failed with status {process.returncode}')
    seconds = time.perf_counter() - started
    took = Step(name, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / (1 << 20))
    return took, lines[-1] if lines else ''


def print_table(result: Result) -> None:
    """For people."""
    print(f'\n{result.machine}, {result.threads} threads')
    print(f'{"step":24} {"seconds":>8} {"of CPU":>7} {"peak GiB":>9}')
    for step in result.steps:
        print(f'{step.name:24} {step.seconds:8.0f} {step.cpu_seconds:7.0f} {step.peak_gib:9.1f}')
    print(f'\none image in torch: {result.torch}')
    for one in result.answers:
        size = sum(size for name, size in one.files.items() if '.onnx' in name)
        print(f'one image in ONNX Runtime, {one.precision}: {one.run}, loaded in {one.load}, '
              f'{size / 1e9:.2f} GB; inverse depth '
              f'{one.least_inverse:.3g} to {one.greatest_inverse:.3g} 1/m differs from torch by '
              f'{one.relative_difference:.1e} at most, {one.median_relative_difference:.1e} at '
              'the median')  # fmt: skip


def main() -> int:
    """Measure, print and write; 0."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument('--folder', type=Path, help='for files (default: a temporary one)')
    parser.add_argument('--threads', type=int, default=os.cpu_count() or 1)
    parser.add_argument('--out', type=Path, metavar='JSON')
    parser.add_argument('--part', choices=['write', 'torch', 'model'], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part is not None:
        parts: dict[str, Callable[[], object]] = {
            'write': lambda: write_weights(arguments.folder),
            'torch': lambda: run_torch(arguments.folder),
            'model': lambda: run_model(arguments.folder, arguments.threads),
        }
        print(json.dumps(parts[arguments.part]()))
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        result = measure(folder, arguments.threads)
    print_table(result)
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(asdict(result), indent=1) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
