"""Memory of a training run on a short bag and on one ten times as long.

Frames are decoded once into files that are memory-mapped: the pages that are mapped grow with the
bag, and the system takes them back when it needs them; what the process holds itself must not.
Prints a table and writes a JSON. Exit status 1 when the long bag's run holds more than --allowed
per cent more.

    python -m benchmarks.training_memory --frames 100 --out training_memory.json
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from depth_ros.cameras.intrinsics import Intrinsics
from depth_ros.errors import DepthRosError
from depth_ros.synthetic import SyntheticBag, write_bag

TIMES = 10
CAMERA = Intrinsics(200.0, 200.0, 159.5, 119.5, 320, 240)
_EVERY_S = 0.05


@dataclass(frozen=True)
class Reading:
    """The largest values of one run, by /proc (Linux).

    Attributes:
        frames: of its bag.
        cache_mib: of the files that hold its frames.
        held_mib: memory of the process itself (RssAnon).
        mapped_mib: pages of files that it has mapped (RssFile), programs included.
        seconds: of the whole run.
    """

    frames: int
    cache_mib: float
    held_mib: float
    mapped_mib: float
    seconds: float


def train(folder: Path, frames: int, steps: int) -> Reading:
    """Render a bag, and train on it in a process of its own.

    Raises:
        DepthRosError: the run failed.
    """
    work = folder / str(frames)
    write_bag(work / 'bag', SyntheticBag(seed=4, frames=frames, rate_hz=8.0, intrinsics=CAMERA))
    command = [
        sys.executable, '-m', 'depth_ros', 'train', '--bag', str(work / 'bag'),
        '--preset', 'tiny', '--out', str(work / 'model'), '--workdir', str(work / 'run'),
    ]  # fmt: skip
    for setting in (
        f'data.cache={work / "cache"}', f'data.width={CAMERA.width}', 'data.height=256',
        'data.fit=letterbox', 'run.epochs=1', f'run.steps_per_epoch={steps}', 'run.threads=1',
        'pairs.max_gap_frames=4', 'export.evaluate=false',
    ):  # fmt: skip
        command += ['--set', setting]
    began, held, mapped = time.monotonic(), 0.0, 0.0
    with (work / 'log').open('w') as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        while process.poll() is None:
            now = read_memory_mib(process.pid)
            held, mapped = max(held, now[0]), max(mapped, now[1])
            time.sleep(_EVERY_S)
    if process.returncode:
        raise DepthRosError(f'training failed:\n{(work / "log").read_text()[-1000:]}')
    files = sum(file.stat().st_size for file in (work / 'cache').rglob('*') if file.is_file())
    return Reading(
        frames, round(files / 2**20, 1), round(held, 1), round(mapped, 1),
        round(time.monotonic() - began, 1),
    )  # fmt: skip


def read_memory_mib(pid: int) -> tuple[float, float]:
    """Memory held and file pages mapped by a process; zeros where it has just ended."""
    try:
        lines = (Path('/proc') / str(pid) / 'status').read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    status = dict(line.split(':', 1) for line in lines if ':' in line)
    held, mapped = (status.get(name, '0').split()[0] for name in ('RssAnon', 'RssFile'))
    return int(held) / 1024, int(mapped) / 1024


def main() -> int:
    """Measure both, print and judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--frames', type=int, default=100, help='of the short bag')
    parser.add_argument('--steps', type=int, default=60, help='of training, default: %(default)d')
    parser.add_argument('--allowed', type=float, default=5.0, help='growth in per cent')
    parser.add_argument('--out', type=Path, help='JSON to write')
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            readings = [
                train(Path(folder), frames, arguments.steps)
                for frames in (arguments.frames, TIMES * arguments.frames)
            ]
        except DepthRosError as error:
            print(f'training_memory: error: {error}', file=sys.stderr)
            return 2
    print('frames  cache MiB  held MiB  mapped MiB  seconds')
    for reading in readings:
        print(f'{reading.frames:6d}  {reading.cache_mib:9.1f}  {reading.held_mib:8.1f}  '
              f'{reading.mapped_mib:10.1f}  {reading.seconds:7.1f}')  # fmt: skip
    growth = 100 * (readings[1].held_mib / readings[0].held_mib - 1)
    print(f'{TIMES} times the frames: {growth:+.1f} % memory held')
    if arguments.out is not None:
        content = {'growth_percent': growth, 'readings': [asdict(one) for one in readings]}
        arguments.out.write_text(json.dumps(content, indent=2) + '\n')
    return int(growth > arguments.allowed)


if __name__ == '__main__':
    sys.exit(main())
