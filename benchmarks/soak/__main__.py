"""Hours of a running depth node with everything that goes wrong on robots mixed in.

A camera publishes pictures all the time, every output is subscribed to, and every few seconds one
kind of fault is done to the node, which is a process of its own behind real DDS. Between faults
its memory, descriptors and threads are read, and each answer is timed and compared with what the
pipeline computes of the same picture. After each round of all faults the node is configured anew;
growth is judged by the reading after that. Prints a table and writes a JSON.

    python -m benchmarks.soak --minutes 60 --out soak.json

Exit status 1: memory grew by more than --allowed per cent after the warm-up (medians of the
first and the last third), descriptors or threads grew, the median latency drifted by more than
--allowed-drift per cent (first and last tenth; beyond a fixed computation timed beside it), or an
answer was wrong. 2: the node died, refused what it must take, or no longer answered; the error
says after which fault.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from benchmarks.processor import processor_name
from benchmarks.sizes import parse_size
from benchmarks.soak.camera import Camera
from benchmarks.soak.faults import FAULTS, REST, Fault, Site
from benchmarks.soak.listener import Listener
from benchmarks.soak.process_usage import Usage, read_usage
from benchmarks.soak.remote import RemoteNode, wait_until
from benchmarks.soak.scene import render_scene
from benchmarks.soak.verdict import (
    FaultRow,
    Limits,
    Reading,
    Result,
    Timed,
    find_failures,
    growth_percent,
    tenths,
    thirds,
)
from depth_ros.demo.processes import Child, start
from depth_ros.errors import DepthRosError
from depth_ros.model_folder.model import DEFAULT_MODEL, Model
from depth_ros.system import transport
from depth_ros.system.resources import config_file
from depth_ros.system.ros_domain import pick_free_domain
from depth_ros.system.termination import terminated_like_interrupted

_FRAMES = 60
_CAMERA_SEGMENT_BYTES = 8 << 20
_SETTLE_S = 1.0
"""After a fault, before answers are timed and checked again."""


@dataclass(frozen=True)
class Request:
    """What to run."""

    minutes: float
    calm_s: float
    warm_up_s: float
    rate_hz: float
    width: int
    height: int
    model: str
    limits: Limits
    faults: tuple[Fault, ...]


class Soak:
    """One run: faults and calm by turns, and what was seen."""

    def __init__(self, request: Request, site: Site, node: Child) -> None:
        """Prepare."""
        self._request = request
        self._site = site
        self._node = node
        self._began_s = time.monotonic()
        self.readings: list[Reading] = []
        self.recoveries: dict[str, list[float]] = {}

    @property
    def rounds(self) -> list[Usage]:
        """What is compared: the ends of rounds after the warm-up."""
        from_s = self._request.warm_up_s
        return [one.usage for one in self.readings if one.ends_round and one.seconds > from_s]

    @property
    def timed(self) -> list[Timed]:
        """Answers after the warm-up."""
        from_s = self._began_s + self._request.warm_up_s
        return [one for one in self._site.listener.timed if one.at_s > from_s]

    def run(self) -> None:
        """Go through the faults again and again until the time is over.

        Raises:
            DepthRosError: the node died, or did not do what it must.
        """
        rng = random.Random(0)
        end_s = self._began_s + 60.0 * self._request.minutes
        print('seconds  RSS MiB  private  shared      PSS  descriptors  threads   answered  '
              'recovered after', flush=True)
        while time.monotonic() < end_s or len(self.rounds) < 3:
            for fault in rng.sample(self._request.faults, len(self._request.faults)):
                self._do(fault)
                self._read(fault.name, ends_round=False)
            self._do(REST)
            self._read(REST.name, ends_round=True)

    def _do(self, fault: Fault) -> None:
        try:
            fault.act(self._site)
            recovery_s = self._recover()
        except DepthRosError as error:
            raise DepthRosError(
                f'{fault.name}: {error}; the node said:\n{self._node.log_tail()}'
            ) from error
        self.recoveries.setdefault(fault.name, []).append(recovery_s)

    def _recover(self) -> float:
        """Seconds until a picture sent from now on is answered."""
        camera, listener = self._site.camera, self._site.listener
        from_s, last = time.monotonic(), camera.count
        wait_until(lambda: listener.newest > last, 'an answer to a good picture')
        self._node.require_running()
        return time.monotonic() - from_s

    def _read(self, fault: str, *, ends_round: bool) -> None:
        """Let it be calm for a while, and note how the node is after it."""
        time.sleep(_SETTLE_S)
        listener = self._site.listener
        listener.calm = True
        time.sleep(self._request.calm_s)
        listener.calm = False
        self._node.require_running()
        usage = read_usage(self._node.pid)
        seconds = round(time.monotonic() - self._began_s, 1)
        self.readings.append(Reading(seconds, usage, fault, ends_round))
        print(f'{seconds:7.0f}  {usage.resident_mib:7.1f}  {usage.private_mib:7.1f}  '
              f'{usage.shared_mib:6.1f}  {usage.proportional_mib:7.1f}  '
              f'{usage.descriptors:11d}  {usage.threads:7d}  {listener.tally.totals["out"]:9d}  '
              f'{fault}, {self.recoveries[fault][-1]:.2f} s', flush=True)


@contextlib.contextmanager
def _driver() -> Iterator[Node]:
    """A node of this process that is spun on a thread."""
    rclpy.init()
    node = rclpy.create_node('soak')
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def spin() -> None:
        with contextlib.suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin, name='spin')
    thread.start()
    try:
        yield node
    finally:
        executor.shutdown()
        thread.join()
        node.destroy_node()
        rclpy.try_shutdown()


def _camera_profile(folder: Path) -> Path:
    """Fast DDS's profile for the camera: a segment that is soon touched as a whole.

    Images wander through the 64 MiB of the usual one, and each page of it that the node reads
    counts as its resident memory from then on.
    """
    usual = config_file('fastdds.xml').read_text(encoding='utf-8')
    path = folder / 'camera.xml'
    path.write_text(usual.replace(str(transport.SEGMENT_BYTES), str(_CAMERA_SEGMENT_BYTES)))
    return path


def measure(request: Request, folder: Path) -> Result:
    """Run everything.

    Raises:
        DepthRosError: see Soak.run, or there is no such model.
    """
    os.environ.update(
        ROS_DOMAIN_ID=str(pick_free_domain()), ROS_AUTOMATIC_DISCOVERY_RANGE='LOCALHOST'
    )
    profile = transport.profile_variables(os.environ)
    os.environ.update(dict.fromkeys(profile, str(_camera_profile(folder))))
    model = Model.load(request.model)
    print('rendering the scene', flush=True)
    scene = render_scene(model, request.width, request.height, _FRAMES, request.rate_hz)
    models = folder / 'model_a', folder / 'model_b'
    for copy in models:
        shutil.copytree(model.path, copy)
    garbage = folder / 'garbage'
    garbage.mkdir()
    (garbage / 'depth.onnx').write_bytes(b'no graph' * 1000)
    command = ['depth_ros.node', '--ros-args', '-p', f'model:={models[0]}']
    with (
        start('depth node', command, profile, folder / 'node.log') as node,
        _driver() as driver,
        Camera(driver, scene, request.rate_hz) as camera,
    ):
        listener = Listener(driver, camera, scene)
        site = Site(camera, listener, RemoteNode(driver), models, garbage, folder)
        wait_until(lambda: listener.newest > 0 or node.finished(), 'the first answer')
        soak = Soak(request, site, node)
        soak.run()
        sent = camera.count
    return _result(request, model, soak, listener, sent, folder / 'node.log')


def _result(
    request: Request, model: Model, soak: Soak, listener: Listener, sent: int, log: Path
) -> Result:
    first, last = thirds(soak.rounds)
    drift = tenths(soak.timed)
    return Result(
        minutes=request.minutes,
        model=model.spec.name,
        image=f'{request.width}x{request.height}',
        rate_hz=request.rate_hz,
        warm_up_s=request.warm_up_s,
        resident_growth_percent=round(growth_percent(first.resident_mib, last.resident_mib), 3),
        proportional_growth_percent=round(
            growth_percent(first.proportional_mib, last.proportional_mib), 3
        ),
        first=first,
        last=last,
        latency_first=drift[0],
        latency_last=drift[1],
        sent=sent,
        frames=listener.tally.totals,
        checked=listener.checked,
        wrong=listener.wrong,
        log_mib=round(log.stat().st_size / 2**20, 3),
        faults=tuple(
            FaultRow(name, len(s), round(statistics.median(s), 3), round(max(s), 3))
            for name, s in sorted(soak.recoveries.items())
        ),
        failures=find_failures(first, last, drift, listener.wrong, request.limits),
        machine=processor_name(),
        cores=len(os.sched_getaffinity(0)),
        readings=tuple(soak.readings),
    )


def table(result: Result) -> str:
    """For people."""
    first, last = result.first, result.last
    early, late = result.latency_first, result.latency_last
    rows = [
        f'| after warm-up: {result.warm_up_s:g} s | first third | last third | growth |',
        '|---|---|---|---|',
        f'| RSS [MiB] | {first.resident_mib:.1f} | {last.resident_mib:.1f} | '
        f'{result.resident_growth_percent:+.2f} % |',
        f'| PSS [MiB] | {first.proportional_mib:.1f} | {last.proportional_mib:.1f} | '
        f'{result.proportional_growth_percent:+.2f} % |',
        f'| descriptors | {first.descriptors} | {last.descriptors} | |',
        f'| threads | {first.threads} | {last.threads} | |',
        '| | first tenth | last tenth | |',
        *(
            f'| {name} [ms] | {before:.2f} | {after:.2f} | '
            f'{growth_percent(before, after):+.1f} % |'
            for name, before, after in (
                ('latency p50', early.p50_ms, late.p50_ms),
                ('latency p99', early.p99_ms, late.p99_ms),
                ('yardstick', early.yardstick_ms, late.yardstick_ms),
            )
        ),
        '',
        '| fault | times | good answer after, median [s] | worst [s] |',
        '|---|---|---|---|',
        *(f'| {row.name} | {row.times} | {row.median_recovery_s:.2f} | '
          f'{row.worst_recovery_s:.2f} |' for row in result.faults),
        '',
        f'{result.sent} good pictures; the node counted '
        + ', '.join(f'{count} {name}' for name, count in result.frames.items())
        + f'; {result.checked} answers checked, {result.wrong} wrong; '
        f'it logged {result.log_mib:g} MiB',
    ]  # fmt: skip
    return '\n'.join(rows)


def main() -> int:
    """Measure, print and judge."""
    arguments = _parse()
    width, height = arguments.size
    request = Request(
        arguments.minutes, arguments.calm, arguments.warm_up, arguments.rate, width, height,
        arguments.model, Limits(arguments.allowed, arguments.allowed_drift),
        tuple(f for f in FAULTS if arguments.only is None or f.name in arguments.only),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, terminated_like_interrupted():
        try:
            result = measure(request, Path(folder))
        except DepthRosError as error:
            print(f'soak: error: {error}', file=sys.stderr)
            return 2
    print(f'\n{table(result)}')
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(asdict(result), indent=2) + '\n')
    for failure in result.failures:
        print(f'soak: failed: {failure}', file=sys.stderr)
    return int(bool(result.failures))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--minutes', type=float, default=60.0, help='default: %(default)g')
    parser.add_argument('--calm', type=float, default=3.0, help='seconds between two faults')
    parser.add_argument('--warm-up', type=float, default=600.0,
                        help='seconds that do not count (default: %(default)g)')
    parser.add_argument('--rate', type=float, default=15.0, help='images a second')
    parser.add_argument('--size', type=parse_size, default=(640, 480), metavar='WxH',
                        help='of the images (default: 640x480)')
    parser.add_argument('--model', default=DEFAULT_MODEL, help='model folder or name')
    parser.add_argument('--allowed', type=float, default=Limits().growth_percent,
                        metavar='PERCENT', help='growth of memory (default: %(default)g)')
    parser.add_argument('--allowed-drift', type=float, default=Limits().drift_percent,
                        metavar='PERCENT', help='growth of latency (default: %(default)g)')
    parser.add_argument('--only', action='append', choices=[fault.name for fault in FAULTS],
                        metavar='FAULT', help='one kind of fault instead of all; may be repeated')
    parser.add_argument('--out', type=Path, help='JSON to write')
    return parser.parse_args()


if __name__ == '__main__':
    sys.exit(main())
