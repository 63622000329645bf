"""How late the depth node's answers are, beside an echo of as many bytes.

Four nodes in processes of their own answer the same pictures over DDS, in turns, so that they meet
the same machine: a bare echo, which publishes as many bytes as the depth node does and is the
floor that rclpy and the transport set; the depth node with a model that answers constants, which
leaves the node's own work and what a call of the runtime costs, in the runtime that the node
chooses by itself (idle) and in ONNX Runtime (idle_ort); and the depth node with the bundled model.
Latency is from before the picture is published until the last message of its answer is received,
by one clock; of depth it is told apart.

Prints a table, the steps that the time of the echo and of the node's own work consists of, and
writes a JSON.

    python -m benchmarks.node --out node.json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import rclpy
from rclpy.signals import SignalHandlerOptions

from benchmarks.node.cases import OUTPUTS, Case
from benchmarks.node.idle_model import write_idle_model
from benchmarks.node.measure import Subject, measure
from benchmarks.node.peer import Peer
from benchmarks.node.report import Result, Windows, as_json, result_of, show
from benchmarks.node.steps import in_namespace, measure_steps
from depth_ros.demo.processes import start
from depth_ros.errors import DepthRosError
from depth_ros.model_folder.model import DEFAULT_MODEL, Model
from depth_ros.system import transport
from depth_ros.system.ros_domain import pick_free_domain
from depth_ros.system.termination import terminated_like_interrupted

_SIZES = ((640, 480), (1280, 720))
_ORT = 'backend:=onnxruntime'
_QUICK_ROUNDS, _QUICK_FRAMES = 1, 30
_LARGE_FRAMES, _LARGE_HZ = 5, 5.0


def take_turns(
    arguments: argparse.Namespace, peer: Peer, model: Model, idle: Model, folder: Path
) -> Windows:
    """Start the nodes and let them take turns.

    Raises:
        DepthRosError: a node does not answer.
    """
    cases = [Case(*size, outputs) for size in _SIZES for outputs in OUTPUTS]
    large = Case(*_SIZES[0], OUTPUTS[-1])
    windows: Windows = {}
    with ExitStack() as stack:
        subjects = [
            Subject(name, stack.enter_context(start(name, command, {}, folder / f'{name}.log')),
                    is_echo=name == 'echo')
            for name, command in (
                ('echo', ['benchmarks.node.echo', *in_namespace('/echo')]),
                ('idle', ['depth_ros.node', *in_namespace('/idle', idle)]),
                ('idle_ort', ['depth_ros.node', *in_namespace('/idle_ort', idle, _ORT)]),
                ('model', ['depth_ros.node', *in_namespace('/model', model)]),
            )
        ]  # fmt: skip
        for subject in subjects:  # malloc of glibc learns from large blocks that come and go
            measure(peer, subject, large, model, _LARGE_FRAMES, _LARGE_HZ)
        for number in range(arguments.rounds):
            for case in cases:
                for subject in subjects:
                    print(f'\rround {number + 1} of {arguments.rounds}: {case.name}, '
                          f'{subject.name}' + 20 * ' ', end='', flush=True)
                    windows.setdefault((case, subject.name), []).append(
                        measure(peer, subject, case, model, arguments.frames, arguments.rate)
                    )
        print()
    return windows


def measure_all(arguments: argparse.Namespace, folder: Path) -> Result:
    """Everything that was asked for.

    Raises:
        DepthRosError: a node does not answer.
    """
    os.environ.update(
        ROS_DOMAIN_ID=str(pick_free_domain()), ROS_AUTOMATIC_DISCOVERY_RANGE='LOCALHOST'
    )
    transport.use_profile()
    model = Model.load(arguments.model)
    idle = write_idle_model(folder / 'idle', model)
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        peer = Peer()
        windows = take_turns(arguments, peer, model, idle, folder)
        frames = arguments.rounds * arguments.frames
        steps = measure_steps(peer, idle, frames, arguments.rate, folder)
        peer.close()
    finally:
        rclpy.try_shutdown()
    return result_of(windows, steps, arguments.rate, arguments.rounds)


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--rate', type=float, default=30.0, help='pictures a second')
    parser.add_argument('--model', default=DEFAULT_MODEL, help='model folder or name')
    parser.add_argument('--rounds', type=int, default=3, help='default: %(default)d')
    parser.add_argument('--frames', type=int, default=70, help='of a case in a round')
    parser.add_argument('--quick', action='store_true', help='one short round')
    parser.add_argument('--out', type=Path, help='JSON to write')
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.frames = _QUICK_ROUNDS, _QUICK_FRAMES
    with tempfile.TemporaryDirectory() as folder, terminated_like_interrupted():
        try:
            result = measure_all(arguments, Path(folder))
        except DepthRosError as error:
            print(f'node: error: {error}', file=sys.stderr)
            return 2
    show(result)
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(as_json(result), indent=2) + '\n')
    return 0


if __name__ == '__main__':
    sys.exit(main())
