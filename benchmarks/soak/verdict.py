"""What a soak came to: growth, drift, frames, and whether that is good enough."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.soak.process_usage import Usage

COUNTS = ('in', 'out', 'overtaken', 'refused', 'unwanted')
"""Of the node's diagnostics, `frames in` and so on."""


@dataclass(frozen=True)
class Reading:
    """The node after a while without faults."""

    seconds: float
    usage: Usage
    after: str
    """The fault before."""
    ends_round: bool
    """Whether the node let go of all that the faults left: other readings swing by a tenth, with
    what malloc keeps after a peak and DDS for listeners that are gone."""


@dataclass(frozen=True)
class FaultRow:
    """One kind of fault over the whole run."""

    name: str
    times: int
    median_recovery_s: float
    """From the end of the fault to the answer to a good frame sent after it."""
    worst_recovery_s: float


@dataclass(frozen=True)
class Timed:
    """One answer."""

    at_s: float
    """When it came, by time.monotonic()."""
    latency_ms: float
    yardstick_ms: float


@dataclass(frozen=True)
class Latency:
    """From publishing an image to receiving its depth, away from faults [ms]."""

    answers: int
    p50_ms: float
    p99_ms: float
    yardstick_ms: float
    """Median time of a fixed computation of another process at the same moments: it tells what
    other work on the machine did."""


@dataclass(frozen=True)
class Limits:
    """What passes."""

    growth_percent: float = 1.0
    """Of memory after the warm-up; descriptors and threads must not grow at all."""
    drift_percent: float = 25.0
    """Of the median latency beyond that of the yardstick."""


@dataclass(frozen=True)
class Result:
    """All of it, as the JSON has it."""

    minutes: float
    model: str
    image: str
    rate_hz: float
    warm_up_s: float
    resident_growth_percent: float
    proportional_growth_percent: float
    first: Usage
    """Medians of the first third of the rounds after the warm-up."""
    last: Usage
    """Of the last third."""
    latency_first: Latency
    """First tenth of the time after the warm-up."""
    latency_last: Latency
    sent: int
    frames: dict[str, int]
    """By the node's own count, over all its activations."""
    checked: int
    """Answers compared with what the pipeline computes of the same picture."""
    wrong: int
    log_mib: float
    faults: tuple[FaultRow, ...]
    failures: tuple[str, ...]
    machine: str
    cores: int
    readings: tuple[Reading, ...]


def thirds(rounds: Sequence[Usage]) -> tuple[Usage, Usage]:
    """Typical usage of the first and of the last third of at least one round: medians."""
    third = max(1, len(rounds) // 3)
    return _median(rounds[:third]), _median(rounds[-third:])


def growth_percent(before: float, after: float) -> float:
    """How much more `after` is, in per cent of `before`."""
    return 100.0 * (after / before - 1.0)


def latency_of(timed: Sequence[Timed]) -> Latency:
    """Median and 99th percentile of at least two."""
    latencies_ms = [one.latency_ms for one in timed]
    return Latency(
        answers=len(timed),
        p50_ms=round(statistics.median(latencies_ms), 2),
        p99_ms=round(statistics.quantiles(latencies_ms, n=100)[98], 2),
        yardstick_ms=round(statistics.median(one.yardstick_ms for one in timed), 3),
    )


def tenths(timed: Sequence[Timed]) -> tuple[Latency, Latency]:
    """The first and the last tenth, by count."""
    tenth = max(2, len(timed) // 10)
    return latency_of(timed[:tenth]), latency_of(timed[-tenth:])


def drift_percent(first: Latency, last: Latency) -> float:
    """How much longer the median took, in units of the yardstick."""
    return growth_percent(first.p50_ms / first.yardstick_ms, last.p50_ms / last.yardstick_ms)


def find_failures(
    first: Usage, last: Usage, drift: tuple[Latency, Latency], wrong: int, limits: Limits
) -> tuple[str, ...]:
    """What does not pass, each in words."""
    failures = []
    for name, before, after in (
        ('resident memory', first.resident_mib, last.resident_mib),
        ('proportional memory', first.proportional_mib, last.proportional_mib),
    ):
        growth = growth_percent(before, after)
        if growth > limits.growth_percent:
            failures.append(
                f'{name} grew by {growth:.2f} %, from {before:.1f} to {after:.1f} MiB '
                f'(allowed: {limits.growth_percent:g} %)'
            )
    for name, before, after in (
        ('descriptors', first.descriptors, last.descriptors),
        ('threads', first.threads, last.threads),
    ):
        if after > before:
            failures.append(f'{name} grew from {before} to {after}')
    slower = drift_percent(*drift)
    if slower > limits.drift_percent:
        before, after = (
            f'{part.p50_ms:.1f} ms (yardstick: {part.yardstick_ms:.2f} ms)' for part in drift
        )
        failures.append(
            f'the median latency grew by {slower:.0f} % beyond the yardstick, from {before} to '
            f'{after} (allowed: {limits.drift_percent:g} %)'
        )
    if wrong:
        failures.append(f'{wrong} answers are not what the pipeline computes of their picture')
    return tuple(failures)


class Tally:
    """Sums counters that start at zero again whenever the node is activated."""

    def __init__(self) -> None:
        """Start at zero."""
        self.totals = dict.fromkeys(COUNTS, 0)
        self._before = dict.fromkeys(COUNTS, 0)

    def add(self, diagnostics: dict[str, str]) -> None:
        """Take in the diagnostics that came next."""
        now = {name: int(diagnostics[f'frames {name}']) for name in COUNTS}
        if any(now[name] < self._before[name] for name in COUNTS):
            self._before = dict.fromkeys(COUNTS, 0)
        for name in COUNTS:
            self.totals[name] += now[name] - self._before[name]
        self._before = now


def _median(usages: Sequence[Usage]) -> Usage:
    def median(name: str) -> float:
        return statistics.median(getattr(usage, name) for usage in usages)

    return Usage(
        resident_mib=round(median('resident_mib'), 2),
        private_mib=round(median('private_mib'), 2),
        shared_mib=round(median('shared_mib'), 2),
        proportional_mib=round(median('proportional_mib'), 2),
        descriptors=round(median('descriptors')),
        threads=round(median('threads')),
    )
