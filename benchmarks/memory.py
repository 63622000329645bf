"""Memory and file descriptors of a running depth node, over minutes of images at 15 Hz.

Player and node are processes of their own and talk over DDS; every output is subscribed to. Prints
a table and writes a JSON. Exit status 1 when the node grew by more than --allowed per cent after
the warm-up, by the means of the first and the last third.

    python -m benchmarks.memory --minutes 10 --out memory.json
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.processor import processor_name
from depth_ros import transport
from depth_ros.demo.collector import Collector
from depth_ros.demo.processes import Child, start
from depth_ros.demo.scene import open_scene, render_scene
from depth_ros.errors import DepthRosError
from depth_ros.model import DEFAULT_MODEL

START_SECONDS = 60.0


@dataclass(frozen=True)
class Reading:
    """The node at one moment."""

    seconds: float
    resident_mib: float
    descriptors: int
    threads: int
    answered: int


@dataclass(frozen=True)
class Result:
    """What the run came to."""

    minutes: float
    model: str
    rate_hz: float
    growth_percent: float
    resident_mib: float
    descriptors_before: int
    descriptors_after: int
    answered: int
    overtaken: int
    latency_p50_ms: str
    machine: str
    cores: int
    readings: tuple[Reading, ...]


def read(node: Child, began_s: float, answered: int) -> Reading:
    """The node's memory by /proc (Linux)."""
    process = Path('/proc') / str(node.pid)
    status = dict(
        line.split(':', 1) for line in (process / 'status').read_text().splitlines() if ':' in line
    )
    return Reading(
        seconds=round(time.monotonic() - began_s, 1),
        resident_mib=round(int(status['VmRSS'].split()[0]) / 1024, 2),
        descriptors=len(list((process / 'fd').iterdir())),
        threads=int(status['Threads']),
        answered=answered,
    )


def growth_percent(readings: list[Reading]) -> float:
    """Mean resident memory of the last third over that of the first, in per cent above it."""
    third = max(1, len(readings) // 3)
    first = sum(r.resident_mib for r in readings[:third]) / third
    last = sum(r.resident_mib for r in readings[-third:]) / third
    return 100 * (last / first - 1)


def measure(arguments: argparse.Namespace, folder: Path) -> Result:
    """Run player and node side by side and read the node's memory every few seconds."""
    os.environ.update(
        ROS_DOMAIN_ID=str(random.randint(1, 100)), ROS_AUTOMATIC_DISCOVERY_RANGE='LOCALHOST'
    )
    transport.use_profile()
    print('rendering the scene', flush=True)
    render_scene(folder / 'scene', lambda done: None)
    scene = open_scene(folder / 'scene')
    speed = arguments.rate / scene.recorded_rate_hz
    node_command = [
        'depth_ros.node', '--ros-args', '-p', f'model:={arguments.model}',
        '-p', 'image_transport:=compressed',
    ]  # fmt: skip
    player_command = [
        'depth_ros', 'play', str(scene.bag), '--camera', '--loop', '--rate', f'{speed:.6g}'
    ]  # fmt: skip
    with (
        Collector(frozenset(), frozenset()) as collector,
        start('depth node', node_command, {}, folder / 'node.log') as node,
        start('player', player_command, {}, folder / 'player.log') as player,
    ):
        answers = collector.answers
        deadline = time.monotonic() + START_SECONDS
        while not answers.received_ns:
            collector.spin(0.5)
            node.require_running()
            if time.monotonic() > deadline:
                raise DepthRosError(f'no answer after {START_SECONDS:g} s:\n{node.log_tail()}')
        answered, began_s = 0, time.monotonic()
        readings: list[Reading] = []
        print('seconds  resident MiB  descriptors  threads  answered', flush=True)
        while (passed := time.monotonic() - began_s) < 60 * arguments.minutes:
            collector.spin(arguments.every)
            node.require_running()
            player.require_running()
            # The bag loops: its stamps come again and again.
            answered = int(answers.diagnostics['frames out'])
            reading = read(node, began_s, answered)
            if passed > arguments.warm_up:
                readings.append(reading)
            print(f'{reading.seconds:7.0f}  {reading.resident_mib:12.1f}  '
                  f'{reading.descriptors:11d}  {reading.threads:7d}  {answered:8d}', flush=True)
        diagnostics = answers.diagnostics
    return Result(
        minutes=arguments.minutes,
        model=diagnostics['model'].split(' ')[0],
        rate_hz=arguments.rate,
        growth_percent=round(growth_percent(readings), 3),
        resident_mib=readings[-1].resident_mib,
        descriptors_before=readings[0].descriptors,
        descriptors_after=readings[-1].descriptors,
        answered=answered,
        overtaken=int(diagnostics['frames overtaken']),
        latency_p50_ms=diagnostics['latency p50 [ms]'],
        machine=processor_name(),
        cores=len(os.sched_getaffinity(0)),
        readings=tuple(readings),
    )


def main() -> int:
    """Measure, print and judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--minutes', type=float, default=10.0, help='default: %(default)g')
    parser.add_argument('--rate', type=float, default=15.0, help='images a second')
    parser.add_argument('--model', default=DEFAULT_MODEL, help='model folder or name')
    parser.add_argument('--every', type=float, default=10.0, help='seconds between readings')
    parser.add_argument('--warm-up', type=float, default=30.0, help='seconds that do not count')
    parser.add_argument('--allowed', type=float, default=1.0, help='growth in per cent')
    parser.add_argument('--out', type=Path, help='JSON to write')
    arguments = parser.parse_args()
    if 60 * arguments.minutes < arguments.warm_up + 3 * arguments.every:
        parser.error('--minutes must leave three readings after the warm-up')
    with tempfile.TemporaryDirectory() as folder:
        try:
            result = measure(arguments, Path(folder))
        except DepthRosError as error:
            print(f'memory: error: {error}', file=sys.stderr)
            return 2
    print(f'grew by {result.growth_percent:+.2f} % to {result.resident_mib:.0f} MiB, '
          f'descriptors {result.descriptors_before} to {result.descriptors_after}, '
          f'{result.answered} frames answered, {result.overtaken} overtaken')
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(asdict(result), indent=2) + '\n')
    return int(result.growth_percent > arguments.allowed)


if __name__ == '__main__':
    sys.exit(main())
