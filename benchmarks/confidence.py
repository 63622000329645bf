"""What a frame's confidence costs, alone on one core: python -m benchmarks.confidence"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.processor import processor_name
from benchmarks.sizes import parse_size
from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.motion import se3
from depth_ros.pipeline.confidence import ReprojectionConfidence

_SIZES = ((256, 192), (640, 192), (1024, 320))


@dataclass(frozen=True)
class Row:
    """One network size; milliseconds of both pictures' reduction and their comparison."""

    width: int
    height: int
    best_ms: float
    """What it takes when nothing else runs: the lowest of all runs."""
    median_ms: float
    processor_ms: float
    """Mean time on the processor, which other work on the machine touches less."""


def measure(width: int, height: int, runs: int) -> Row:
    """Compare two frames again and again."""
    rng = np.random.default_rng(0)
    camera = Intrinsics(0.6 * width, 0.6 * width, (width - 1) / 2, (height - 1) / 2, width, height)
    reprojection = ReprojectionConfidence(camera)
    previous, current = rng.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    depth = rng.uniform(1.0, 5.0, (height, width)).astype(np.float32)
    motion = se3.rigid(np.eye(3), np.array([0.02, 0.0, 0.1]))
    times_s = []
    began_s = time.process_time()
    for _ in range(runs):
        start_s = time.perf_counter()
        pictures = reprojection.reduced(previous), reprojection.reduced(current)
        reprojection(*pictures, depth, motion)
        times_s.append(time.perf_counter() - start_s)
    processor_s = time.process_time() - began_s
    return Row(width, height, *(
        round(1e3 * value, 2) for value in (min(times_s), np.median(times_s), processor_s / runs)
    ))  # fmt: skip


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--size', type=parse_size, action='append', metavar='WxH',
                        help='of the network; may be repeated')
    parser.add_argument('--runs', type=int, default=500, help='default: %(default)d')
    parser.add_argument('--out', type=Path, help='JSON to write')
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    rows = [measure(*size, arguments.runs) for size in arguments.size or _SIZES]
    print('| network | best [ms] | median [ms] | on the processor [ms] |\n|---|---|---|---|')
    for row in rows:
        print(f'| {row.width}x{row.height} | {row.best_ms:.2f} | {row.median_ms:.2f} | '
              f'{row.processor_ms:.2f} |')
    if arguments.out is not None:
        told = {'machine': processor_name(), 'cores': len(os.sched_getaffinity(0)),
                'rows': [asdict(row) for row in rows]}
        arguments.out.write_text(json.dumps(told, indent=2) + '\n')


if __name__ == '__main__':
    main()
