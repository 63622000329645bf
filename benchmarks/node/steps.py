"""What the latency of the echo and of the node's own work consists of."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.node.cases import OUTPUTS, Case
from benchmarks.node.measure import Subject, measure
from benchmarks.node.peer import Peer
from depth_ros.demo.processes import start
from depth_ros.errors import DepthRosError
from depth_ros.model_folder.model import Model

_CASES = tuple(
    Case(640, 480, outputs)
    for outputs in OUTPUTS
    if outputs.name in ('depth, network size', 'depth, camera size', 'depth, cloud')
)


@dataclass(frozen=True)
class Steps:
    """Median milliseconds of each step of one subject in one case; tracing costs a little."""

    case: str
    subject: str
    ms: Mapping[str, float]


def measure_steps(
    peer: Peer, idle: Model, frames: int, rate_hz: float, folder: Path
) -> list[Steps]:
    """Trace a fresh echo and a fresh node with the model that does nothing in each case.

    Raises:
        DepthRosError: one does not answer.
    """
    found = []
    for case in _CASES:
        for name in ('echo', 'idle'):
            print(f'\rsteps of {case.name}, {name}' + 20 * ' ', end='', flush=True)
            namespace = f'/traced_{name}'
            file = folder / 'steps.json'
            command = ['benchmarks.node.traced', 'echo', str(file), *in_namespace(namespace)]
            if name == 'idle':
                command[1:] = ['depth_node', str(file), *in_namespace(namespace, idle)]
            with start(name, command, {}, folder / 'traced.log') as process:
                subject = Subject(namespace[1:], process, is_echo=name == 'echo')
                window = measure(peer, subject, case, idle, frames, rate_hz)
            if not file.is_file():
                raise DepthRosError(f'{name} told no steps:\n{process.log_tail()}')
            ms = {step: round(value, 3) for step, value in json.loads(file.read_text()).items()}
            file.unlink()
            left = statistics.median(window.latencies_ms) - sum(ms.values())
            found.append(Steps(case.name, name, {**ms, 'to the subscriber': round(left, 3)}))
    print()
    return found


def in_namespace(namespace: str, model: Model | None = None, *parameters: str) -> list[str]:
    """Arguments of a node in a namespace of its own; parameters as NAME:=VALUE."""
    if model is not None:
        parameters = (f'model:={model.path}', *parameters)
    chosen = [word for parameter in parameters for word in ('-p', parameter)]
    return ['--ros-args', '-r', f'__ns:={namespace}', *chosen]
