"""What is wrong right now; no ROS in here.

Every thread of the node reports here, the diagnostics timer reads.
"""

from __future__ import annotations

import enum
import threading
import time
from dataclasses import dataclass


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
    FOCAL = 'focal length'
    IMAGE = 'image'
    INFERENCE = 'inference'
    WORKER = 'worker'
    MEMORY = 'memory'
    STAMP = 'stamp'
    ODOMETRY = 'odometry'
    TF = 'tf'
    MOUNTING = 'mounting'
    INPUT = 'input'
    TRANSPORT = 'transport'
    TRANSITION = 'transition'
    """A bug in one, which stays wrong until the node is configured again."""
    INTERNAL = 'internal'


OF_IMAGES = frozenset({
    Trouble.CAMERA, Trouble.IMAGE, Trouble.INFERENCE, Trouble.MEMORY, Trouble.STAMP
})  # fmt: skip
"""What the next image tells anew, if it still holds."""

OF_FRAMES = OF_IMAGES | {Trouble.FOCAL, Trouble.WORKER, Trouble.INPUT, Trouble.TRANSPORT}
"""What cannot be wrong with a node that takes no frames."""

SHOWN_S = 2.0
"""A problem of a single message stays in the diagnostics so long after the last such message."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and what to do about it."""

    level: Level
    what: str
    cure: str = ''

    def __str__(self) -> str:
        """One line."""
        return f'{self.what}; {self.cure}' if self.cure else self.what


class Health:
    """The problems of a node or a camera; every method may be called from any thread."""

    def __init__(self) -> None:
        """Start in good health."""
        self._lock = threading.Lock()
        self._problems: dict[Trouble, Problem] = {}
        self._reported_s: dict[Trouble, float] = {}

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

    def problems(self) -> dict[Trouble, Problem]:
        """All that is wrong now."""
        with self._lock:
            return dict(self._problems)
