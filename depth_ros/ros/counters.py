"""What is counted of one camera's frames; no ROS in here.

Every thread of the node counts here, the diagnostics timer reads.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Counts:
    """Frames since activation."""

    received: int = 0
    answered: int = 0
    overtaken: int = 0
    """Replaced by a newer one before it was taken up: the model is slower than the camera."""
    refused: int = 0
    """Bad image, no fitting camera_info, or its depth could not be computed."""
    unwanted: int = 0
    """Not computed since nobody subscribes to any output."""


@dataclass(frozen=True)
class Tally:
    """All that was counted up to one moment."""

    counts: Counts
    latency_p50_ms: float | None
    """Of the last answers, from arrival to publication of depth; None where there is none."""
    latency_p95_ms: float | None


class Counters:
    """Counts and latencies; every method may be called from any thread."""

    def __init__(self) -> None:
        """Start at zero."""
        self._lock = threading.Lock()
        self._latencies_ms: deque[float] = deque(maxlen=300)
        self._received = self._answered = self._overtaken = self._refused = self._unwanted = 0

    def start(self) -> None:
        """Count from zero: the node was activated."""
        with self._lock:
            self._received = self._answered = self._overtaken = 0
            self._refused = self._unwanted = 0
            self._latencies_ms.clear()

    def count(
        self, *, received: int = 0, overtaken: int = 0, refused: int = 0, unwanted: int = 0
    ) -> None:
        """Add to the counters."""
        with self._lock:
            self._received += received
            self._overtaken += overtaken
            self._refused += refused
            self._unwanted += unwanted

    def answered(self, latency_ms: float) -> None:
        """One frame was published, so long after it arrived."""
        with self._lock:
            self._answered += 1
            self._latencies_ms.append(latency_ms)

    def tally(self) -> Tally:
        """All of it, consistent."""
        with self._lock:
            latencies = list(self._latencies_ms)
            counts = Counts(
                self._received, self._answered, self._overtaken, self._refused, self._unwanted
            )
        if not latencies:
            return Tally(counts, None, None)
        p50, p95 = np.percentile(latencies, (50, 95))
        return Tally(counts, float(p50), float(p95))
