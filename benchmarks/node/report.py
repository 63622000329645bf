"""Windows to a table and a JSON."""

from __future__ import annotations

import math
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from benchmarks.node.cases import Case
from benchmarks.node.measure import Window
from benchmarks.node.steps import Steps
from benchmarks.processor import processor_name
from depth_ros.system.ros_distro import ros_distro

Windows = dict[tuple[Case, str], list[Window]]
"""One a round, by case and name of the subject."""


@dataclass(frozen=True)
class Row:
    """One subject in one case, all rounds together.

    Attributes:
        answer_bytes: of all messages of one answer.
        median_ms, p95_ms, p99_ms: until all of these are received.
        depth_ms: median until depth is.
        overtaken: share of the pictures without an answer.
        cpu_ms: of the node's process, per picture.
        over_echo_ms: median of this subject minus that of the echo beside it, by rounds.
    """

    width: int
    height: int
    outputs: str
    subject: str
    answer_bytes: int
    median_ms: float
    p95_ms: float
    p99_ms: float
    depth_ms: float
    overtaken: float
    cpu_ms: float
    over_echo_ms: tuple[float, ...]

    @property
    def added_ms(self) -> float:
        """The median round's over_echo_ms."""
        return statistics.median(self.over_echo_ms)


@dataclass(frozen=True)
class Result:
    """What the run came to."""

    machine: str
    cores: int
    load_average: tuple[float, float, float]
    ros_distro: str
    middleware: str
    python: str
    rate_hz: float
    rounds: int
    rows: tuple[Row, ...]
    steps: tuple[Steps, ...]


def result_of(
    windows: Windows, steps: Sequence[Steps], rate_hz: float, rounds: int
) -> Result:
    """Put the rounds together."""
    rows = [
        _row(case, name, measured, windows[case, 'echo'])
        for (case, name), measured in windows.items()
    ]
    return Result(
        machine=processor_name(),
        cores=len(os.sched_getaffinity(0)),
        load_average=os.getloadavg(),
        ros_distro=ros_distro(os.environ) or 'unknown',
        middleware=os.environ.get('RMW_IMPLEMENTATION') or 'rmw_fastrtps_cpp',
        python=platform.python_version(),
        rate_hz=rate_hz,
        rounds=rounds,
        rows=tuple(rows),
        steps=tuple(steps),
    )


def _row(case: Case, name: str, measured: Sequence[Window], echo: Sequence[Window]) -> Row:
    latencies = np.concatenate([window.latencies_ms for window in measured])
    known = latencies if latencies.size else np.array([np.nan])
    median, p95, p99 = np.percentile(known, (50, 95, 99)).round(3).tolist()
    sent = sum(window.sent for window in measured)
    return Row(
        width=case.width,
        height=case.height,
        outputs=case.outputs.name,
        subject=name,
        answer_bytes=measured[-1].answer_bytes,
        median_ms=median,
        p95_ms=p95,
        p99_ms=p99,
        depth_ms=_median([ms for window in measured for ms in window.depth_ms]),
        overtaken=round(1 - len(latencies) / sent, 4),
        cpu_ms=round(statistics.median(window.cpu_ms for window in measured), 3),
        over_echo_ms=tuple(
            round(_median(one.latencies_ms) - _median(floor.latencies_ms), 3)
            for one, floor in zip(measured, echo)
        ),
    )


def _median(latencies_ms: Sequence[float]) -> float:
    """NaN where nothing was answered."""
    return round(statistics.median(latencies_ms or (math.nan,)), 3)


def as_json(result: Result) -> Mapping[str, object]:
    """Plain values."""
    return asdict(result)


def show(result: Result) -> None:
    """Print the table."""
    print(f'{result.machine}, {result.cores} cores, load average {result.load_average[0]:.1f}; '
          f'ROS 2 {result.ros_distro}, {result.middleware}, Python {result.python}; '
          f'{result.rate_hz:g} Hz, {result.rounds} rounds; milliseconds')
    case = None
    for row in result.rows:
        if case != (row.width, row.height, row.outputs):
            case = (row.width, row.height, row.outputs)
            print(f'\n{f"{row.width}x{row.height}, {row.outputs}":40s}{"median":>8s}{"p95":>8s}'
                  f'{"p99":>8s}{"depth":>8s}{"overtaken":>11s}{"CPU":>8s}{"over echo":>11s}'
                  '  (rounds)')
        spread = f'  ({min(row.over_echo_ms):+.2f} to {max(row.over_echo_ms):+.2f})'
        added = '' if row.subject == 'echo' else f'{row.added_ms:+11.2f}{spread}'
        print(f'{f"  {row.subject}, {row.answer_bytes / 1e6:.2f} MB":40s}{row.median_ms:8.2f}'
              f'{row.p95_ms:8.2f}{row.p99_ms:8.2f}{row.depth_ms:8.2f}{row.overtaken:11.1%}'
              f'{row.cpu_ms:8.2f}{added}')
    for case_name in dict.fromkeys(steps.case for steps in result.steps):
        both = {s.subject: s.ms for s in result.steps if s.case == case_name}
        print(f'\n{f"{case_name}, steps by their medians":44s}'
              + ''.join(f'{subject:>8s}' for subject in both))
        for step in dict.fromkeys(name for ms in both.values() for name in ms):
            print(f'  {step:42s}' + ''.join(
                f'{ms[step]:8.2f}' if step in ms else f'{"":8s}' for ms in both.values()
            ))
        print(f'  {"sum":42s}' + ''.join(f'{sum(ms.values()):8.2f}' for ms in both.values()))
