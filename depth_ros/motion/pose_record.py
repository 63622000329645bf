"""What an external odometry said lately of the camera's pose."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from operator import itemgetter

import numpy as np

from depth_ros.motion import se3

_MAX_POSES = 2000
_MAX_STEP_NS = 500_000_000
"""Odometry that says nothing for longer has a gap, which is not bridged."""


class PoseRecord:
    """Poses by their stamps, the newest at the end."""

    def __init__(self) -> None:
        """Begin empty."""
        self._poses: deque[tuple[int, np.ndarray]] = deque(maxlen=_MAX_POSES)

    def add(self, stamp_ns: int, odom_T_cam: np.ndarray) -> None:
        """Take in a pose [4,4]; a stamp before the last one starts the record anew."""
        if self._poses and stamp_ns <= self._poses[-1][0]:
            if stamp_ns == self._poses[-1][0]:
                return
            self._poses.clear()
        self._poses.append((stamp_ns, odom_T_cam))

    def clear(self) -> None:
        """Forget all poses."""
        self._poses.clear()

    def reaches(self, stamp_ns: int) -> bool:
        """Whether the last pose is of this moment or a later one."""
        return bool(self._poses) and stamp_ns <= self._poses[-1][0]

    def motion(self, previous_ns: int, current_ns: int) -> np.ndarray | None:
        """previous_T_current [4,4]; None where one is outside the record or in a gap of it."""
        first, last = self._at(previous_ns), self._at(current_ns)
        return None if first is None or last is None else se3.inverse(first) @ last

    def _at(self, stamp_ns: int) -> np.ndarray | None:
        """Interpolated between its neighbours."""
        after = bisect_left(self._poses, stamp_ns, key=itemgetter(0))
        if after == len(self._poses):
            return None
        end, last = self._poses[after]
        if end == stamp_ns:
            return last
        if after == 0:
            return None
        start, first = self._poses[after - 1]
        if end - start > _MAX_STEP_NS:
            return None
        return se3.interpolated(first, last, (stamp_ns - start) / (end - start))
