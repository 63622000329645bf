"""Samples per second of training: this trainer beside a plain implementation of the same method.

Renders a bag, checks that both give the same loss and gradients for the same weights and images,
then lets both train in processes of their own, in turns, so that both meet the same machine.
Prints tables and writes a JSON. Exit status 1 where the losses differ.

    python -m benchmarks.training --rounds 5 --steps 4 --out training.json
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.plain_monodepth2 import Phases
from benchmarks.processor import processor_name
from benchmarks.training_subjects import (
    Agreement,
    Kind,
    Turn,
    Workplace,
    agreement,
    count_operations,
    render,
    subject,
)
from depth_ros.errors import DepthRosError

LOSS_TOLERANCE, GRADIENT_TOLERANCE = 1e-4, 1e-2
_WARM_UP_STEPS = 2


@dataclass(frozen=True)
class Speed:
    """One subject over all its turns.

    Attributes:
        step_s: of the fastest turn: what else the machine did only ever adds.
        cpu_s: that the cores worked for a step, in the turn of the fewest.
        median_step_s: of the median turn.
        samples_per_s: by the fastest turn.
        faster_than_plain, less_cpu_than_plain: ratios of step_s and of cpu_s.
        peak_share: of the measured matrix peak in the precision that it trains in.
    """

    step_s: float
    median_step_s: float
    cpu_s: float
    samples_per_s: float
    faster_than_plain: float
    less_cpu_than_plain: float
    peak_share: float


@dataclass(frozen=True)
class Result:
    """What the run came to; seconds a step."""

    machine: str
    cores: int
    threads: int
    device: str
    torch_version: str
    batch_size: int
    width: int
    height: int
    best_setting: tuple[str, ...]
    agreement: Agreement
    speeds: Mapping[str, Speed]
    plain_phases_s: Mapping[str, float]
    plain_ssim_share: float
    matrix_peak_tflops: Mapping[str, float]


def serve(kind: Kind, place: Workplace, connection: Connection) -> None:
    """Be one subject: answer numbers of steps with turns until told 0."""
    worker = subject(kind, place)
    while steps := connection.recv():
        connection.send(worker.run(steps))


@contextmanager
def started(kind: Kind, place: Workplace) -> Iterator[Connection]:
    """A subject in a process of its own: allocator settings and threads are a process's."""
    context = multiprocessing.get_context('spawn')
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(kind, place, there), daemon=True)
    process.start()
    there.close()
    try:
        yield here
        here.send(0)
        process.join(30)
    finally:
        process.terminate()


def take_turns(place: Workplace, rounds: int, steps: int) -> dict[Kind, list[Turn]]:
    """Every subject in turn, so many rounds, after a warm-up."""
    turns: dict[Kind, list[Turn]] = {kind: [] for kind in Kind}
    with ExitStack() as stack:
        workers = {kind: stack.enter_context(started(kind, place)) for kind in Kind}
        for number in range(-1, rounds):
            for kind, worker in workers.items():
                worker.send(steps if number >= 0 else _WARM_UP_STEPS)
                turn = worker.recv()
                if number >= 0:
                    turns[kind].append(turn)
                    print(f'round {number + 1}: {kind.value:20s} {turn.step_s:8.3f} s a step, '
                          f'{turn.cpu_s:.3f} of CPU', flush=True)  # fmt: skip
    return turns


def matrix_peak(device: str, dtype: torch.dtype) -> float:
    """Multiply-add operations a second of a large product, in units of 1e12, each two.

    The better of a plain product and the same as a 1x1 convolution: on a CPU they are different
    libraries, and the plain one may be made for processors of another maker.
    """
    size = 8192 if device == 'cuda' else 2048
    a = torch.rand(size, size, device=device, dtype=dtype)
    pixels = a.t().reshape(16, size, size // 16, 1).contiguous(memory_format=torch.channels_last)
    filters = a.reshape(size, size, 1, 1).contiguous(memory_format=torch.channels_last)
    ways = (lambda: a @ a, lambda: functional.conv2d(pixels, filters))
    return 2 * size**3 / min(_least_time(device, way) for way in ways) / 1e12


def _least_time(device: str, work: Callable[[], Tensor]) -> float:
    """Seconds; repeated for so long that a busy machine leaves it alone for once."""
    best = float('inf')
    for _ in range(50):
        _wait(device)
        began = time.perf_counter()
        work()
        _wait(device)
        best = min(best, time.perf_counter() - began)
    return best


def _wait(device: str) -> None:
    if device == 'cuda':
        torch.cuda.synchronize()


def measure(place: Workplace, frames: int, rounds: int, steps: int) -> Result:
    """Render, compare, let all train.

    Raises:
        DepthRosError: losses or gradients differ.
    """
    torch.set_num_threads(place.threads)
    torch.set_float32_matmul_precision('high')
    print('rendering', flush=True)
    render(place, frames)
    same = agreement(place)
    print(f'loss: plain {same.plain_loss:.6f}, this {same.our_loss:.6f}; gradients differ by '
          f'{same.gradient_difference:.1e} of their length', flush=True)  # fmt: skip
    if same.loss_difference > LOSS_TOLERANCE or same.gradient_difference > GRADIENT_TOLERANCE:
        raise DepthRosError('the plain loss and this differ: no use to compare their speed')
    operations = count_operations(place)
    peaks = {name: matrix_peak(place.device, dtype)
             for name, dtype in (('fp32', torch.float32), ('bf16', torch.bfloat16))}  # fmt: skip
    turns = take_turns(place, rounds, steps)
    speeds = {}
    for kind in turns:
        peak = peaks['bf16' if kind is Kind.BEST and place.best_is_bf16 else 'fp32']
        work_share = 0.0 if kind is Kind.DATA else operations / (peak * 1e12)
        speeds[kind.value] = summarise(turns[kind], turns[Kind.PLAIN], place, work_share)
    fastest = min(turns[Kind.PLAIN], key=lambda turn: turn.step_s)
    phases = fastest.phases or Phases()
    return Result(
        machine=torch.cuda.get_device_name() if place.device == 'cuda' else processor_name(),
        cores=len(os.sched_getaffinity(0)),
        threads=place.threads, device=place.device, torch_version=torch.__version__,
        batch_size=place.batch_size, width=place.width, height=place.height,
        best_setting=place.best, agreement=same, speeds=speeds,
        plain_phases_s={name: value / steps for name, value in asdict(phases).items()},
        plain_ssim_share=fastest.ssim_s / fastest.step_s, matrix_peak_tflops=peaks,
    )  # fmt: skip


def summarise(
    turns: Sequence[Turn], plain: Sequence[Turn], place: Workplace, peak_s: float
) -> Speed:
    """One subject's turns beside the plain one's; peak_s: a step's convolutions at the peak."""
    step_s, cpu_s = min(t.step_s for t in turns), min(t.cpu_s for t in turns)
    return Speed(
        step_s=step_s,
        median_step_s=statistics.median(t.step_s for t in turns),
        cpu_s=cpu_s,
        samples_per_s=place.batch_size / step_s,
        faster_than_plain=min(t.step_s for t in plain) / step_s,
        less_cpu_than_plain=min(t.cpu_s for t in plain) / cpu_s,
        peak_share=peak_s / step_s,
    )


def show(result: Result) -> None:
    """Print the tables."""
    print(f'\n{result.machine}, {result.cores} cores, {result.threads} threads, '
          f'{result.device}, torch {result.torch_version}; ResNet-18, '
          f'{result.width}x{result.height}, batch {result.batch_size}; best setting: '
          f'{" ".join(result.best_setting)}')  # fmt: skip
    print(f'\n{"":22s}{"s a step":>10s}{"median":>10s}{"CPU s":>10s}{"samples/s":>11s}'
          f'{"x plain":>9s}{"by CPU":>9s}{"of peak":>9s}')  # fmt: skip
    for name, speed in result.speeds.items():
        print(f'{name:22s}{speed.step_s:10.3f}{speed.median_step_s:10.3f}'
              f'{speed.cpu_s:10.3f}{speed.samples_per_s:11.2f}{speed.faster_than_plain:9.2f}'
              f'{speed.less_cpu_than_plain:9.2f}{speed.peak_share:9.1%}')  # fmt: skip
    total = sum(result.plain_phases_s.values())
    shares = ', '.join(f'{name} {seconds:.3f} s ({seconds / total:.0%})'
                       for name, seconds in result.plain_phases_s.items())  # fmt: skip
    print(f'\nplain: {shares}; SSIM with its gradient {result.plain_ssim_share:.0%} of the step')
    print('matrix peak: ' + ', '.join(
        f'{name} {peak:.3g} TFLOP/s' for name, peak in result.matrix_peak_tflops.items()
    ))  # fmt: skip


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    gpu = torch.cuda.is_available()
    parser.add_argument('--width', type=int, default=640, help='default: %(default)d')
    parser.add_argument('--height', type=int, default=192, help='default: %(default)d')
    parser.add_argument('--batch', type=int, default=4, help='default: %(default)d')
    parser.add_argument('--frames', type=int, default=24, help='to render, default: %(default)d')
    parser.add_argument('--rounds', type=int, default=5, help='default: %(default)d')
    parser.add_argument('--steps', type=int, default=4, help='a turn, default: %(default)d')
    parser.add_argument('--threads', type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument('--device', choices=('cpu', 'cuda'), default='cuda' if gpu else 'cpu')
    parser.add_argument(
        '--best', action='append', metavar='KEY=VALUE',
        help='the best setting of the trainer, default: run.precision=bf16',
    )  # fmt: skip
    parser.add_argument('--out', type=Path, help='JSON to write')
    arguments = parser.parse_args()
    best = tuple(arguments.best or ('run.precision=bf16',))
    with tempfile.TemporaryDirectory() as folder:
        place = Workplace(
            Path(folder), arguments.width, arguments.height, arguments.batch, arguments.threads,
            arguments.device, best,
        )  # fmt: skip
        try:
            result = measure(place, arguments.frames, arguments.rounds, arguments.steps)
        except DepthRosError as error:
            print(f'training: error: {error}', file=sys.stderr)
            return 1
    show(result)
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(asdict(result), indent=2) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
