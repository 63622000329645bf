"""Tells people how a node or one of its cameras is: diagnostics, and warnings in the log."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from rclpy.impl.rcutils_logger import RcutilsLogger

from depth_ros.ros.counters import Counters
from depth_ros.ros.health import Health, Level, Problem, Trouble

_LOG_SECONDS = 5.0
"""A trouble that goes on is logged this often."""
_BUG_SHOWN_S = 10.0
"""A bug stays in the diagnostics so long after it was last seen."""


class Monitor:
    """Takes in what goes wrong, from any thread, and logs it without flooding the log."""

    def __init__(self, title: str, logger: RcutilsLogger, changed: Callable[[], None]) -> None:
        """Begin in good health.

        Args:
            title: of the diagnostics; monitors of one title are told of together.
            logger: for what goes wrong.
            changed: called when something is wrong that was not, or no longer.
        """
        self.title = title
        self._logger = logger
        self._changed = changed
        self._health = Health()
        self._lock = threading.Lock()
        self._logged: dict[Trouble, float] = {}

    @property
    def problems(self) -> dict[Trouble, Problem]:
        """All that is wrong now."""
        return self._health.problems()

    def described(self) -> dict[str, str]:
        """What the diagnostics tell besides problems, by key."""
        return {}

    def report(self, trouble: Trouble, problem: Problem) -> None:
        """Something is wrong until `clear`."""
        changed = self._health.report(trouble, problem)
        now = time.monotonic()
        with self._lock:
            last = self._logged.get(trouble, -math.inf)
            due = changed or now - last >= _LOG_SECONDS
            if due:
                self._logged[trouble] = now
        if due:
            self._log(problem)
        if changed:
            self._changed()

    def clear(self, *troubles: Trouble, older_than_s: float = 0.0) -> None:
        """It works again; see Health.clear."""
        if self._health.clear(*troubles, older_than_s=older_than_s):
            self._changed()

    def report_bug(self, what: str) -> None:
        """Something failed that nothing else can be charged with; `watch` clears it."""
        self.report(Trouble.INTERNAL, Problem(Level.ERROR, f'internal error: {what}'))

    def watch(self) -> None:
        """Forget bugs of long ago; to be called about once a second."""
        self.clear(Trouble.INTERNAL, older_than_s=_BUG_SHOWN_S)

    def _log(self, problem: Problem) -> None:
        text = f'{self.title}: {problem}'
        # Two places, since rclpy allows a place in the code one severity.
        if problem.level is Level.ERROR:
            self._logger.error(text)
        else:
            self._logger.warning(text)


class NodeMonitor(Monitor):
    """What goes wrong with the node as a whole: its model above all."""

    def __init__(
        self,
        title: str,
        logger: RcutilsLogger,
        changed: Callable[[], None],
        describe: Callable[[], dict[str, str]],
    ) -> None:
        """See Monitor; `describe` gives what the diagnostics tell besides."""
        super().__init__(title, logger, changed)
        self._describe = describe

    def described(self) -> dict[str, str]:
        """See Monitor."""
        return self._describe()


class CameraMonitor(Monitor):
    """What goes wrong with one camera, and what is counted of it."""

    def __init__(self, title: str, logger: RcutilsLogger, changed: Callable[[], None]) -> None:
        """See Monitor."""
        super().__init__(title, logger, changed)
        self.counters = Counters()
        self.scale_text = self.focal_text = self.odometry_text = 'none'

    def described(self) -> dict[str, str]:
        """See Monitor."""
        tally = self.counters.tally()
        counts = tally.counts
        return {
            'scale': self.scale_text,
            'focal length': self.focal_text,
            'odometry': self.odometry_text,
            'frames in': str(counts.received),
            'frames out': str(counts.answered),
            'frames overtaken': str(counts.overtaken),
            'frames refused': str(counts.refused),
            'frames unwanted': str(counts.unwanted),
            'latency p50 [ms]': _milliseconds(tally.latency_p50_ms),
            'latency p95 [ms]': _milliseconds(tally.latency_p95_ms),
        }


def _milliseconds(value: float | None) -> str:
    return 'none' if value is None else f'{value:.1f}'
