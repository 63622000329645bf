"""What the node counts, and what is wrong with it right now; no ROS in here.

Every thread of the node reports here, the diagnostics timer reads.
"""

from __future__ import annotations

import enum
import threading
import time
from collections import deque
from dataclasses import dataclass, replace

import numpy as np


class Level(enum.IntEnum):
    """Levels of diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2


class Trouble(enum.Enum):
    """Kinds of problems; at most one of each is present at a time."""

    MODEL = 'model'
    BACKEND = 'backend'
    SCALE = 'scale'
    CAMERA = 'camera'
    IMAGE = 'image'
    INFERENCE = 'inference'
    ODOMETRY = 'odometry'
    TF = 'tf'
    INPUT = 'input'
    TRANSPORT = 'transport'


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and what to do about it."""

    level: Level
    what: str
    cure: str = ''

    def __str__(self) -> str:
        """One line."""
        return f'{self.what}; {self.cure}' if self.cure else self.what


@dataclass(frozen=True)
class Counts:
    """Frames since activation."""

    received: int = 0
    answered: int = 0
    overtaken: int = 0
    """Replaced by a newer one before it was taken up: the model is slower than the camera."""
    refused: int = 0
    """Bad image, no fitting camera_info, or a failed computation."""
    unwanted: int = 0
    """Not computed since nobody subscribes to any output."""


@dataclass(frozen=True)
class Snapshot:
    """The node's health at one moment."""

    counts: Counts
    problems: dict[Trouble, Problem]
    latency_p50_ms: float | None
    latency_p95_ms: float | None

    @property
    def worst(self) -> Problem | None:
        """The problem of the highest level, the first of them; None where all is well."""
        return max(self.problems.values(), key=lambda problem: problem.level, default=None)


class Health:
    """Counters, latencies and problems; every method may be called from any thread."""

    def __init__(self) -> None:
        """Start at zero and in good health."""
        self._lock = threading.Lock()
        self._counts = Counts()
        self._latencies_ms: deque[float] = deque(maxlen=300)
        self._problems: dict[Trouble, Problem] = {}
        self._reported_s: dict[Trouble, float] = {}

    def start(self) -> None:
        """Count from zero: the node was activated."""
        with self._lock:
            self._counts = Counts()
            self._latencies_ms.clear()

    def count(
        self, *, received: int = 0, overtaken: int = 0, refused: int = 0, unwanted: int = 0
    ) -> None:
        """Add to the counters."""
        with self._lock:
            c = self._counts
            self._counts = replace(
                c,
                received=c.received + received,
                overtaken=c.overtaken + overtaken,
                refused=c.refused + refused,
                unwanted=c.unwanted + unwanted,
            )

    def answered(self, latency_ms: float) -> None:
        """One frame was published, so long after it arrived."""
        with self._lock:
            self._counts = replace(self._counts, answered=self._counts.answered + 1)
            self._latencies_ms.append(latency_ms)

    def report(self, trouble: Trouble, problem: Problem) -> bool:
        """Something is wrong, until `clear`; True where that is new, or better or worse."""
        with self._lock:
            known = self._problems.get(trouble)
            self._problems[trouble] = problem
            self._reported_s[trouble] = time.monotonic()
            return known is None or known.level != problem.level

    def clear(self, *troubles: Trouble, older_than_s: float = 0.0) -> bool:
        """It works again; True where it did not.

        Args:
            troubles: what works.
            older_than_s: keep what was reported within this time, so that the diagnostics show a
                damaged image between good ones.
        """
        newest = time.monotonic() - older_than_s
        with self._lock:
            gone = [
                trouble
                for trouble in troubles
                if trouble in self._problems and self._reported_s[trouble] <= newest
            ]
            for trouble in gone:
                del self._problems[trouble]
            return bool(gone)

    def snapshot(self) -> Snapshot:
        """All of it, consistent."""
        with self._lock:
            latencies = list(self._latencies_ms)
            counts, problems = self._counts, dict(self._problems)
        p50, p95 = np.percentile(latencies, (50, 95)) if latencies else (None, None)
        return Snapshot(
            counts,
            problems,
            None if p50 is None else float(p50),
            None if p95 is None else float(p95),
        )
