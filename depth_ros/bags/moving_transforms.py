"""How the frames of a robot lie to each other at a time: /tf_static and /tf of its bag."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

from depth_ros.bags.reader import BagReader
from depth_ros.bags.static_transforms import (
    TransformGraph,
    edges_of,
    has_transforms,
    read_static_transforms,
)
from depth_ros.messages.stamps import stamp_ns
from depth_ros.motion.frame_links import plain_frame
from depth_ros.motion.se3 import interpolated

_MOVING = '/tf'


@dataclass(frozen=True, eq=False)
class _Course:
    """One moving transform over time: increasing stamps [ns] and parent_T_child [4,4] of each."""

    stamps_ns: list[int]
    transforms: list[np.ndarray]

    def at(self, stamp: int) -> np.ndarray | None:
        """Interpolated between its neighbours; None before the first and after the last."""
        after = bisect_left(self.stamps_ns, stamp)
        if after == len(self.stamps_ns):
            return None
        if self.stamps_ns[after] == stamp:
            return self.transforms[after]
        if after == 0:
            return None
        start, end = self.stamps_ns[after - 1], self.stamps_ns[after]
        share = (stamp - start) / (end - start)
        return interpolated(self.transforms[after - 1], self.transforms[after], share)


class BagTransforms:
    """The transforms of a bag; /tf is read only where /tf_static does not do."""

    def __init__(self, reader: BagReader) -> None:
        """Read what /tf_static tells.

        Raises:
            BagError: the bag is damaged; MessageError: a transform is not finite.
        """
        self._reader = reader
        self._static = read_static_transforms(reader)
        self._courses: dict[tuple[str, str], _Course] | None = None

    def find(self, target: str, source: str, stamp: int) -> np.ndarray | None:
        """target_T_source at a time [ns], float64 [4,4]; None where it is not known then.

        Raises:
            BagError: the bag is damaged; MessageError: a transform is not finite.
        """
        found = self._static.find(target, source)
        if found is not None:
            return found
        if self._courses is None:
            self._courses = _read_courses(self._reader)
        now = {edge: course.at(stamp) for edge, course in self._courses.items()}
        known = {edge: transform for edge, transform in now.items() if transform is not None}
        return TransformGraph({**self._static.edges, **known}).find(target, source)

    def connects(self, target: str, source: str) -> bool:
        """Whether target_T_source is known at any time at all.

        Raises:
            BagError: the bag is damaged; MessageError: a transform is not finite.
        """
        if self._static.find(target, source) is not None:
            return True
        if self._courses is None:
            self._courses = _read_courses(self._reader)
        ever = {edge: course.transforms[0] for edge, course in self._courses.items()}
        graph = TransformGraph({**self._static.edges, **ever})
        return graph.find(target, source) is not None

    @property
    def frames(self) -> tuple[str, ...]:
        """Names of all frames met so far, for messages to people."""
        edges = [*self._static.edges, *(self._courses or {})]
        return tuple(sorted({plain_frame(frame) for edge in edges for frame in edge}))


def _read_courses(reader: BagReader) -> dict[tuple[str, str], _Course]:
    poses: dict[tuple[str, str], dict[int, np.ndarray]] = {}
    if has_transforms(reader, _MOVING):
        for _, _, message in reader.messages([_MOVING]):
            for stamped in message.transforms:
                for edge, parent_T_child in edges_of([stamped]).items():
                    poses.setdefault(edge, {})[stamp_ns(stamped.header)] = parent_T_child
    return {
        edge: _Course(sorted(by_stamp), [by_stamp[stamp] for stamp in sorted(by_stamp)])
        for edge, by_stamp in poses.items()
    }
