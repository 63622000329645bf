"""Milliseconds of a frame: torch eager, ONNX Runtime and OpenVINO in every precision on the CPU.

All take turns in one run, so that they meet the same machine, and answer the same pictures, whose
answers are compared. Each is set beside torch eager and beside the most multiply-adds that the
CPU was seen to do meanwhile (fma_peak.c; needs gcc). Monodepth2's ResNet-18 networks have random
weights; 8-bit graphs are calibrated on rendered frames, and those of the bundled model on a bag
where one is given, whose truth then judges them. Prints a table and writes a JSON.

    python -m benchmarks.inference --bag kitchen --out inference.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.fma_peak import build_peak, measure_peak
from benchmarks.inference_subjects import (
    PLAIN,
    TORCH,
    Accuracy,
    Network,
    bundled_networks,
    resnet_networks,
)
from benchmarks.processor import processor_name
from benchmarks.sizes import parse_size
from depth_ros.backends.cores import physical_cores
from depth_ros.errors import DepthRosError

FP32_TOLERANCE = 1e-3
_TIMED = 3
_PEAK_MS = 30


@dataclass(frozen=True)
class Row:
    """One runtime in one precision on one network.

    Attributes:
        ms: median of a frame.
        fastest_ms: of the fastest run: what else the machine does only ever adds.
        faster_than_torch: ratio of medians.
        faster_than_plain: the same to the paper's code; None: there is none.
        of_fp32_peak: multiply-adds a second, of the most that fp32 reached on these threads.
        of_own_peak: of the most that its own arithmetic reached; None: not measured.
        difference: mean difference of the answers from torch's, over their mean size.
        runs_on: the runtime's own words.
    """

    name: str
    ms: float
    fastest_ms: float
    faster_than_torch: float
    faster_than_plain: float | None
    of_fp32_peak: float
    of_own_peak: float | None
    difference: float
    runs_on: str


@dataclass(frozen=True)
class NetworkResult:
    """All runtimes on one network; multiply_adds of a frame's convolutions and products."""

    name: str
    multiply_adds: int
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Result:
    """What the run came to; peaks in multiply-adds a second of all threads."""

    machine: str
    threads: int
    rounds: int
    versions: Mapping[str, str]
    peaks: Mapping[str, float]
    networks: tuple[NetworkResult, ...]
    accuracy: Accuracy | None


def take_turns(
    networks: Sequence[Network], program: Path, threads: int, rounds: int
) -> tuple[dict[tuple[str, str], list[float]], dict[str, float]]:
    """Milliseconds of every run by network and subject, and the best peak seen meanwhile."""
    times: dict[tuple[str, str], list[float]] = {}
    peaks: dict[str, float] = {}
    print('taking turns', flush=True)
    for number in range(rounds):
        for name, rate in measure_peak(program, threads, _PEAK_MS).items():
            peaks[name] = max(rate, peaks.get(name, 0.0))
        for network in networks:
            for subject in network.subjects:
                taken = times.setdefault((network.name, subject.name), [])
                # Not timed: caches are another's, and torch's threads spin a while after it.
                subject.run(network.inputs)
                for _ in range(_TIMED):
                    began = time.perf_counter()
                    subject.run(network.inputs)
                    taken.append(1e3 * (time.perf_counter() - began))
        print(f'\rround {number + 1} of {rounds}', end='', flush=True)
    print()
    return times, peaks


def summarise(
    network: Network, times: Mapping[tuple[str, str], list[float]], peaks: Mapping[str, float]
) -> NetworkResult:
    """The rows of one network.

    Raises:
        DepthRosError: single precision differs from torch's answers by more than FP32_TOLERANCE.
    """
    medians = {s.name: statistics.median(times[network.name, s.name]) for s in network.subjects}
    expected = network.subjects[0].run(network.inputs)
    rows = []
    for subject in network.subjects:
        ms = medians[subject.name]
        rate = network.multiply_adds / (1e-3 * ms)
        own = peaks.get(subject.arithmetic)
        answer = subject.run(network.inputs)
        difference = float(np.abs(answer - expected).mean() / np.abs(expected).mean())
        if subject.arithmetic == 'fp32' and not difference <= FP32_TOLERANCE:
            raise DepthRosError(
                f'{network.name}: {subject.name} differs from torch by {difference:.1e}; '
                f'allowed: {FP32_TOLERANCE:.0e}'
            )
        rows.append(Row(
            name=subject.name, ms=ms, fastest_ms=min(times[network.name, subject.name]),
            faster_than_torch=medians[TORCH] / ms,
            faster_than_plain=medians[PLAIN] / ms if PLAIN in medians else None,
            of_fp32_peak=rate / peaks['fp32'], of_own_peak=rate / own if own else None,
            difference=difference, runs_on=subject.runs_on,
        ))  # fmt: skip
    return NetworkResult(network.name, network.multiply_adds, tuple(rows))


def measure(
    size: tuple[int, int], threads: int, rounds: int, bag: Path | None, folder: Path
) -> Result:
    """Make all networks and graphs, let them take turns.

    Raises:
        DepthRosError: no gcc; a graph differs from torch; the bag cannot be used.
    """
    import onnxruntime

    torch.set_num_threads(threads)
    program = build_peak(folder)
    with ExitStack() as stack:
        networks = resnet_networks(*size, threads, folder, stack)
        bundled, accuracy = bundled_networks(bag, threads, folder, stack)
        networks += bundled
        times, peaks = take_turns(networks, program, threads, rounds)
        results = tuple(summarise(network, times, peaks) for network in networks)
    versions = {'torch': torch.__version__, 'onnxruntime': onnxruntime.__version__}
    return Result(processor_name(), threads, rounds, versions, peaks, results, accuracy)


def show(result: Result) -> None:
    """Print the table."""
    print(f'\n{result.machine}, {result.threads} threads; most multiply-adds a second, in 1e9: '
          + ', '.join(f'{name} {rate / 1e9:.0f}' for name, rate in result.peaks.items()))
    for network in result.networks:
        print(f'\n{network.name}: {network.multiply_adds / 1e9:.3f}e9 multiply-adds')
        print(f'{"":36s}{"ms":>8s}{"fastest":>9s}{"x torch":>9s}{"x paper":>9s}'
              f'{"fp32 peak":>11s}{"own peak":>10s}{"differs":>9s}')  # fmt: skip
        for row in network.rows:
            plain = '' if row.faster_than_plain is None else f'{row.faster_than_plain:.2f}'
            own = '' if row.of_own_peak is None else f'{row.of_own_peak:.0%}'
            print(f'{row.name:36s}{row.ms:8.2f}{row.fastest_ms:9.2f}{row.faster_than_torch:9.2f}'
                  f'{plain:>9s}{row.of_fp32_peak:11.0%}{own:>10s}{row.difference:9.1e}')
    runtimes_named = dict.fromkeys(row.runs_on for n in result.networks for row in n.rows)
    print('\n' + '; '.join(runtimes_named))
    if result.accuracy is not None:
        found = result.accuracy
        print(f'{found.bag}, {found.frames} frames not calibrated on, {found.runs_on}: AbsRel, '
              f'median-scaled, fp32 {found.fp32_abs_rel:.4f}, int8 {found.int8_abs_rel:.4f} '
              f'({found.loss:+.2%}); depth differs by {found.depth_difference:.4f}')


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--size', type=parse_size, default=(640, 192), metavar='WxH',
                        help='of the ResNet-18 networks, default: 640x192')  # fmt: skip
    parser.add_argument('--threads', type=int, default=physical_cores(),
                        help='default: %(default)d, one for each physical core')  # fmt: skip
    parser.add_argument('--rounds', type=int, default=20, help='default: %(default)d')
    parser.add_argument('--bag', type=Path,
                        help='to calibrate the bundled model on and judge it by')  # fmt: skip
    parser.add_argument('--out', type=Path, help='JSON to write')
    arguments = parser.parse_args()
    if arguments.threads < 1 or arguments.rounds < 1:
        parser.error('--threads and --rounds must be 1 or more')
    with tempfile.TemporaryDirectory() as folder:
        try:
            result = measure(
                arguments.size, arguments.threads, arguments.rounds, arguments.bag, Path(folder)
            )
        except DepthRosError as error:
            print(f'inference: error: {error}', file=sys.stderr)
            return 1
    show(result)
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(asdict(result), indent=2) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
